import { spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { cannotStart, tied } from './child.ts';
import { traceChild } from './debug.ts';
import { ownProgramsLeaveTheTerminal } from './ignored-signals.ts';

/** How much of the end of a program's standard error is kept; characters. */
const KEPT_WORDS = 64 * 1024;

/** A running program, to talk to over its standard input and output. */
export interface DuplexChild {
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** Settles once the program has ended and all its output has been read. */
  readonly ended: Promise<DuplexEnd>;
  kill(signal: NodeJS.Signals): void;
}

export interface DuplexEnd {
  /** The exit status, or 128 if a signal ended the program. */
  exitCode: number;
  stderr: string;
}

/**
 * Starts a program without a shell, in the C locale. It does not outlive this process, see `tied`.
 *
 * Writing to a program that has ended is no error: watch `ended`.
 *
 * @param env variables to add to this process's environment.
 */
export function startDuplexChild(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): DuplexChild {
  const child = spawn(...tied(program, args), {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C', ...env },
    detached: ownProgramsLeaveTheTerminal,
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
    child.once('error', (cause) => reject(cannotStart('setpriv', cause)));
  });
  // A caller may await it late: until then, a failure must not end this process.
  ended.catch(() => {});
  return { stdin, stdout, ended, kill: (signal) => child.kill(signal) };
}
