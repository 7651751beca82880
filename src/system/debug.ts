import type { ChildProcess, SpawnSyncReturns } from 'node:child_process';
import { appendFileSync, constants, openSync } from 'node:fs';
import { StringDecoder } from 'node:string_decoder';

/**
 * Reports on a child process as MIRRORLATCH_DEBUG asks for it: the command, each line that it writes
 * to standard error where that is a pipe to us, and how it ended. An absolute path names a file to
 * append the report to; any other value but 0 means standard error.
 *
 * Nothing of the environment is reported: it may hold secrets.
 *
 * @param child has just been spawned, perhaps by way of setpriv(1).
 */
export function traceChild(child: ChildProcess, program: string, args: readonly string[]): void {
  if (!isWanted()) return;
  child.once('error', (error) => report(`${quoted(program)} did not start: ${error.message}`));
  if (child.pid === undefined) return;
  const trace = new Trace(child.pid, program, args);
  child.stderr?.on('data', (chunk: Buffer) => trace.says(chunk));
  // At its exit, what it wrote last may still be in the pipe.
  child.once('close', (exitCode, signal) => trace.ends(exitCode, signal));
}

/** Reports on a child process in the same way, after spawnSync() has waited for it. */
export function traceEnded(
  { pid, error, stderr, status, signal }: SpawnSyncReturns<string>,
  program: string,
  args: readonly string[],
  startMs: number,
): void {
  if (!isWanted()) return;
  if (error !== undefined) {
    report(`${quoted(program)} did not start: ${error.message}`);
    return;
  }
  const trace = new Trace(pid, program, args, startMs);
  trace.says(Buffer.from(stderr));
  trace.ends(status, signal);
}

class Trace {
  readonly #name: string;
  readonly #startMs: number;
  readonly #decoder = new StringDecoder('utf8');
  #rest = '';

  constructor(pid: number, program: string, args: readonly string[], startMs = performance.now()) {
    this.#name = `${program.slice(program.lastIndexOf('/') + 1)}[${pid}]`;
    this.#startMs = startMs;
    report(`${this.#name} starts: ${[program, ...args].map(quoted).join(' ')}`);
  }

  says(chunk: Buffer): void {
    const lines = (this.#rest + this.#decoder.write(chunk)).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) report(`${this.#name} says: ${line}`);
  }

  ends(exitCode: number | null, signal: NodeJS.Signals | null): void {
    if (this.#rest !== '') this.says(Buffer.from('\n'));
    const how = signal === null ? `exit code ${exitCode}` : signal;
    report(`${this.#name} ends: ${how} after ${Math.round(performance.now() - this.#startMs)} ms`);
  }
}

function isWanted(): boolean {
  return !['', '0', undefined].includes(process.env['MIRRORLATCH_DEBUG']);
}

let file: number | 'failed' | undefined;

/** Writes a line. A file that cannot be written must not change what the program does. */
function report(text: string): void {
  const line = `${new Date().toISOString()} mirrorlatch[${process.pid}]: ${visible(text)}\n`;
  const path = process.env['MIRRORLATCH_DEBUG'];
  if (path?.startsWith('/') && file !== 'failed') {
    const { O_APPEND, O_CREAT, O_NOFOLLOW, O_WRONLY } = constants;
    try {
      file ??= openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600);
      appendFileSync(file, line);
      return;
    } catch (error) {
      file = 'failed';
      process.stderr.write(`mirrorlatch: MIRRORLATCH_DEBUG: ${String(error)}\n`);
    }
  }
  process.stderr.write(line);
}

/** A word as sh takes it, on one line. */
function quoted(word: string): string {
  if (/^[\w@%+:,./-]+$/.test(word)) return word;
  if (visible(word) === word) return `'${word.replaceAll("'", String.raw`'\''`)}'`;
  return `$'${visible(word.replaceAll(/[\\']/g, String.raw`\$&`))}'`;
}

/** Control and format characters as octal escapes, so that no output of a child drives a terminal. */
function visible(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    [...Buffer.from(character)].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join(''),
  );
}
