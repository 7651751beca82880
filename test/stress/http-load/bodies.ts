import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** A file of the mirror that is under load. */
export interface LoadedFile {
  readonly path: string;
  /** In bytes. */
  readonly size: number;
  /** Whether it is the same in all generations. */
  readonly isConstant?: boolean;
}

const KIB = 1024;

/** The document with which a run begins. */
export const entry: LoadedFile = { path: 'repodata/repomd.xml', size: 4 * KIB };

/** Larger than what a server can leave to the kernel's buffers at once. */
export const large: readonly LoadedFile[] = [
  { path: 'images/one.iso', size: 4096 * KIB },
  { path: 'images/two.iso', size: 4096 * KIB + 1 },
];

export const small: readonly LoadedFile[] = Array.from({ length: 24 }, (_, index) => ({
  path: `pool/part-${index}.rpm`,
  // From nothing to some 90 KiB.
  size: index * index * 160 + (index % 3),
  isConstant: index % 6 === 5,
}));

const LINE = 64;
/** Enough to compare a whole chunk at once. */
const AT_ONCE = 1024 * LINE;

/** A long part of the content of a file, which is one line again and again. */
function linesOf(generation: number, { path, isConstant = false }: LoadedFile): Buffer {
  const line = `${isConstant ? 'constant' : generation} ${path}`.padEnd(LINE - 1, '.');
  return Buffer.from(`${line}\n`.repeat(AT_ONCE / LINE));
}

/** Writes a generation. */
export function writeGeneration(directory: string, generation: number): void {
  for (const file of [entry, ...large, ...small]) {
    if (file.isConstant === true && generation > 1) continue;
    const path = join(directory, file.path);
    const lines = linesOf(generation, file);
    const content = Buffer.alloc(file.size);
    for (let at = 0; at < file.size; at += AT_ONCE) lines.copy(content, at);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
  }
}

/** Whether two generations of a file are the same. */
export function areSame(file: LoadedFile, one: number, other: number): boolean {
  return one === other || file.isConstant === true || file.size === 0;
}

/**
 * The generation of a file by the beginning of a body, for a server that names none.
 *
 * @param from the place of the body's first byte in the file.
 * @returns undefined if it has no whole line, or the file is the same in all of them.
 */
export function generationOf(beginning: Buffer, from: number): number | undefined {
  const text = beginning.toString('latin1', 0, 2 * LINE);
  const found = (from === 0 ? /^(\d+) / : /\n(\d+) /).exec(text)?.[1];
  return found === undefined ? undefined : Number(found);
}

/** Compares a body with a file as it arrives. */
export class Comparison {
  readonly #lines: Buffer;
  #at: number;
  #wrongAt: number | undefined;

  /** @param from the place of the body's first byte in the file. */
  constructor(generation: number, file: LoadedFile, from: number) {
    this.#lines = linesOf(generation, file);
    this.#at = from;
  }

  take(chunk: Buffer): void {
    let done = 0;
    while (done < chunk.length && this.#wrongAt === undefined) {
      const from = this.#at % AT_ONCE;
      const length = Math.min(chunk.length - done, AT_ONCE - from);
      const differs = chunk.compare(this.#lines, from, from + length, done, done + length) !== 0;
      if (differs) this.#wrongAt = this.#at;
      done += length;
      this.#at += length;
    }
  }

  /** What is wrong with the body, which must end before the byte `to`; undefined if nothing is. */
  wrong(to: number): string | undefined {
    if (this.#wrongAt !== undefined) return `differs after byte ${this.#wrongAt}`;
    return this.#at === to ? undefined : `ends at byte ${this.#at} instead of ${to}`;
  }
}
