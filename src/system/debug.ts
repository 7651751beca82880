import type { ChildProcess, SpawnSyncReturns } from 'node:child_process';
import { appendFileSync, constants, openSync } from 'node:fs';
import { StringDecoder } from 'node:string_decoder';
import { quoteForSh } from './quote.ts';

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
  const trace = new Trace(program, args, child.pid);
  child.once('error', (error) => {
    if (child.pid === undefined) trace.fails(error);
  });
  child.stderr?.on('data', (chunk: Buffer) => trace.says(chunk));
  // At its exit, what it wrote last may still be in the pipe.
  child.once('close', (exitCode, signal) => {
    if (child.pid !== undefined) trace.ends(exitCode, signal);
  });
}

/** Reports in the same way on what spawnSync() runs: its pid is known only when it has ended. */
export function traceSync(
  program: string,
  args: readonly string[],
  run: () => SpawnSyncReturns<string>,
): SpawnSyncReturns<string> {
  if (!isWanted()) return run();
  const trace = new Trace(program, args);
  const result = run();
  if (result.error !== undefined) trace.fails(result.error);
  else {
    trace.pid = result.pid;
    trace.says(Buffer.from(result.stderr));
    trace.ends(result.status, result.signal);
  }
  return result;
}

class Trace {
  readonly #name: string;
  readonly #startMs = performance.now();
  readonly #decoder = new StringDecoder('utf8');
  #rest = '';
  pid: number | undefined;

  constructor(program: string, args: readonly string[], pid?: number) {
    this.pid = pid;
    this.#name = program.slice(program.lastIndexOf('/') + 1);
    this.#report(`starts: ${[program, ...args].map(quoted).join(' ')}`);
  }

  says(chunk: Buffer): void {
    const lines = (this.#rest + this.#decoder.write(chunk)).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#report(`says: ${line}`);
  }

  ends(exitCode: number | null, signal: NodeJS.Signals | null): void {
    if (this.#rest !== '') this.says(Buffer.from('\n'));
    const how = signal ?? `exit code ${exitCode}`;
    this.#report(`ends: ${how} after ${Math.round(performance.now() - this.#startMs)} ms`);
  }

  fails(error: Error): void {
    this.#report(`did not start: ${error.message}`);
  }

  #report(text: string): void {
    report(`${this.#name}${this.pid === undefined ? '' : `[${this.pid}]`} ${text}`);
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
  if (visible(word) === word) return quoteForSh(word);
  return `$'${visible(word.replaceAll(/[\\']/g, String.raw`\$&`))}'`;
}

/** Control and format characters as octal escapes, so that no output of a child drives a terminal. */
function visible(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    [...Buffer.from(character)].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join(''),
  );
}
