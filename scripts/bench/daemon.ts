import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

/**
 * Runs `work` while an rsync daemon serves `path` on the loopback interface. It ends with this process,
 * however that ends.
 *
 * @param scratch a directory for its configuration.
 * @param work is given the URL, without a slash at its end.
 */
export async function withDaemon(
  path: string,
  scratch: string,
  work: (url: string) => Promise<void>,
): Promise<void> {
  const configuration = join(scratch, 'rsyncd.conf');
  writeFileSync(
    configuration,
    `address = 127.0.0.1\nuse chroot = no\nuid = ${process.getuid?.()}\ngid = ${process.getgid?.()}\n[bench]\npath = ${path}\n`,
  );
  const port = await freePort();
  const daemon = spawn(
    'setpriv',
    [
      ...['--pdeathsig', 'TERM', '--'],
      ...['rsync', '--daemon', '--no-detach', `--port=${port}`, `--config=${configuration}`],
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const ended = once(daemon, 'exit');
  try {
    while (daemon.exitCode === null && !(await accepts(port))) await setTimeout(50);
    if (daemon.exitCode !== null) throw new Error('the rsync daemon did not start');
    await work(`rsync://127.0.0.1:${port}/bench`);
  } finally {
    daemon.kill();
    await ended;
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('there is no free port');
  return address.port;
}

export async function accepts(port: number): Promise<boolean> {
  const socket = connect({ host: '127.0.0.1', port });
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
