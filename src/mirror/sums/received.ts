import { join } from 'node:path';
import type { Entry } from '../../rsync/itemize.ts';
import { NameWriter } from '../name-list.ts';
import { parseSum, type Sum } from './facts.ts';
import { keyOf } from './lines.ts';

/** Marks a name that was written, or may have been: nothing that was known of it holds any more. */
const TOUCHED = '+';

/** In place of a size and a sum. */
const UNKNOWN = '-';

/**
 * The checksums of the files that rsync has received, as it has computed and compared them in the transfer,
 * in a file: see `Entry`.
 */
export class ReceivedSums {
  readonly #path: string;
  #writer: NameWriter | undefined;
  #count = 0;

  /** @param directory where the file is made. */
  constructor(directory: string) {
    this.#path = join(directory, '.received');
  }

  /**
   * @param entry that of the last transfer counts.
   * @param algorithm of its checksum; undefined if it is not known.
   */
  add({ name, size, checksum, change, isCopied }: Entry, algorithm: string | undefined): void {
    // A file of another size or time than before is another file anyway.
    const isTouched = change !== 'attributes' && !isCopied;
    const isKnown = checksum !== undefined && algorithm !== undefined;
    this.#write(name, isTouched, isKnown ? `${size} ${algorithm}:${checksum}` : undefined);
  }

  /** Something else than a transfer has changed an entry: nothing is known of its content any more. */
  touch(name: string): void {
    this.#write(name, true, UNKNOWN);
  }

  #write(name: string, isTouched: boolean, sum: string | undefined): void {
    this.#writer ??= new NameWriter(this.#path, this.#count === 0 ? 'new' : 'append');
    this.#count += 1;
    const key = keyOf(name);
    if (isTouched) this.#writer.write(key + TOUCHED);
    // The number puts the last one last, in files that are sorted.
    const number = String(this.#count).padStart(12, '0');
    if (sum !== undefined) this.#writer.write(`${key}=${number} ${sum}`);
  }

  /** The files that there are, complete until the next entry is added. */
  files(): string[] {
    this.#writer?.close();
    this.#writer = undefined;
    return this.#count === 0 ? [] : [this.#path];
  }
}

/** What was received under a name. */
export interface Received {
  isTouched: boolean;
  /** Of the last transfer; undefined if there is none for a file of this size. */
  sum: Sum | undefined;
}

/** @param said the lines of one name, sorted. */
export function receivedOf(said: readonly string[], size: string): Received {
  const [, ofSize, text = ''] = /^=\d+ (\d+) (\S+)$/.exec(said.at(-1) ?? '') ?? [];
  return { isTouched: said.includes(TOUCHED), sum: ofSize === size ? parseSum(text) : undefined };
}
