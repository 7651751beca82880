import { readSync } from 'node:fs';
import { Turns } from '../../system/event-loop.ts';
import { FileListFault } from '../listed/file-list.ts';

/** How much of two files is compared at once; bytes. */
const BLOCK = 64 * 1024;

/** In how many lines of each file the next common line is sought: first, and at most. */
const FIRST_WINDOW = 64;
const LAST_WINDOW = 64 * 1024;

/** The most that a window holds, unless its first line is longer; bytes. */
const WINDOW_SIZE = 8 * 1024 * 1024;

const NEWLINE = 10;

/** What lines are read from, in order. */
export interface LineSource {
  /** Fills a part of `into`, and returns how much; 0 at the end. bytes */
  read(into: Buffer): number | Promise<number>;
  /** The byte that ends a line. */
  readonly end: number;
}

/** The lines of a file, from its beginning. */
export function linesOfFile(descriptor: number): LineSource {
  let position = 0;
  const read = (into: Buffer): number => {
    const length = readSync(descriptor, into, 0, into.length, position);
    position += length;
    return length;
  };
  return { read, end: NEWLINE };
}

/** What a program prints, read no faster than it is used. Each line ends with NUL. */
export function linesOfOutput(output: AsyncIterable<Buffer>): LineSource {
  const chunks = output[Symbol.asyncIterator]();
  let rest = Buffer.alloc(0);
  const read = async (into: Buffer): Promise<number> => {
    if (rest.length === 0) {
      const next = await chunks.next();
      if (next.done) return 0;
      rest = next.value as Buffer<ArrayBuffer>;
    }
    const length = rest.copy(into);
    rest = rest.subarray(length);
    return length;
  };
  return { read, end: 0 };
}

/** A line that the other side does not have, or has in another place. */
export interface LineApart {
  side: 'old' | 'new';
  /** Without its end; one character per byte (latin1). */
  line: string;
}

/**
 * Finds the lines in which two texts differ that are mostly the same: what they share is compared block by
 * block, which is as fast as reading it, and takes no memory. A line that has moved appears on both sides.
 */
export async function findLinesApart(
  before: LineSource,
  after: LineSource,
  signal: AbortSignal,
  onLine: (found: LineApart) => void,
): Promise<void> {
  const [old, fresh] = [new LineReader(before), new LineReader(after)];
  const turns = new Turns(signal);
  for (;;) {
    await turns.step();
    const same = sharedLines(await old.atLeast(BLOCK), await fresh.atLeast(BLOCK), before.end);
    if (same > 0) {
      old.skip(same);
      fresh.skip(same);
    } else if (old.isAtEnd && fresh.isAtEnd) return;
    else await skipToShared(old, fresh, turns, onLine);
  }
}

/** How many bytes of whole lines both begin with. */
function sharedLines(one: Buffer, other: Buffer, end: number): number {
  let shared = Math.min(one.length, other.length);
  if (shared === 0) return 0;
  if (!one.subarray(0, shared).equals(other.subarray(0, shared))) {
    let differ = shared;
    shared = 0;
    while (differ - shared > 1) {
      const middle = (shared + differ) >> 1;
      if (one.subarray(shared, middle).equals(other.subarray(shared, middle))) shared = middle;
      else differ = middle;
    }
  }
  return shared === 0 ? 0 : one.lastIndexOf(end, shared - 1) + 1;
}

/** Hands on the lines before the next one that both have; all of a window where it has none. */
async function skipToShared(
  old: LineReader,
  fresh: LineReader,
  turns: Turns,
  onLine: (found: LineApart) => void,
): Promise<void> {
  for (let window = FIRST_WINDOW; ; window *= 4) {
    const [before, after] = [await old.lines(window), await fresh.lines(window)];
    const places = new Map<string, number>();
    after.forEach((line, at) => {
      if (!places.has(line)) places.set(line, at);
    });
    const at = before.findIndex((line) => places.has(line));
    const isLast = window >= LAST_WINDOW || (before.length < window && after.length < window);
    if (at !== -1 || isLast) {
      const upTo = at === -1 ? before.length : at;
      const upToNew = at === -1 ? after.length : (places.get(before[at] ?? '') ?? 0);
      for (const line of before.slice(0, upTo)) onLine({ side: 'old', line });
      for (const line of after.slice(0, upToNew)) onLine({ side: 'new', line });
      old.skipLines(upTo);
      fresh.skipLines(upToNew);
      return;
    }
    await turns.turn();
  }
}

/** Calls back with each line of a file, without its end; one character per byte (latin1). */
export async function eachLine(
  descriptor: number,
  signal: AbortSignal,
  onLine: (line: string) => void,
): Promise<void> {
  const reader = new LineReader(linesOfFile(descriptor));
  const turns = new Turns(signal);
  for (;;) {
    const lines = await reader.lines(FIRST_WINDOW);
    if (lines.length === 0) return;
    lines.forEach(onLine);
    reader.skipLines(lines.length);
    await turns.step();
  }
}

/** Reads whole lines, with a look at what comes next. */
class LineReader {
  readonly #source: LineSource;
  #buffer = Buffer.alloc(2 * BLOCK);
  #start = 0;
  #end = 0;
  #isWhole = false;

  constructor(source: LineSource) {
    this.#source = source;
  }

  get isAtEnd(): boolean {
    return this.#isWhole && this.#start === this.#end;
  }

  /** What comes next: so many bytes or more, unless the text ends before. */
  async atLeast(bytes: number): Promise<Buffer> {
    while (this.#end - this.#start < bytes && !this.#isWhole) await this.#readMore();
    return this.#buffer.subarray(this.#start, this.#end);
  }

  /**
   * The next lines, at most `count`.
   *
   * @throws FileListFault for a line longer than any path.
   */
  async lines(count: number): Promise<string[]> {
    const lines: string[] = [];
    let from = 0;
    while (lines.length < count && from < WINDOW_SIZE) {
      const end = this.#nextEnd(from);
      if (end !== -1) {
        lines.push(this.#text(from, end));
        from = end + 1;
      } else if (this.#isWhole) break;
      else if (this.#end - this.#start - from > BLOCK) throw new FileListFault('has no lines');
      else await this.#readMore();
    }
    return lines;
  }

  skip(bytes: number): void {
    this.#start += bytes;
  }

  skipLines(count: number): void {
    for (let left = count; left > 0; left -= 1) this.skip(this.#nextEnd(0) + 1);
  }

  /** Where the first line after `from` ends, counted from the next byte; -1 if it is not read yet. */
  #nextEnd(from: number): number {
    const end = this.#buffer.indexOf(this.#source.end, this.#start + from);
    return end === -1 || end >= this.#end ? -1 : end - this.#start;
  }

  #text(from: number, to: number): string {
    return this.#buffer.toString('latin1', this.#start + from, this.#start + to);
  }

  async #readMore(): Promise<void> {
    if (this.#start > 0) {
      this.#buffer.copy(this.#buffer, 0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
    if (this.#end === this.#buffer.length) {
      const larger = Buffer.alloc(2 * this.#buffer.length);
      this.#buffer.copy(larger, 0, 0, this.#end);
      this.#buffer = larger;
    }
    const read = await this.#source.read(this.#buffer.subarray(this.#end));
    this.#end += read;
    this.#isWhole = read === 0;
  }
}
