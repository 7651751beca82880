import Table from 'cli-table3';
import pc from 'picocolors';
import type { MirrorlatchError } from '../errors.ts';

/** Colours for a terminal only: picocolors by itself also takes a variable named CI for one. */
const colorsFor = (stream: NodeJS.WriteStream) =>
  pc.createColors(pc.isColorSupported && stream.isTTY === true);

const onStdout = colorsFor(process.stdout);
const onStderr = colorsFor(process.stderr);

export const good = onStdout.green;
export const bad = onStdout.red;

/** One object on one line, for scripts. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

export function printLine(text = ''): void {
  process.stdout.write(`${text}\n`);
}

/** A table for people: light lines on a terminal, plain columns elsewhere. */
export function printTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
  const none = {
    top: '',
    'top-mid': '',
    'top-left': '',
    'top-right': '',
    bottom: '',
    'bottom-mid': '',
    'bottom-left': '',
    'bottom-right': '',
    left: '',
    'left-mid': '',
    mid: '',
    'mid-mid': '',
    right: '',
    'right-mid': '',
    middle: '  ',
  };
  const table = new Table({
    head: head.map((word) => onStdout.bold(word)),
    chars: none,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
  table.push(...rows.map((row) => [...row]));
  for (const line of table.toString().split('\n')) printLine(line.trimEnd());
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
