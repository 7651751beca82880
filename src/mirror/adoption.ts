import { realpathSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { MirrorlatchError } from '../errors.ts';
import { exchange } from '../system/exchange.ts';
import { lstatIfThere, readlinkIfThere, syncDirectory } from '../system/files.ts';
import { type Layout, snapshotLink } from './layout.ts';
import { readSettings } from './settings.ts';
import type { SyncLock } from './sync-lock.ts';

/**
 * A directory that readers know by its path becomes a tree of a mirror, and its path a symlink to
 * `current`:
 *
 * ```
 *   before     DIR = the tree         ROOT/snapshots/ID -> ROOT/current -> snapshots/ID, a loop
 *   exchange   ───────────────────────── one renameat2(2) ──────────────────────────
 *   after      DIR -> ROOT/current    ROOT/snapshots/ID = the tree
 * ```
 *
 * So at every instant DIR leads to the tree. Where names cannot be exchanged there is a moment
 * between two calls in which DIR is not there; a crash in it is mended by whatever comes next.
 */
export function takeIn(layout: Layout, lock: SyncLock, directory: string, id: string): void {
  const place = layout.snapshot(id);
  const link = relative(realpathSync(dirname(directory)), layout.current);
  lock.replaceLink(layout.current, snapshotLink(id));
  symlinkSync(link, place);
  syncBoth(layout.root, dirname(place));
  lock.assertHeld();
  if (!exchanged(directory, place)) {
    rmSync(place);
    renameSync(directory, place);
    symlinkSync(link, directory);
  }
  syncBoth(dirname(directory), dirname(place));
}

/** The way back, by the same exchange; then nothing is current any more. */
export function giveBack(layout: Layout, directory: string, id: string): void {
  const place = layout.snapshot(id);
  if (!lstatIfThere(directory)?.isSymbolicLink()) {
    throw new MirrorlatchError('CONFIGURATION', `${directory} is not the symlink it should be`, {
      hint: `Move it away, and make it again: ln -s ${layout.current} ${directory}`,
    });
  }
  if (!exchanged(place, directory)) {
    rmSync(directory);
    renameSync(place, directory);
  }
  syncBoth(dirname(directory), dirname(place));
  undoHalf(layout);
}

/**
 * The adopted path while it still is, or is again, a directory of its own, and nothing is current: a
 * crash fell before the exchange, or after the one back. Else undefined.
 */
export function halfAdopted(layout: Layout): string | undefined {
  const adopted = readSettings(layout)?.adopted;
  if (adopted === undefined || !lstatIfThere(adopted)?.isDirectory()) return undefined;
  const target = readlinkIfThere(layout.current);
  const leadsToTree =
    target !== undefined && lstatIfThere(join(layout.root, target))?.isDirectory() === true;
  return leadsToTree ? undefined : adopted;
}

/** @throws MirrorlatchError CONFIGURATION: nobody but a person can tell which of both was wanted. */
export function refuseHalfAdopted(layout: Layout): void {
  const adopted = halfAdopted(layout);
  if (adopted === undefined) return;
  throw new MirrorlatchError(
    'CONFIGURATION',
    `the adoption of ${adopted} by ${layout.root} was interrupted, and that of it which was done is undone`,
    {
      hint: `Finish it with: mirrorlatch init ${layout.root} --adopt ${adopted}, or leave it at that with --unadopt`,
    },
  );
}

/** Takes away what leads nowhere: the symlink in the place of the tree, and `current`. */
export function undoHalf(layout: Layout): void {
  const target = readlinkIfThere(layout.current);
  const place = target === undefined ? undefined : join(layout.root, target);
  if (place !== undefined && lstatIfThere(place)?.isSymbolicLink()) rmSync(place);
  rmSync(layout.current, { force: true });
  syncDirectory(layout.root);
}

/** The adopted path at which nothing lies, for a crash fell between two calls; else undefined. */
export function lostPath(layout: Layout): string | undefined {
  const adopted = readSettings(layout)?.adopted;
  if (adopted === undefined || lstatIfThere(adopted) !== undefined) return undefined;
  return lstatIfThere(layout.current) === undefined ? undefined : adopted;
}

export function restorePath(layout: Layout, adopted: string): void {
  symlinkSync(relative(realpathSync(dirname(adopted)), layout.current), adopted);
  syncDirectory(dirname(adopted));
}

function exchanged(one: string, other: string): boolean {
  try {
    exchange(one, other);
    return true;
  } catch (error) {
    if (error instanceof MirrorlatchError && error.code === 'UNAVAILABLE') return false;
    throw error;
  }
}

function syncBoth(one: string, other: string): void {
  for (const directory of new Set([one, other])) syncDirectory(directory);
}
