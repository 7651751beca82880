import { type SpawnOptions, spawn } from 'node:child_process';
import { errnoOf } from '../errors.ts';
import { cannotStart, tied } from './child.ts';
import { traceChild } from './debug.ts';
import { withIgnoredSignals } from './ignored-signals.ts';
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

/**
 * Starts a program for the user, with this process's environment and working directory, and the caller's umask. Its output
 * goes to standard error, and its input is empty.
 *
 * It runs in a session of its own, so that a Ctrl-C reaches it once, through us. If this process is
 * killed, the kernel sends it SIGTERM (PR_SET_PDEATHSIG, prctl(2)), unless it has changed its user.
 */
export function startJob(program: string, args: readonly string[]): Job {
  const options: SpawnOptions = { detached: true, stdio: ['ignore', 2, 2] };
  const child = withCallersUmask(() =>
    spawn(...tied(...withIgnoredSignals(program, args)), options),
  );
  traceChild(child, program, args);
  const { pid } = child;
  const ended = new Promise<JobEnd>((resolve, reject) => {
    child.once('exit', (exitCode, signal) => resolve({ exitCode, signal }));
    child.once('error', (cause) => reject(cannotStart('setpriv', cause)));
  });
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
