import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import { FREE_SPACE, MirrorlatchError } from '../../errors.ts';
import { type ChildOptions, runProgram } from '../../system/process.ts';
import { readNames } from '../name-list.ts';
import { GONE, overlaidFacts } from './facts.ts';

/**
 * A line is about one entry: its name, two slashes, and what is said of it. No name has two slashes in it, so
 * the lines of one name lie together in a sorted file, whatever bytes the names have.
 */
export interface Line {
  /** The name and the slashes, one character per byte (latin1); the top directory has the empty name. */
  key: string;
  said: string;
}

const SLASHES = '//';

/** The most that is sorted here, which is faster than to start a program for it; bytes. */
const SMALL = 1024 * 1024;

/** @param name `.` for the top directory. */
export function keyOf(name: string): string {
  return name === '.' ? SLASHES : name + SLASHES;
}

export function nameOfKey(key: string): string {
  return key === SLASHES ? '.' : key.slice(0, -SLASHES.length);
}

export function parseLine(text: string): Line {
  const end = text.indexOf(SLASHES) + SLASHES.length;
  return { key: text.slice(0, end), said: text.slice(end) };
}

/** The lines of a file, which can be iterated several times. */
export function linesIn(path: string): Iterable<Line> {
  return {
    *[Symbol.iterator]() {
      for (const text of readNames(path)) yield parseLine(text);
    },
  };
}

export type SortOptions = Pick<ChildOptions, 'inherit' | 'signal'>;

/**
 * The lines of some files in the order of their names; those of one name in the order of what they say.
 *
 * @param sorted the path of a file that is made if there are many.
 */
export async function sortedLines(
  paths: readonly string[],
  sorted: string,
  options: SortOptions,
): Promise<Iterable<Line>> {
  const size = paths.reduce((sum, path) => sum + statSync(path).size, 0);
  if (size <= SMALL) {
    // One character is one byte, so this sorts as sort(1) does.
    const texts = paths.flatMap((path) => [...readNames(path)]);
    return texts.sort().map(parseLine);
  }
  await sortInto(sorted, paths, options);
  return linesIn(sorted);
}

/** Sorts the NUL-terminated texts of some files. @throws MirrorlatchError NO_SPACE, IO. */
export async function sortInto(
  sorted: string,
  paths: readonly string[],
  options: SortOptions,
): Promise<void> {
  const directory = dirname(sorted);
  const how = ['-z', '--buffer-size=32M', `--temporary-directory=${directory}`];
  const args = [...how, `--output=${sorted}`, '--', ...paths];
  const { exitCode, stderr } = await runProgram('sort', args, options);
  options.signal?.throwIfAborted();
  if (exitCode === 0) return;
  const [why = ''] = stderr.trim().split('\n');
  const message = `names cannot be sorted in ${directory}: ${why}`;
  if (/No space left on device|Disk quota exceeded/.test(stderr))
    throw new MirrorlatchError('NO_SPACE', message, { hint: FREE_SPACE });
  throw new MirrorlatchError('IO', message);
}

/** What several sorted files say of one name, file by file. */
export interface Joined {
  key: string;
  /** What each of them says, in its order; empty for one that does not have the name. */
  said: string[][];
}

/** Joins sorted lines name by name. */
export function* joined(files: readonly Iterable<Line>[]): Generator<Joined> {
  const cursors = files.map((lines) => new Cursor(lines));
  for (;;) {
    let key: string | undefined;
    for (const { next } of cursors)
      if (next !== undefined && (key === undefined || next.key < key)) key = next.key;
    if (key === undefined) return;
    const wanted = key;
    yield { key, said: cursors.map((cursor) => cursor.take(wanted)) };
  }
}

class Cursor {
  next: Line | undefined;
  readonly #lines: Iterator<Line>;

  constructor(lines: Iterable<Line>) {
    this.#lines = lines[Symbol.iterator]();
    this.#advance();
  }

  take(key: string): string[] {
    const said: string[] = [];
    for (; this.next?.key === key; this.#advance()) said.push(this.next.said);
    return said;
  }

  #advance(): void {
    const { done, value } = this.#lines.next();
    this.next = done ? undefined : value;
  }
}

/**
 * What the first of some sorted layers that has a name says of it. Two by two, so that a line passes few
 * of them.
 */
export function overlaid(layers: readonly Iterable<Line>[]): Iterable<Line> {
  const [first = [], ...others] = layers;
  if (others.length === 0) return first;
  const middle = Math.ceil(layers.length / 2);
  return overlay(overlaid(layers.slice(0, middle)), overlaid(layers.slice(middle)));
}

function* overlay(upper: Iterable<Line>, lower: Iterable<Line>): Generator<Line> {
  for (const { key, said } of joined([upper, lower])) {
    const [above = [], below = []] = said;
    const [upper, lower] = [above[0], below[0]];
    yield { key, said: upper === undefined ? (lower ?? GONE) : overlaidFacts(upper, lower) };
  }
}
