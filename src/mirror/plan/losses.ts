import type { TreeSize } from '../trees/tree-size.ts';

/** What vanishes from a tree, or from a directory in it. */
export interface Loss {
  /** Regular files that are deleted, and do not appear elsewhere under the same name and size. */
  files: number;
  /** Their bytes. */
  bytes: number;
  /** How much larger the whole becomes; negative when it shrinks. */
  growth: number;
  /** How many more files the whole has then; negative when it has fewer. */
  moreFiles: number;
}

const NOTHING: Loss = { files: 0, bytes: 0, growth: 0, moreFiles: 0 };

/** Losses by directory, relative to the tree; `''` is the tree itself. */
export type Losses = Record<string, Loss>;

/**
 * Counts what a tree and some directories in it lose. A file that is deleted in one place and new in
 * another, as when a directory is renamed, is moved and not lost.
 *
 * Names are paths below the tree, one character a byte (latin1).
 */
export class LossCount {
  readonly losses: Losses = {};
  readonly #hasTree: boolean;
  readonly #directories: { within: string; loss: Loss; moves: Map<number, number> }[];

  /**
   * @param watched directories in the tree, in UTF-8.
   * @param hasTree whether there is anything to lose; if not, a million new files need no memory.
   */
  constructor(watched: readonly string[], hasTree: boolean) {
    this.#hasTree = hasTree;
    this.#directories = ['', ...watched].map((directory) => {
      const loss = { ...NOTHING };
      this.losses[directory] = loss;
      const within = directory === '' ? '' : `${Buffer.from(directory).toString('latin1')}/`;
      return { within, loss, moves: new Map() };
    });
  }

  addDeleted(name: string, size: number): void {
    this.#add(name, size, 1);
  }

  addNew(name: string, size: number): void {
    this.#add(name, size, -1);
  }

  addChanged(name: string, from: number, to: number): void {
    for (const { within, loss } of this.#directories)
      if (name.startsWith(within)) loss.growth += to - from;
  }

  /** @param lost 1 for a deleted file, -1 for a new one. */
  #add(name: string, size: number, lost: 1 | -1): void {
    const mark = markOf(name, size);
    for (const { within, loss, moves } of this.#directories) {
      if (!name.startsWith(within)) continue;
      loss.growth -= lost * size;
      loss.moreFiles -= lost;
      if (!this.#hasTree) continue;
      const balance = moves.get(mark) ?? 0;
      if (balance + lost === 0) moves.delete(mark);
      else moves.set(mark, balance + lost);
      // A deleted file is lost unless there is a new one to match it, and the other way round.
      const isMatched = balance * lost < 0;
      const counts = lost === 1 ? !isMatched : isMatched;
      if (!counts) continue;
      loss.files += lost;
      loss.bytes += lost * size;
    }
  }
}

/** What a directory loses. Every object has a property `constructor`, which may be its name, too. */
export function lossIn(losses: Losses, directory: string): Loss | undefined {
  return Object.hasOwn(losses, directory) ? losses[directory] : undefined;
}

/**
 * What a directory loses in all, if it has lost some of it already.
 *
 * @param before its size before that.
 * @param now its size while only `loss` is still to come.
 */
export function lossSince(before: TreeSize, now: TreeSize, loss: Loss): Loss {
  const { files, bytes } = lossBetween(before, {
    files: now.files + loss.moreFiles,
    bytes: now.bytes + loss.growth,
  });
  return { ...loss, files: Math.max(loss.files, files), bytes: Math.max(loss.bytes, bytes) };
}

/** What a directory loses by its size alone, where the names that it had are not known any more. */
export function lossBetween(before: TreeSize, after: TreeSize): Loss {
  const files = before.files - after.files;
  const bytes = before.bytes - after.bytes;
  return { files, bytes, growth: -bytes, moreFiles: -files };
}

/** The sum of the losses of two steps. */
export function bothLosses(one: Losses, next: Losses): Losses {
  return combined(one, next, (a, b) => ({
    files: a.files + b.files,
    bytes: a.bytes + b.bytes,
    growth: a.growth + b.growth,
    moreFiles: a.moreFiles + b.moreFiles,
  }));
}

/** The losses of a step that was begun again, whose first try did some of them. */
export function repeatedLosses(one: Losses, next: Losses): Losses {
  return combined(one, next, (a, b) => ({
    files: Math.max(a.files, b.files),
    bytes: Math.max(a.bytes, b.bytes),
    growth: Math.min(a.growth, b.growth),
    moreFiles: Math.min(a.moreFiles, b.moreFiles),
  }));
}

function combined(one: Losses, next: Losses, combine: (a: Loss, b: Loss) => Loss): Losses {
  const combination: Losses = { ...one };
  for (const [directory, loss] of Object.entries(next)) {
    const before = lossIn(one, directory) ?? NOTHING;
    combination[directory] = combine(before, loss);
  }
  return combination;
}

/** A number for the last part of the name and the size (FNV-1a), small enough to cost no memory. */
function markOf(name: string, size: number): number {
  const text = `${name.slice(name.lastIndexOf('/') + 1)}/${size}`;
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1)
    hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash >> 1;
}
