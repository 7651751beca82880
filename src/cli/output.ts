import pc from 'picocolors';
import type { MirrorlatchError } from '../errors.ts';

/** Colours for a terminal only: picocolors by itself also takes a variable named CI for one. */
const colorsFor = (stream: NodeJS.WriteStream) =>
  pc.createColors(pc.isColorSupported && stream.isTTY === true);

const onStdout = colorsFor(process.stdout);
const onStderr = colorsFor(process.stderr);

export const good = onStdout.green;
export const bad = onStdout.red;
export const strong = onStdout.bold;

/** One object on one line, for scripts. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

export function printLine(text = ''): void {
  process.stdout.write(`${text}\n`);
}

/** A sentence where standard output is somebody else's. */
export function printNote(text: string): void {
  process.stderr.write(`mirrorlatch: ${text}\n`);
}

/** Prints a failure as this command prints everything: as JSON on stdout, or for people on stderr. */
export function printError(error: MirrorlatchError, asJson: boolean): void {
  const { code, message, hint, exitCode, details } = error;
  if (asJson) {
    printJson({ error: { code, exitCode, message, hint: hint ?? null, ...details } });
    return;
  }
  process.stderr.write(`${onStderr.red('mirrorlatch:')} ${message}\n`);
  if (hint !== undefined) process.stderr.write(`  ${hint}\n`);
}
