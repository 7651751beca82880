import { readdirSync, rmdirSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { MirrorlatchError } from '../../errors.ts';
import { ifAllowed, lstatIfThere, syncDirectory } from '../../system/files.ts';
import {
  describeMounts,
  mountsElsewhere,
  wayToMountAbove,
} from '../../system/mounted-elsewhere.ts';
import { mountOf, refuseMountsWithin } from '../../system/mounts.ts';
import { pathsInUse } from '../../system/paths-in-use.ts';
import { quoteForSh } from '../../system/quote.ts';
import { isShared } from '../../system/shared-filesystem.ts';
import { cloneMethodsFor, cloneTree } from '../clone.ts';
import { discard, exchangeTrees, moveTree } from '../discard.ts';
import type { Layout } from '../layout.ts';
import type { SyncLock } from '../locks/sync-lock.ts';
import { addedNames, describeAdded } from '../plan/added-names.ts';
import { syncFilesystem } from '../publication.ts';
import { readSettings } from '../settings/settings.ts';
import { stagedClone } from '../staging.ts';
import { identityIfThere } from '../trees/identity.ts';
import { earlierClones, forgetUnused, keepEarlier } from './earlier-clones.ts';
import { problemOnTheWay, renewMark } from './served-claim.ts';
import { knownClones, madeOf, readServed, writeServed } from './served-record.ts';

/**
 * A served directory is for servers that need a real directory, not a symlink. It is a clone of the
 * current snapshot, and each publication replaces it with a new clone in one system call, by
 * exchange. Processes that use the old clone keep it until they leave. What they put into it meanwhile,
 * unaware of the exchange, is theirs: such a clone is kept.
 */

/** Follows the snapshot's id in the name of the staged clone. */
const SERVED = '+served';

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
  const isLost = !isUnseen && id === null && Object.keys(knownClones(layout, path)).length > 0;
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
  const possible = isUnseen ? Object.values(knownClones(layout, path)) : [id];
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
  writeServed(layout, { path, clones: { ...knownClones(layout, path), ...clones } });
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
  writeServed(layout, { path, clones });
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
  const id = readServed(layout)?.clones[identityIfThere(path) ?? ''] ?? madeFor;
  keepEarlier(layout, path, id);
}
