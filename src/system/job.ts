import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { errnoOf } from '../errors.ts';
import { cannotStart, tied } from './child.ts';
import { traceChild } from './debug.ts';
import { withIgnoredSignals } from './ignored-signals.ts';
import { pause } from './pause.ts';
import { withCallersUmask } from './umask.ts';

export interface JobEnd {
  /** Null if a signal ended it. */
  exitCode: number | null;
  signal: NodeJS.Signals | null;
}

export interface Job {
  readonly pid: number;
  /** @throws MirrorlatchError UNAVAILABLE if it could not be started. */
  readonly ended: Promise<JobEnd>;
  /** Sends a signal to it and to the processes that it has started, as a terminal does. */
  kill(signal: NodeJS.Signals): void;
}

/** How a job differs from this process. */
export interface JobOptions {
  /** By default our own working directory. */
  cwd?: string;
  /** All of its environment; by default ours. */
  env?: Readonly<NodeJS.ProcessEnv>;
  /** Its standard input, of which it need not read anything; by default nothing. */
  input?: string;
  /** Called with what it writes to standard output and standard error; by default that goes to our standard error. */
  onOutput?: (chunk: Buffer) => void;
}

/**
 * Starts a program for the user, by default with this process's environment and working directory, and always with the
 * caller's umask.
 *
 * It runs in a session of its own, so that a Ctrl-C reaches it once, through us. If this process is
 * killed, the kernel sends it SIGTERM (PR_SET_PDEATHSIG, prctl(2)), unless it has changed its user.
 */
export function startJob(
  program: string,
  args: readonly string[],
  { cwd, env, input, onOutput }: JobOptions = {},
): Job {
  const output = onOutput === undefined ? 2 : 'pipe';
  const options: SpawnOptions = {
    detached: true,
    stdio: [input === undefined ? 'ignore' : 'pipe', output, output],
    cwd,
    env,
  };
  const child = withCallersUmask(() =>
    spawn(...tied(...withIgnoredSignals(program, args, env)), options),
  );
  traceChild(child, program, args);
  const { pid, stdin } = child;
  // A program that does not read its input has not failed for that.
  stdin?.on('error', () => {});
  stdin?.end(input);
  const ended = onOutput === undefined ? endOf(child) : endAfterOutput(child, onOutput);
  return {
    pid: pid ?? 0,
    ended,
    kill: (signal) => {
      if (pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
      try {
        process.kill(-pid, signal);
      } catch (error) {
        // All of them have ended meanwhile.
        if (errnoOf(error) !== 'ESRCH') throw error;
      }
    },
  };
}

function endOf(child: ChildProcess): Promise<JobEnd> {
  return new Promise((resolve, reject) => {
    child.once('exit', (exitCode, signal) => resolve({ exitCode, signal }));
    child.once('error', (cause) => reject(cannotStart('setpriv', cause)));
  });
}

/** For so long what it has written is read once it has ended; ms. What it has left running may write for ever. */
const LAST_WORDS_MS = 1_000;

async function endAfterOutput(
  child: ChildProcess,
  onOutput: (chunk: Buffer) => void,
): Promise<JobEnd> {
  const streams = [child.stdout, child.stderr].filter((stream) => stream !== null);
  for (const stream of streams) stream.on('data', onOutput);
  const closed = Promise.all(streams.map((stream) => once(stream, 'close').catch(() => {})));
  const end = await endOf(child);
  const tooLong = new AbortController();
  await Promise.race([closed, pause(LAST_WORDS_MS, tooLong.signal).catch(() => {})]);
  tooLong.abort();
  for (const stream of streams) stream.destroy();
  return end;
}
