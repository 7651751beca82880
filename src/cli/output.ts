import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { isatty } from 'node:tty';
import pc from 'picocolors';
import { asMirrorlatchError, type MirrorlatchError } from '../errors.ts';
import { printable, printableLines } from '../mirror/names.ts';
import { withPasteableCommands } from './proposals.ts';

/** Whether a stream is a terminal that obeys escape sequences. */
export function obeysEscapes(stream: NodeJS.WriteStream): boolean {
  return stream.isTTY === true && process.env['TERM'] !== 'dumb';
}

/** Colours only on a terminal: picocolors alone would also use them if the variable CI is set. */
const colorsFor = (stream: NodeJS.WriteStream) =>
  pc.createColors(pc.isColorSupported && obeysEscapes(stream));

const onStdout = colorsFor(process.stdout);
const onStderr = colorsFor(process.stderr);

export const strong = onStdout.bold;

/** A word in a colour of our own. All other text for people is printed without escape sequences. */
class Coloured {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export type Part = string | Coloured;

export const good = (text: string): Part => new Coloured(onStdout.green(text));
export const doubtful = (text: string): Part => new Coloured(onStdout.yellow(text));
export const bad = (text: string): Part => new Coloured(onStdout.red(text));

/** What of a line others may have chosen, such as a source, can neither end the line nor colour it. */
export function shownPart(part: Part): string {
  return part instanceof Coloured ? part.text : printable(withPasteableCommands(part));
}

/** Prints one object on one line, for scripts. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** Prints shell code, as it is. */
export function printCode(code: string): void {
  printText(`${code}\n`);
}

/** Prints a text for programs, as it is. */
export function printText(text: string): void {
  process.stdout.write(text);
}

/** Prints such an object with a list in it, of which only a part is in memory as text. */
export async function printJsonWithList(
  value: object,
  name: string,
  list: Iterable<unknown>,
): Promise<void> {
  await printPieces(piecesOfJson(value, name, list));
}

function* piecesOfJson(value: object, name: string, list: Iterable<unknown>): Generator<string> {
  yield JSON.stringify({ ...value, [name]: [] }).slice(0, -']}'.length);
  let separator = '';
  for (const one of list) {
    yield separator + JSON.stringify(one);
    separator = ',';
  }
  yield ']}\n';
}

/** Prints lines as they are, of which only a part is in memory. */
export async function printEach(lines: Iterable<string>): Promise<void> {
  await printPieces(withEnds(lines, '\n'));
}

/** Prints names for a program, as they are, with NUL after each. @param names one character per byte (latin1). */
export async function printNames(names: Iterable<string>): Promise<void> {
  await printPieces(withEnds(names, '\0'), 'latin1');
}

function* withEnds(lines: Iterable<string>, end: string): Generator<string> {
  for (const line of lines) yield line + end;
}

async function printPieces(
  pieces: Iterable<string>,
  encoding: 'utf8' | 'latin1' = 'utf8',
): Promise<void> {
  let part = '';
  for (const piece of pieces) {
    part += piece;
    if (part.length < 16 * 1024) continue;
    await printPart(Buffer.from(part, encoding));
    part = '';
  }
  await printPart(Buffer.from(part, encoding));
}

/** Prints what a program has written, as it is; to a terminal without what could drive it. */
export async function printBytes(pieces: AsyncIterable<Buffer>): Promise<void> {
  const decoder = new TextDecoder();
  for await (const piece of pieces) {
    const text = () => printableLines(decoder.decode(piece, { stream: true }));
    await printPart(process.stdout.isTTY ? text() : piece);
  }
}

/** A reader of a pipe may be slower than we are, and Node keeps what is not read yet. */
async function printPart(part: string | Buffer): Promise<void> {
  if (process.stdout.write(part) || lost !== undefined) return;
  await once(process.stdout, 'drain').catch(() => {});
}

/** Prints one line for people, with a space between its parts. */
export function printLine(...parts: readonly Part[]): void {
  process.stdout.write(`${parts.map(shownPart).join(' ')}\n`);
}

/** The first failure to write to standard output; the stream itself forgets it. */
let lost: Error | undefined;

/** Keeps a standard output that cannot be written, and a lost terminal, from ending the work. */
export function survivePrinting(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // A reader that closes the pipe early, such as head(1), is not an error.
    if (error.code === 'EPIPE') process.exit();
    // Nor is a lost terminal.
    if (!process.stdout.isTTY) lost ??= error;
  });
  // Standard error may be closed, such as by a lost terminal.
  process.stderr.on('error', () => {});
  // At its end, Node resets the modes of its terminals, and aborts if one is lost. It passes over a closed descriptor.
  const terminals = [0, 1, 2].filter((descriptor) => isatty(descriptor));
  process.once('exit', () => {
    for (const descriptor of terminals) if (!isatty(descriptor)) closeSync(descriptor);
  });
}

/** Why something that was printed is lost, as in a file on a full disk; undefined if nothing is. */
export async function lossOfOutput(): Promise<MirrorlatchError | undefined> {
  // The stream learns of a failed write a little later.
  await new Promise(setImmediate);
  const what = 'the result cannot be written to standard output';
  return lost && asMirrorlatchError(lost, what);
}

/** A message, which may quote several lines of rsync, on one. */
export function oneLine(message: string): string {
  return message.replaceAll(/\s*\n\s*/g, ' ');
}

/** Prints a sentence on standard error, for commands whose standard output belongs to another. */
export function printNote(text: string): void {
  process.stderr.write(printableLines(`mirrorlatch: ${withPasteableCommands(text)}\n`));
}

/** An error, for scripts. @param exitCode what the program ends with, or would for that error alone. */
export function describedError(
  { code, message, hint, details }: MirrorlatchError,
  exitCode: number,
): object {
  return {
    code,
    exitCode,
    message,
    hint: hint === undefined ? null : withPasteableCommands(hint),
    ...details,
  };
}

/**
 * Prints an error: as JSON on standard output, or as text on standard error.
 *
 * @param exitCode what the program ends with.
 * @param whose what comes before the message.
 */
export function printError(
  error: MirrorlatchError,
  exitCode: number,
  asJson: boolean,
  whose = '',
): void {
  const { message, hint } = error;
  if (asJson && lost === undefined) {
    printJson({ error: describedError(error, exitCode) });
    return;
  }
  process.stderr.write(`${onStderr.red('mirrorlatch:')} ${printableLines(`${whose}${message}`)}\n`);
  if (hint !== undefined)
    process.stderr.write(printableLines(`  ${withPasteableCommands(hint)}\n`));
}
