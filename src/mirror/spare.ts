import { renameSync, rmSync } from 'node:fs';
import { lstatIfThere, readTextIfThere, syncDirectory, writeWhole } from '../system/files.ts';
import { discard, moveTree } from './discard.ts';
import { identityIfThere } from './identity.ts';
import type { Layout } from './layout.ts';
import { arrivalOf } from './snapshot-times.ts';

/**
 * A snapshot that was pruned, but is not removed: the next sync that changes anything recycles it into its
 * clone, while it plans.
 *
 * A mark beside it says which snapshot it was. A tree that the mark does not fit is discarded.
 */
export interface Spare {
  id: string;
  /** Its identity, also from before it was pruned. */
  tree: string;
  /** When its lease was made, which is after all its directories; ms since the epoch. */
  publishedAt: number;
}

/** Takes a snapshot that nobody reads out of sight, to be the spare. */
export function keepSpare(layout: Layout, id: string): void {
  discardSpare(layout);
  const path = layout.snapshot(id);
  const mark = `${id} ${identityIfThere(path)} ${arrivalOf(layout, id)}\n`;
  writeWhole(layout.spareMark, mark, 0o600);
  moveTree(path, layout.spare);
}

/** The spare, if there is one. */
export function findSpare(layout: Layout): Spare | undefined {
  const mark = /^(\S+) (\S+) (\S+)\n$/.exec(readTextIfThere(layout.spareMark) ?? '');
  const [, id = '', tree, publishedAt] = mark ?? [];
  if (tree === undefined || tree !== identityIfThere(layout.spare)) return undefined;
  return { id, tree, publishedAt: Number(publishedAt) };
}

/** Moves the spare away, to be used. */
export function takeSpare(layout: Layout, path: string): void {
  renameSync(layout.spare, path);
  rmSync(layout.spareMark, { force: true });
  // Or else a power cut may bring it back, half recycled.
  syncDirectory(layout.staging);
}

/** @returns whether there was any. */
export function discardSpare(layout: Layout): boolean {
  rmSync(layout.spareMark, { force: true });
  if (lstatIfThere(layout.spare) === undefined) return false;
  discard(layout, layout.spare);
  return true;
}
