import { realpathSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { MirrorlatchError } from '../errors.ts';
import {
  ifAllowed,
  lstatIfThere,
  readlinkIfThere,
  realPathToBe,
  syncDirectory,
} from '../system/files.ts';
import { isWithin } from '../system/mounts.ts';
import { pause } from '../system/pause.ts';
import { quoteForSh } from '../system/quote.ts';
import { withdraw } from './current-file.ts';
import { exchangeTrees, moveTree } from './discard.ts';
import { type Layout, LIVE, snapshotLink } from './layout.ts';
import type { SyncLock } from './locks/sync-lock.ts';
import { readSettings } from './settings/settings.ts';

/**
 * Adopts a directory: it becomes a tree of the mirror, and the path that readers know becomes a
 * symlink to `current`:
 *
 * ```
 *   before     DIR = the tree         ROOT/snapshots/ID -> ROOT/current -> snapshots/ID, a loop
 *   exchange   ───────────────────────── one renameat2(2) ──────────────────────────
 *   after      DIR -> ROOT/current    ROOT/snapshots/ID = the tree
 * ```
 *
 * So DIR leads to the tree at every instant. On a filesystem that cannot exchange names, DIR is
 * missing for a moment between two system calls; after a crash there, the next command finds the symlink
 * under the name ALIAS beside DIR, and puts it in its place.
 *
 * @throws MirrorlatchError LOCK_LOST; USAGE when DIR is no directory any more, and all is as before.
 */
export function takeIn(layout: Layout, lock: SyncLock, directory: string, id: string): void {
  const place = layout.snapshot(id);
  const link = linkAt(layout, directory);
  lock.replaceLink(layout.current, snapshotLink(id));
  symlinkSync(link, place);
  syncBoth(layout.root, dirname(place));
  lock.assertHeld();
  if (!exchanged(directory, place)) {
    const alias = aliasBeside(directory, directory);
    removeAliases(layout);
    symlinkSync(link, alias);
    syncDirectory(dirname(alias));
    rmSync(place);
    moveTree(directory, place);
    renameSync(alias, directory);
  }
  if (!lstatIfThere(place)?.isDirectory()) {
    // Between the look and the exchange, somebody took the directory, as another adoption does.
    moveBack(place, directory);
    undoHalf(layout);
    throw new MirrorlatchError('USAGE', `${directory} is no longer a directory`, {
      hint: `See what it is with: ls -ld ${quoteForSh(directory)}`,
    });
  }
  syncBoth(dirname(directory), dirname(place));
}

/** Exchanges the two again, where the symlink in the place of the directory is of no use. */
function moveBack(place: string, directory: string): void {
  if (exchanged(place, directory)) return;
  rmSync(directory);
  moveTree(place, directory);
}

/**
 * Gives an adopted directory back, by the same exchange. After this, nothing is current.
 *
 * A reader that has just followed the symlink DIR looks for the tree in its old place, and finds
 * the symlink there. So both places get a symlink of the same name, ALIAS, which leads to the tree
 * before and after the exchange:
 *
 * ```
 *   before     DIR -> ALIAS -> ROOT/snapshots/ID = the tree        (ALIAS beside DIR)
 *   after      ROOT/snapshots/ID -> ALIAS -> DIR = the tree        (ALIAS beside ID)
 * ```
 *
 * @throws MirrorlatchError CONFIGURATION when `directory` does not lead to what is current; LOCK_LOST.
 */
export async function giveBack(
  layout: Layout,
  lock: SyncLock,
  directory: string,
  id: string,
): Promise<void> {
  const place = layout.snapshot(id);
  if (divertedPath(layout) !== undefined) {
    throw new MirrorlatchError('CONFIGURATION', `${directory} does not lead to ${layout.current}`, {
      hint: hintToLink(layout, directory),
    });
  }
  if (id !== LIVE) withdraw(layout, lock, 'current');
  for (const alias of aliasesOf(layout, directory)) rmSync(alias, { force: true });
  symlinkSync(place, aliasBeside(directory, directory));
  symlinkSync(directory, aliasBeside(place, directory));
  lock.replaceLink(directory, basename(aliasBeside(directory, directory)));
  moveBack(place, directory);
  syncBoth(dirname(directory), dirname(place));
  await pause(LOOKUP_MS);
  undoHalf(layout);
}

/** How long a path lookup that began before the exchange may take. */
const LOOKUP_MS = 100;

function aliasBeside(path: string, directory: string): string {
  return join(dirname(path), `.${basename(directory)}.mirrorlatch`);
}

function aliasesOf(layout: Layout, directory: string): string[] {
  const places = [directory, layout.snapshot(LIVE), layout.snapshot('any')];
  return places.map((path) => aliasBeside(path, directory));
}

/** The root of the mirror into which an adopted path leads; undefined if it is not a symlink. */
export function rootBehind(directory: string): string | undefined {
  const link = readlinkIfThere(directory);
  if (link === undefined) return undefined;
  const path = resolve(dirname(directory), link);
  const place = path === aliasBeside(directory, directory) ? readlinkIfThere(path) : undefined;
  return place === undefined ? dirname(path) : dirname(dirname(place));
}

/**
 * The adopted path, if it is a plain directory and nothing is current: a crash came before the
 * exchange of an adoption, or after the exchange that gave the directory back. Otherwise undefined.
 */
export function halfAdopted(layout: Layout): string | undefined {
  const adopted = readSettings(layout)?.adopted;
  if (adopted === undefined) return undefined;
  const target = readlinkIfThere(layout.current);
  // What is behind a closed gate, which not every user may look past, is believed to be there.
  const leadsToTree =
    target !== undefined &&
    (ifAllowed(() => lstatIfThere(join(layout.root, target))?.isDirectory() === true) ?? true);
  return !leadsToTree && lstatIfThere(adopted)?.isDirectory() ? adopted : undefined;
}

/**
 * @throws MirrorlatchError CONFIGURATION for a half-adopted directory: only a person knows whether
 *   it was being adopted or given back.
 */
export function refuseHalfAdopted(layout: Layout): void {
  const adopted = halfAdopted(layout);
  if (adopted === undefined) return;
  throw new MirrorlatchError(
    'CONFIGURATION',
    `the adoption of ${adopted} by ${layout.root} was interrupted and has been undone`,
    { hint: hintToFinish(layout, adopted) },
  );
}

/** How a person goes on from an adoption of which `refuseHalfAdopted` speaks. */
export function hintToFinish(layout: Layout, adopted: string): string {
  const [root, path] = [layout.root, adopted].map(quoteForSh);
  const mode = readSettings(layout)?.mode === 'in-place' ? ' --in-place' : '';
  return `Adopt it again with: mirrorlatch init ${root} --adopt ${path}${mode}, or give the adoption up with: mirrorlatch init ${root} --unadopt ${path}`;
}

/** Whether the adopted path leads to what is current, as far as this user may see. */
export function isLinked(layout: Layout): boolean {
  const findings = () => [halfAdopted, lostPath, divertedPath].map((find) => find(layout));
  return (ifAllowed(findings) ?? []).every((path) => path === undefined);
}

/** Removes what a half-done adoption left: `current`, and the symlink in the place of the tree. */
export function undoHalf(layout: Layout): void {
  removeAliases(layout);
  const target = readlinkIfThere(layout.current);
  const place = target === undefined ? undefined : join(layout.root, target);
  if (place !== undefined && lstatIfThere(place)?.isSymbolicLink()) rmSync(place);
  rmSync(layout.current, { force: true });
  syncDirectory(layout.root);
}

/**
 * The adopted path, if a crash between two system calls left nothing there, or the symlink that
 * `giveBack` puts there for a moment. Otherwise undefined.
 *
 * The alias beside it proves the crash. A symlink that is missing without one was moved or removed by a
 * person, or this mirror is a copy of the one that the directory was adopted by.
 */
export function lostPath(layout: Layout): string | undefined {
  const adopted = readSettings(layout)?.adopted;
  if (adopted === undefined || lstatIfThere(layout.current) === undefined) return undefined;
  const alias = aliasBeside(adopted, adopted);
  const target = readlinkIfThere(alias);
  if (target === undefined) return undefined;
  const isOurs = isWithin(resolve(dirname(alias), target), layout.root);
  const isLost =
    lstatIfThere(adopted) === undefined || readlinkIfThere(adopted) === basename(alias);
  return isOurs && isLost ? adopted : undefined;
}

/**
 * The adopted path, if it leads elsewhere than to what is current, or nowhere: readers there see no
 * more syncs.
 */
export function divertedPath(layout: Layout): string | undefined {
  const adopted = readSettings(layout)?.adopted;
  if (adopted === undefined || lstatIfThere(layout.current) === undefined) return undefined;
  if (halfAdopted(layout) !== undefined) return undefined;
  return realPathToBe(adopted) === realPathToBe(layout.current) ? undefined : adopted;
}

/**
 * Makes the adopted path a symlink to `current` again.
 *
 * @throws MirrorlatchError LOCK_LOST.
 */
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
    exchangeTrees(one, other);
    return true;
  } catch (error) {
    if (error instanceof MirrorlatchError && error.code === 'UNAVAILABLE') return false;
    throw error;
  }
}

function syncBoth(one: string, other: string): void {
  for (const directory of new Set([one, other])) syncDirectory(directory);
}

/** Whether a path is the symlink that readers of an adopted directory follow to what is current. */
export function leadsToCurrent({ current }: Layout, path: string): boolean {
  const link = readlinkIfThere(path);
  return link !== undefined && resolve(dirname(path), link) === current;
}

/** How a person restores the symlink of an adopted directory, or names the one that readers use now. */
export function hintToLink(layout: Layout, directory: string): string {
  if (!mayLookFor(directory)) return hintToName(layout, directory);
  // With -T, because ln(1) would otherwise put the link into a directory.
  const command = `ln -sT ${quoteForSh(layout.current)} ${quoteForSh(directory)}`;
  return lstatIfThere(directory) === undefined
    ? `Make the symlink again with: ${command}`
    : `Move it away, and make the symlink again with: ${command}`;
}

function mayLookFor(path: string): boolean {
  const isDirectory = ifAllowed(() => {
    lstatIfThere(path);
    return lstatIfThere(realPathToBe(dirname(path)))?.isDirectory();
  });
  return isDirectory === true;
}

/** A symlink that was moved together with the mirror lies beside it still. */
function hintToName(layout: Layout, directory: string): string {
  const moved = join(dirname(layout.root), basename(directory));
  const link = leadsToCurrent(layout, moved) ? quoteForSh(moved) : 'LINK';
  const command = `mirrorlatch init ${quoteForSh(layout.root)} --adopt ${link}`;
  return link === 'LINK'
    ? `Name the symlink to ${layout.current} that readers use now with: ${command}`
    : `If readers use ${moved} now, say so with: ${command}`;
}
