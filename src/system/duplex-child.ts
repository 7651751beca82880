import { spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { MirrorlatchError } from '../errors.ts';
import { traceChild } from './debug.ts';

/** How much of a child's standard error is kept, from its end; characters. */
const KEPT_WORDS = 64 * 1024;

/** A program that is spoken with while it runs. */
export interface DuplexChild {
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** When it has ended and all that it wrote has been read. */
  readonly ended: Promise<DuplexEnd>;
  kill(signal: NodeJS.Signals): void;
}

export interface DuplexEnd {
  /** The exit status, or 128 where a signal ended it. */
  exitCode: number;
  stderr: string;
}

/**
 * Starts a program without a shell, in the C locale; the kernel sends it SIGTERM when this process
 * ends, however it ends (PR_SET_PDEATHSIG, prctl(2), through setpriv(1)).
 *
 * A write to one that has ended fails in silence: `ended` tells.
 *
 * @param env is added to this process's own environment.
 */
export function startDuplexChild(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): DuplexChild {
  const child = spawn('setpriv', ['--pdeathsig', 'TERM', '--', program, ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C', ...env },
  });
  traceChild(child, program, args);
  const { stdin, stdout, stderr } = child;
  let words = '';
  stderr.on('data', (chunk: Buffer) => {
    words = (words + chunk.toString('utf8')).slice(-KEPT_WORDS);
  });
  stdin.on('error', () => {});
  const ended = new Promise<DuplexEnd>((resolve, reject) => {
    child.once('close', (exitCode) => resolve({ exitCode: exitCode ?? 128, stderr: words }));
    child.once('error', (cause) => {
      const hint = 'Install it, for example with: apt-get install util-linux';
      reject(
        new MirrorlatchError('UNAVAILABLE', 'the program setpriv cannot be started', {
          hint,
          cause,
        }),
      );
    });
  });
  // Whoever awaits it hears of a failure; until then it must not end the process.
  ended.catch(() => {});
  return { stdin, stdout, ended, kill: (signal) => child.kill(signal) };
}
