import { randomUUID } from 'node:crypto';
import { closeSync, openSync, readSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { asMirrorlatchError } from '../errors.ts';
import { LineSplitter } from '../rsync/itemize.ts';

/** How much is kept in memory, and written or read at once; bytes. */
const PIECE = 16 * 1024;

/**
 * What changes, in order, each time it is iterated. A long list lies in a temporary file, which has no name
 * and so vanishes with this process. Its items are values of JSON, whose text is one character a byte (latin1).
 */
export class Spool<Item> implements Iterable<Item> {
  /** What is not in the file yet: a JSON text a line, one character a byte. */
  #text = '';
  #file: number | undefined;

  /** @throws MirrorlatchError NO_SPACE and others, if the temporary file cannot be written. */
  add(item: Item): void {
    this.#text += `${JSON.stringify(item)}\n`;
    if (this.#text.length < PIECE) return;
    try {
      this.#file ??= openNameless();
      writeFileSync(this.#file, this.#text, 'latin1');
    } catch (error) {
      throw asMirrorlatchError(error, `the list of changes cannot be written in ${tmpdir()}`);
    }
    this.#text = '';
  }

  /** Frees the room on disk of items that nobody wants any longer. */
  discard(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
    this.#text = '';
  }

  *[Symbol.iterator](): Generator<Item, void> {
    const splitter = new LineSplitter();
    for (const piece of this.#pieces()) {
      for (const line of splitter.push(piece)) yield JSON.parse(line) as Item;
    }
  }

  *#pieces(): Generator<Buffer> {
    const buffer = Buffer.alloc(PIECE);
    for (let at = 0; this.#file !== undefined; ) {
      const length = readSync(this.#file, buffer, 0, PIECE, at);
      if (length === 0) break;
      at += length;
      yield buffer.subarray(0, length);
    }
    yield Buffer.from(this.#text, 'latin1');
  }
}

function openNameless(): number {
  const path = join(tmpdir(), `mirrorlatch-${randomUUID()}`);
  const file = openSync(path, 'wx+', 0o600);
  unlinkSync(path);
  return file;
}
