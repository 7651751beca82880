import { randomInt } from 'node:crypto';
import { connect, createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { execa } from 'execa';

/** A running network service. */
export interface Daemon {
  readonly pid: number;
  /** Ends it with the processes of its connections. May be called twice. */
  stop(): Promise<void>;
  /** Ends it and its processes by SIGKILL. */
  kill(): Promise<void>;
}

/** Starts a service that stays in the foreground, and waits until it accepts on `port`. */
export async function startDaemon(
  file: string,
  args: readonly string[],
  port: number,
): Promise<Daemon> {
  // Detached into its own process group, which can be killed as a whole. The parent death signal
  // ends it if the test itself is killed.
  const service = execa('setpriv', ['--pdeathsig', 'TERM', file, ...args], {
    detached: true,
    reject: false,
    stdin: 'ignore',
  });
  let ended = false;
  const end = service.then((result) => {
    ended = true;
    return result;
  });
  const { pid } = service;
  const endBy = async (signal: NodeJS.Signals) => {
    if (!ended && pid !== undefined) process.kill(-pid, signal);
    await end;
  };
  const stop = () => endBy('SIGTERM');
  for (let attempt = 0; attempt < 1000 && !ended; attempt += 1) {
    if (pid !== undefined && (await accepts(port)))
      return { pid, stop, kill: () => endBy('SIGKILL') };
    await pause(50);
  }
  await stop();
  throw new Error(`${file} does not answer on port ${port}: ${(await end).stderr}`);
}

/**
 * A TCP port of 127.0.0.1 that is free at the moment, below those that the kernel gives to connections. Some programs,
 * such as apt-cacher-ng, know none above 32767.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 32_768);
    if (await isFree(port)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    const end = (accepted: boolean) => {
      socket.destroy();
      resolve(accepted);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });
}
