import { mkdtempSync, readdirSync, rmdirSync, rmSync, symlinkSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { MirrorlatchError } from '../errors.ts';
import { exchange } from '../system/exchange.ts';
import {
  ifAllowed,
  lstatIfThere,
  nearestDirectory,
  readTextIfThere,
  realPathToBe,
  syncDirectory,
  writeWhole,
} from '../system/files.ts';
import { describeMounts, mountsElsewhere, wayToMountAbove } from '../system/mounted-elsewhere.ts';
import { areOnOneMount, isWithin, mountOf, refuseMountsWithin } from '../system/mounts.ts';
import { pathsInUse } from '../system/proc.ts';
import { quoteForSh } from '../system/quote.ts';
import { isShared } from '../system/shared-filesystem.ts';
import { addedNames, describeAdded } from './added-names.ts';
import { cloneMethodsFor, cloneTree } from './clone.ts';
import { discard, exchangeTrees, moveTree } from './discard.ts';
import { earlierClones, forgetUnused, keepEarlier } from './earlier-clones.ts';
import { type Layout, ownNames } from './layout.ts';
import { mirrorThatServes, mirrorWith, servedMark } from './open.ts';
import { syncFilesystem } from './publication.ts';
import { parseJson, type Settings } from './records.ts';
import { readSettings } from './settings.ts';
import { stagedClone } from './staging.ts';
import type { SyncLock } from './sync-lock.ts';

/**
 * A served directory is for servers that need a real directory, not a symlink. It is a clone of the
 * current snapshot, and each publication replaces it with a new clone in one system call, by
 * exchange. Processes that use the old clone keep it until they leave. What they put into it meanwhile,
 * unaware of the exchange, is theirs: such a clone is kept.
 */

/** Follows the snapshot's id in the name of the staged clone. */
const SERVED = '+served';

/** What lies in the served directory, as `.mirrorlatch/served` says. */
interface Served {
  path: string;
  /**
   * The clones that the mirror put there, by `identityIfThere`, and the snapshots that they were made
   * of. All else belongs to somebody.
   */
  clones: Readonly<Record<string, string>>;
}

/**
 * Checks that a directory can be served, and changes nothing. The mirror itself may be missing yet.
 *
 * @throws MirrorlatchError USAGE for an in-place mirror, and when `path` is not a new or empty directory
 *   beside the mirror; UNAVAILABLE when the filesystem cannot exchange names.
 */
export function refuseUnservable(layout: Layout, mode: Settings['mode'], path: string): void {
  if (mode === 'in-place') {
    throw new MirrorlatchError('USAGE', '--serve-at cannot be used with an in-place mirror', {
      hint: 'It needs room for a second tree. Leave one of them out.',
    });
  }
  const problem = problemWith(layout, path);
  if (problem !== undefined) {
    throw new MirrorlatchError('USAGE', `${path} cannot be served: ${problem}`, {
      hint: 'Name a new or empty directory beside the mirror, on the same filesystem and mount.',
    });
  }
  const one = mkdtempSync(join(dirname(path), '.mirrorlatch-'));
  const other = mkdtempSync(join(dirname(path), '.mirrorlatch-'));
  try {
    exchange(one, other);
  } finally {
    for (const directory of [one, other]) rmdirSync(directory);
  }
}

/** Makes `path`, which is to be served from the next publication on, known as a part of the mirror. */
export function markServed(layout: Layout, path: string): void {
  rmSync(servedMark(path), { force: true });
  symlinkSync(layout.root, servedMark(path));
}

/** That of a mirror that was moved leads nowhere. What is not ours and has its name stays. */
function renewMark(layout: Layout, path: string): void {
  const mark = lstatIfThere(servedMark(path));
  if (mark !== undefined && !mark.isSymbolicLink()) return;
  const root = mirrorThatServes(path)?.root;
  if (root === undefined || realPathToBe(root) !== layout.root) markServed(layout, path);
}

/**
 * Leaves a directory that was served as it is, and no longer makes it known as a part of the mirror. The
 * settings come first: a writer that is at work then leaves it alone, too.
 */
export function forgetServed(layout: Layout, path: string): void {
  if (readRecord(layout)?.path === path) rmSync(layout.served, { force: true });
  if (otherServer(layout, path) === undefined) rmSync(servedMark(path), { force: true });
}

/** The root of another mirror that serves the directory, as of the one of which this is a copy. */
function otherServer(layout: Layout, path: string): string | undefined {
  const root = mirrorThatServes(path)?.root;
  return root === undefined || realPathToBe(root) === layout.root ? undefined : root;
}

function problemWith(layout: Layout, path: string): string | undefined {
  const found = lstatIfThere(path);
  const parent = lstatIfThere(dirname(path));
  if (parent === undefined) return `the directory ${dirname(path)} does not exist`;
  if (found !== undefined && !found.isDirectory()) return 'it is not a directory';
  const mark = lstatIfThere(servedMark(path));
  if (mark !== undefined && !mark.isSymbolicLink()) return `${servedMark(path)} is in the way`;
  if (isOurs(layout, path)) return 'the mirror needs it for itself';
  const around = mirrorWith(path);
  if (around !== undefined) return `it is a part of the mirror ${around.root}`;
  if (isWithin(layout.root, path)) return `the mirror ${layout.root} lies in it`;
  if (found !== undefined && readdirSync(path).length > 0) return 'it is not empty';
  const mounts = found === undefined ? [] : mountsElsewhere(pathsInUse(path));
  if (mounts.length > 0)
    return `${describeMounts(mounts)} shows it, which no publication reaches; ${wayToMountAbove(mounts)}`;
  const home = nearestDirectory(layout.staging);
  const device = lstatIfThere(home)?.dev;
  const isElsewhere = parent.dev !== device || (found !== undefined && found.dev !== device);
  if (isElsewhere) return 'it is on another filesystem than the mirror';
  return areOnOneMount(dirname(path), home) ? undefined : 'it is on another mount than the mirror';
}

/**
 * Looks, before `current` is flipped to the snapshot `id`, whether `serveDirectory` may follow.
 *
 * @throws MirrorlatchError CONFIGURATION when something is mounted in the directory, or the directory or
 *   something in it is somebody's.
 */
export async function refuseUnreplaceable(
  layout: Layout,
  id: string,
  signal: AbortSignal,
): Promise<void> {
  const path = placeToServe(layout);
  if (path !== undefined && !isServed(layout, path, id)) {
    await refuseOther(layout, path, path, signal);
  }
}

/**
 * Replaces the directory that the mirror is to serve, if any, with a clone of the snapshot `id`, unless
 * it already is one. Nothing is replaced but what the mirror put there, or an empty directory. To learn
 * before the clone is made whether that is so, call `refuseUnreplaceable` first.
 *
 * @param graceMs how long an earlier clone stays whose readers may be invisible.
 * @returns what a person has to know of the earlier clones that are kept for what was put into them.
 * @throws MirrorlatchError LOCK_LOST; IO or NO_SPACE when the clone fails; CONFIGURATION when
 *   something is mounted in the directory or in the snapshot, or the directory or something in it is
 *   somebody's.
 */
export async function serveDirectory(
  layout: Layout,
  lock: SyncLock,
  id: string,
  { graceMs, signal }: { graceMs: number; signal: AbortSignal },
): Promise<string[]> {
  const kept = await forgetUnused(layout, graceMs, signal);
  const wanted = placeToServe(layout);
  if (wanted !== undefined) renewMark(layout, wanted);
  if (wanted === undefined || isServed(layout, wanted, id)) return kept;
  const inherit = [lock.descriptor];
  const fresh = stagedClone(layout, id + SERVED);
  const snapshot = layout.snapshot(id);
  const methods = cloneMethodsFor(snapshot, 'auto');
  await cloneTree(snapshot, fresh, { methods, inherit, signal });
  await syncFilesystem(layout, lock);
  lock.assertHeld();
  // `init` takes no lock, and may have been at work meanwhile.
  const path = placeToServe(layout);
  if (path === undefined) {
    discard(layout, fresh);
    return kept;
  }
  await refuseOther(layout, path, path, signal);
  await put(layout, fresh, path, id, signal);
  return await forgetUnused(layout, graceMs, signal);
}

/**
 * Where the current settings want a directory served.
 *
 * @throws MirrorlatchError CONFIGURATION when the way there has changed since it was named, another
 *   mirror serves it, or something is mounted in it.
 */
function placeToServe(layout: Layout): string | undefined {
  const path = readSettings(layout)?.serveAt;
  if (path === undefined) return undefined;
  const refusal = problemOnTheWay(layout, path);
  if (refusal !== undefined) {
    throw new MirrorlatchError('CONFIGURATION', `${path} cannot be served: ${refusal}`, {
      hint: hintToStop(layout),
    });
  }
  refuseMountsWithin(path, 'replaced');
  return path;
}

/** Why a directory cannot be served, whatever lies there; undefined if it can. */
export function problemOnTheWay(layout: Layout, path: string): string | undefined {
  const parent = dirname(path);
  const real = realPathToBe(parent);
  if (real !== parent) return `${parent} leads to ${real} now`;
  if (lstatIfThere(parent) === undefined) return `the directory ${parent} does not exist`;
  if (!areOnOneMount(parent, nearestDirectory(layout.staging)))
    return `${parent} is on another mount than the mirror`;
  const server = otherServer(layout, path);
  return server === undefined ? undefined : `it is served by the mirror ${server}`;
}

function hintToStop({ root }: Layout): string {
  return `To serve no directory any more: mirrorlatch init ${quoteForSh(root)} --no-serve-at`;
}

function isServed(layout: Layout, path: string, id: string): boolean {
  return madeOf(layout, path, path) === id;
}

/** The directory that a mirror is to serve. */
export interface ServedDirectory {
  path: string;
  /** The snapshot of which it is a clone now; null if the mirror did not put there what lies there. */
  id: string | null;
  /** What the mirror had put there is gone, or has been replaced. */
  isLost: boolean;
  /** This process cannot judge the directory: it may not look there, or another host keeps it. */
  isUnseen: boolean;
}

/** @returns undefined for a mirror that serves none. */
export function servedDirectory(layout: Layout): ServedDirectory | undefined {
  const path = readSettings(layout)?.serveAt;
  if (path === undefined) return undefined;
  const id = ifAllowed(() => madeOf(layout, path, path) ?? null);
  const isUnseen = id === undefined || isKeptElsewhere(layout);
  const isLost = !isUnseen && id === null && Object.keys(known(layout, path)).length > 0;
  return { path, id: id ?? null, isLost, isUnseen };
}

/** Whether the mirror is seen where nobody can serve a directory: only one kernel can exchange names. */
function isKeptElsewhere({ state }: Layout): boolean {
  return isShared(state) || mountOf(state)?.isReadOnly === true;
}

/** The directory and what is in it, for people. */
export function describeServed({ path, id, isLost, isUnseen }: ServedDirectory): string {
  if (isUnseen) return `${path}, ? (this user, or this host, cannot see what is there)`;
  if (isLost) return `${path}, but what the mirror had put there is gone or replaced`;
  return id === null ? `${path}, which the next sync fills` : `${path}, a clone of ${id}`;
}

/** The served directory and the earlier clones of it, each with the snapshot by which is known what was added. */
export function servedClones(layout: Layout): { path: string; id: string }[] {
  const served = servedDirectory(layout);
  const { path = '', id = null, isUnseen = false } = served ?? {};
  // Of one that is out of sight, nobody knows which of those that the mirror put there it is.
  const possible = isUnseen ? Object.values(known(layout, path)) : [id];
  return [...possible.map((one) => ({ path, id: one })), ...earlierClones(layout)].flatMap(
    (clone) => (typeof clone.id === 'string' ? [{ path: clone.path, id: clone.id }] : []),
  );
}

/**
 * Moves the clone to its place. The record comes first, so that after a crash between the two both the
 * old tree and the new one are known.
 */
async function put(
  layout: Layout,
  fresh: string,
  path: string,
  id: string,
  signal: AbortSignal,
): Promise<void> {
  const clones = { [identityIfThere(fresh) ?? '']: id };
  writeRecord(layout, { path, clones: { ...known(layout, path), ...clones } });
  if (lstatIfThere(path) === undefined) {
    moveTree(fresh, path);
  } else {
    exchangeTrees(fresh, path);
    try {
      // Between the look and the exchange, somebody may have put something there.
      await refuseOther(layout, path, fresh, signal);
      setAside(layout, fresh, path);
    } catch (error) {
      exchangeTrees(fresh, path);
      throw error;
    }
  }
  syncDirectory(dirname(path));
  writeRecord(layout, { path, clones });
}

/** An empty directory of somebody's is removed by rmdir(2), which spares what was put in meanwhile. */
function setAside(layout: Layout, old: string, path: string): void {
  if (madeOf(layout, path, old) === undefined) rmdirSync(old);
  else supersede(layout, old);
}

/**
 * @param now where that which lies, or lay, at `path` is now.
 * @throws MirrorlatchError CONFIGURATION unless the mirror put it there and nobody put anything into
 *   it, or it is empty or nothing.
 */
async function refuseOther(
  layout: Layout,
  path: string,
  now: string,
  signal: AbortSignal,
): Promise<void> {
  const found = lstatIfThere(now);
  if (found === undefined) return;
  const id = madeOf(layout, path, now);
  if (found.isDirectory() && readdirSync(now).length === 0) {
    if (id === undefined) refuseMountElsewhere(layout, path, now);
    return;
  }
  const original = id === undefined ? undefined : layout.snapshot(id);
  if (original === undefined || lstatIfThere(original) === undefined) {
    const [from, to] = [path, `${path}.old`].map(quoteForSh);
    throw notReplaced(
      layout,
      path,
      'what lies there was not put there',
      `Move it away with: mv -T ${from} ${to}`,
    );
  }
  const added = await addedNames(now, original, signal);
  if (added.length === 0) return;
  throw notReplaced(
    layout,
    path,
    `${describeAdded(added)} in it ${added.length === 1 ? 'was' : 'were'} not put there`,
    'Move that elsewhere first',
  );
}

/** An earlier clone of ours that is mounted is kept; an empty directory would go, and its mount stay empty. */
function refuseMountElsewhere(layout: Layout, path: string, now: string): void {
  const mounts = mountsElsewhere(pathsInUse(now));
  if (mounts.length === 0) return;
  const why = `${describeMounts(mounts)} shows it, and would go on showing it empty; ${wayToMountAbove(mounts)}`;
  throw new MirrorlatchError('CONFIGURATION', `${path} is not replaced: ${why}`, {
    hint: hintToStop(layout),
  });
}

function notReplaced(layout: Layout, path: string, why: string, hint: string): MirrorlatchError {
  return new MirrorlatchError(
    'CONFIGURATION',
    `${path} is not replaced: ${why} by the mirror ${layout.root}`,
    { hint: `${hint}. ${hintToStop(layout)}` },
  );
}

/** The clones that the mirror put at `path`. */
function known(layout: Layout, path: string): Served['clones'] {
  const record = readRecord(layout);
  return record?.path === path ? record.clones : {};
}

/** The snapshot of which `now` is a clone, if the mirror put it at `path`. */
function madeOf(layout: Layout, path: string, now: string): string | undefined {
  return known(layout, path)[identityIfThere(now) ?? ''];
}

/**
 * Tells a directory from all others on its filesystem, also from a later one with its inode number.
 * Not by the number of the device, which may change at each mount.
 */
function identityIfThere(path: string): string | undefined {
  const found = lstatIfThere(path);
  return found && `${found.ino}:${found.birthtimeNs}`;
}

/** A record that is lost or broken knows nothing. */
function readRecord(layout: Layout): Served | undefined {
  const record = parseJson(readTextIfThere(layout.served)) as Partial<Served> | null | undefined;
  const isSound = typeof record?.path === 'string' && typeof record.clones === 'object';
  return isSound ? (record as Served) : undefined;
}

function writeRecord(layout: Layout, record: Served): void {
  writeWhole(layout.served, `${JSON.stringify(record)}\n`);
}

/** Whether a tree in staging that a crash left was made to be served, or was served already. */
export function isServedClone(layout: Layout, path: string): boolean {
  return basename(path).endsWith(nameOfStaged(layout, ''));
}

function nameOfStaged(layout: Layout, id: string): string {
  return basename(stagedClone(layout, id + SERVED));
}

/**
 * Sets aside what the exchange has put into staging. It is kept until no process uses it, and longer if
 * somebody has put anything into it.
 */
export function supersede(layout: Layout, path: string): void {
  // A clone that was not finished, or an empty directory of somebody's, is not in the record.
  const madeFor = basename(path).slice(0, -nameOfStaged(layout, '').length);
  const id = readRecord(layout)?.clones[identityIfThere(path) ?? ''] ?? madeFor;
  keepEarlier(layout, path, id);
}

function isOurs(layout: Layout, path: string): boolean {
  const [first = ''] = relative(layout.root, path).split('/');
  return ownNames(layout).includes(first);
}
