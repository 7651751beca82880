import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { asMirrorlatchError } from '../../errors.ts';
import { ifThere, otherThing } from '../../system/files.ts';
import type { Layout } from '../layout.ts';
import { type HistoryEntry, parseHistoryLine } from './history.ts';

const NEWLINE = 10;
const CHUNK = 64 * 1024;

/** An entry, and where its line begins in the file; bytes. */
export interface PlacedEntry {
  entry: HistoryEntry;
  offset: number;
}

/**
 * `history.jsonl` as it is now, of which only a part is in memory, however long it is. What is appended
 * later, or is trimmed, changes nothing in it.
 */
export class HistoryFile {
  readonly #descriptor: number | undefined;
  readonly #size: number;

  /** @throws MirrorlatchError PERMISSION when this user may not read it, CONFIGURATION when it is no file. */
  constructor({ root, history }: Layout) {
    try {
      // A fifo in its place must not keep us waiting.
      const { O_RDONLY, O_NONBLOCK } = constants;
      this.#descriptor = ifThere(() => openSync(history, O_RDONLY | O_NONBLOCK));
    } catch (error) {
      throw asMirrorlatchError(error, `the history of ${root} cannot be read`);
    }
    const found = this.#descriptor === undefined ? undefined : fstatSync(this.#descriptor);
    this.#size = found?.size ?? 0;
    if (found === undefined || found.isFile()) return;
    this.close();
    throw otherThing(history, 'a file');
  }

  /** The entries, oldest first. @param from where a line begins; bytes. */
  *forwards(from = 0): Generator<PlacedEntry, void> {
    let rest = Buffer.alloc(0);
    let begin = from;
    for (let at = from; at < this.#size; at += CHUNK) {
      rest = Buffer.concat([rest, this.#read(at, Math.min(CHUNK, this.#size - at))]);
      let start = 0;
      for (let end = rest.indexOf(NEWLINE); end !== -1; end = rest.indexOf(NEWLINE, start)) {
        yield* placed(rest.subarray(start, end), begin + start);
        start = end + 1;
      }
      rest = rest.subarray(start);
      begin += start;
    }
    yield* placed(rest, begin);
  }

  /** The entries, newest first. */
  *backwards(): Generator<PlacedEntry, void> {
    let rest = Buffer.alloc(0);
    for (let at = this.#size; at > 0; ) {
      const length = Math.min(CHUNK, at);
      at -= length;
      rest = Buffer.concat([this.#read(at, length), rest]);
      for (let end = rest.lastIndexOf(NEWLINE); end !== -1; end = rest.lastIndexOf(NEWLINE)) {
        yield* placed(rest.subarray(end + 1), at + end + 1);
        rest = rest.subarray(0, end);
      }
    }
    yield* placed(rest, 0);
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
  }

  /** Less than that if the file was shortened. */
  #read(position: number, length: number): Buffer {
    const bytes = Buffer.alloc(length);
    if (this.#descriptor === undefined) return bytes;
    const got = readSync(this.#descriptor, bytes, 0, length, position);
    return bytes.subarray(0, got);
  }
}

/** The entry of a line, unless it is empty or damaged. */
function* placed(line: Buffer, offset: number): Generator<PlacedEntry, void> {
  const entry = line.length === 0 ? undefined : parseHistoryLine(line.toString('utf8'));
  if (entry !== undefined) yield { entry, offset };
}
