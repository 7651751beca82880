import { realpathSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MirrorlatchError } from '../errors.ts';
import { exchange } from '../system/exchange.ts';
import { lstatIfThere, readlinkIfThere, syncDirectory } from '../system/files.ts';
import { type Layout, LIVE, snapshotLink } from './layout.ts';
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
  const link = linkAt(layout, directory);
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

/**
 * The way back, by the same exchange; then nothing is current any more.
 *
 * Whoever is on the way through the symlink at that moment looks for the tree in its old place and
 * finds the symlink there. So that is one of a name that leads to the tree from both places:
 *
 * ```
 *   before     DIR -> ALIAS -> ROOT/snapshots/ID = the tree        (ALIAS beside DIR)
 *   after      ROOT/snapshots/ID -> ALIAS -> DIR = the tree        (ALIAS beside ID)
 * ```
 */
export async function giveBack(
  layout: Layout,
  lock: SyncLock,
  directory: string,
  id: string,
): Promise<void> {
  const place = layout.snapshot(id);
  if (!lstatIfThere(directory)?.isSymbolicLink()) {
    throw new MirrorlatchError('CONFIGURATION', `${directory} is not the symlink it should be`, {
      hint: `Move it away, and make it again: ln -s ${layout.current} ${directory}`,
    });
  }
  for (const alias of aliasesOf(layout, directory)) rmSync(alias, { force: true });
  symlinkSync(place, aliasBeside(directory, directory));
  symlinkSync(directory, aliasBeside(place, directory));
  lock.replaceLink(directory, basename(aliasBeside(directory, directory)));
  if (!exchanged(place, directory)) {
    rmSync(directory);
    renameSync(place, directory);
  }
  syncBoth(dirname(directory), dirname(place));
  await sleep(ON_THE_WAY_MS);
  undoHalf(layout);
}

/** How long it may take to walk a path that began before the exchange. */
const ON_THE_WAY_MS = 100;

function aliasBeside(path: string, directory: string): string {
  return join(dirname(path), `.${basename(directory)}.mirrorlatch`);
}

function aliasesOf(layout: Layout, directory: string): string[] {
  const places = [directory, layout.snapshot(LIVE), layout.snapshot('any')];
  return places.map((path) => aliasBeside(path, directory));
}

/** The root of the mirror that an adopted path leads into, as its symlink tells it. */
export function rootBehind(directory: string): string | undefined {
  const link = readlinkIfThere(directory);
  if (link === undefined) return undefined;
  const path = resolve(dirname(directory), link);
  const place = path === aliasBeside(directory, directory) ? readlinkIfThere(path) : undefined;
  return place === undefined ? dirname(path) : dirname(dirname(place));
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
  removeAliases(layout);
  const target = readlinkIfThere(layout.current);
  const place = target === undefined ? undefined : join(layout.root, target);
  if (place !== undefined && lstatIfThere(place)?.isSymbolicLink()) rmSync(place);
  rmSync(layout.current, { force: true });
  syncDirectory(layout.root);
}

/**
 * The adopted path at which nothing lies, or the symlink that stands there for a moment only, for a
 * crash fell between two calls; else undefined.
 */
export function lostPath(layout: Layout): string | undefined {
  const adopted = readSettings(layout)?.adopted;
  if (adopted === undefined || lstatIfThere(layout.current) === undefined) return undefined;
  const isLost =
    lstatIfThere(adopted) === undefined ||
    readlinkIfThere(adopted) === basename(aliasBeside(adopted, adopted));
  return isLost ? adopted : undefined;
}

export function restorePath(layout: Layout, lock: SyncLock, adopted: string): void {
  lock.replaceLink(adopted, linkAt(layout, adopted));
  removeAliases(layout);
  syncDirectory(dirname(adopted));
}

function linkAt(layout: Layout, directory: string): string {
  return relative(realpathSync(dirname(directory)), layout.current);
}

function removeAliases(layout: Layout): void {
  const adopted = readSettings(layout)?.adopted;
  if (adopted === undefined) return;
  for (const alias of aliasesOf(layout, adopted)) {
    if (lstatIfThere(alias)?.isSymbolicLink()) rmSync(alias);
  }
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
