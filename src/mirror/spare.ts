import { renameSync, rmSync } from 'node:fs';
import { lstatIfThere, readTextIfThere, syncDirectory, writeWhole } from '../system/files.ts';
import { discard, moveTree } from './discard.ts';
import { arrivalOf } from './history/snapshot-times.ts';
import type { Layout } from './layout.ts';
import { identityIfThere } from './trees/identity.ts';

/**
 * A snapshot that was pruned, but is not removed: the next sync recycles it into its clone, while it plans.
 * If that sync needs none, what it has recycled is the spare again.
 *
 * A mark beside it says which snapshot it equals. A tree that the mark does not fit is discarded.
 */
export interface Spare {
  /** The snapshot that it was, or was brought up to. */
  id: string;
  /** The identity of that snapshot, also from before it was pruned. */
  snapshot: string;
  /** A directory below the top with a later ctime was changed by somebody else; ms since the epoch. */
  since: number;
  /** Another mtime of the top directory tells the same, which moving it does not change; ns since the epoch. */
  top: bigint;
}

/** Takes a snapshot that nobody reads out of sight, to be the spare. */
export function keepSpare(layout: Layout, id: string): void {
  const path = layout.snapshot(id);
  putSpare(layout, path, { id, since: arrivalOf(layout, id) });
}

/**
 * Makes a tree the spare.
 *
 * @param path on disk already, or else a power cut may leave the mark of what is not there.
 */
export function putSpare(
  layout: Layout,
  path: string,
  { id, since }: Pick<Spare, 'id' | 'since'>,
): void {
  discardSpare(layout);
  const [snapshot, own] = [identityIfThere(layout.snapshot(id)), identityIfThere(path)];
  writeWhole(layout.spareMark, `${id} ${snapshot} ${own} ${since} ${topOf(path, since)}\n`, 0o600);
  moveTree(path, layout.spare);
}

/** @returns what no directory has, if it has been changed. */
function topOf(path: string, since: number): bigint | undefined {
  const found = lstatIfThere(path);
  return found && Number(found.ctimeNs) / 1e6 <= since + 1 ? found.mtimeNs : -1n;
}

/** The spare, if there is one. */
export function findSpare(layout: Layout): Spare | undefined {
  const mark = /^(\S+) (\S+) (\S+) (\S+) (-?\d+)\n$/.exec(readTextIfThere(layout.spareMark) ?? '');
  const [, id = '', snapshot = '', own, since, top = ''] = mark ?? [];
  if (own === undefined || own !== identityIfThere(layout.spare)) return undefined;
  return { id, snapshot, since: Number(since), top: BigInt(top) };
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
