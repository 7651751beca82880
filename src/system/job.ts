import { spawn } from 'node:child_process';
import { errnoOf, MirrorlatchError } from '../errors.ts';
import { traceChild } from './debug.ts';

export interface JobEnd {
  /** Null when a signal ended it. */
  exitCode: number | null;
  signal: NodeJS.Signals | null;
}

export interface Job {
  readonly pid: number;
  /** @throws MirrorlatchError UNAVAILABLE when it could not be started. */
  readonly ended: Promise<JobEnd>;
  /** Sends a signal to it and to what it has started, as a terminal does. */
  kill(signal: NodeJS.Signals): void;
}

/**
 * Starts a program of the user's that runs beside this one, with the environment and the working
 * directory of this one. What it prints goes to standard error, and it reads nothing.
 *
 * It has a session of its own: a Ctrl-C at our terminal reaches it once, by us, not twice. When
 * this process is killed the kernel sends it SIGTERM (PR_SET_PDEATHSIG, prctl(2)), as far as the
 * program does not change its user.
 */
export function startJob(program: string, args: readonly string[]): Job {
  const child = spawn('setpriv', ['--pdeathsig', 'TERM', '--', program, ...args], {
    detached: true,
    stdio: ['ignore', 2, 2],
  });
  traceChild(child, program, args);
  const { pid } = child;
  const ended = new Promise<JobEnd>((resolve, reject) => {
    child.once('exit', (exitCode, signal) => resolve({ exitCode, signal }));
    child.once('error', (cause) => {
      const hint = 'Install it, for example with: apt-get install util-linux';
      reject(
        errnoOf(cause) === 'ENOENT'
          ? new MirrorlatchError('UNAVAILABLE', 'the program setpriv is not installed', { hint })
          : new MirrorlatchError('UNAVAILABLE', `${program} cannot be started`, { cause }),
      );
    });
  });
  return {
    pid: pid ?? 0,
    ended,
    kill: (signal) => {
      if (pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
      try {
        process.kill(-pid, signal);
      } catch (error) {
        // It has ended meanwhile.
        if (errnoOf(error) !== 'ESRCH') throw error;
      }
    },
  };
}
