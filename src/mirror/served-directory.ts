import { randomUUID } from 'node:crypto';
import { mkdtempSync, readdirSync, rmdirSync, rmSync, symlinkSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { MirrorlatchError } from '../errors.ts';
import { exchange } from '../system/exchange.ts';
import {
  ifThere,
  lstatIfThere,
  readTextIfThere,
  realPathToBe,
  syncDirectory,
  writeWhole,
} from '../system/files.ts';
import { areOnOneMount, refuseMountsWithin } from '../system/mounts.ts';
import { makeOwnDirectory } from '../system/own-files.ts';
import { pathsInUse, seesAllProcesses } from '../system/proc.ts';
import { quoteForSh } from '../system/quote.ts';
import { isShared } from '../system/shared-filesystem.ts';
import { cloneMethodsFor, cloneTree } from './clone.ts';
import { discard, moveTree } from './discard.ts';
import type { Layout } from './layout.ts';
import { mirrorAround, servedMark } from './open.ts';
import { syncFilesystem } from './publication.ts';
import { parseJson } from './records.ts';
import { readSettings } from './settings.ts';
import { stagedClone } from './staging.ts';
import type { SyncLock } from './sync-lock.ts';

/**
 * A served directory is for servers that need a real directory, not a symlink. It is a clone of the
 * current snapshot, and each publication replaces it with a new clone in one system call, by
 * exchange. Processes that use the old clone keep it until they leave.
 */

/** Follows the snapshot's id in the name of the staged clone. */
const SERVED = '+served';

/** What lies in the served directory, as `.mirrorlatch/served` says. */
interface Record {
  path: string;
  /** The snapshot that it is a clone of; null while one is being put there. */
  id: string | null;
  /** The clones that the mirror put there, by `identityOf`. All else belongs to somebody. */
  ours: string[];
}

/**
 * Prepares `path` to be served from the next publication on.
 *
 * @throws MirrorlatchError USAGE when `path` is not a new or empty directory beside the mirror,
 *   UNAVAILABLE when the filesystem cannot exchange names.
 */
export function prepareServing(layout: Layout, path: string): void {
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
  rmSync(servedMark(path), { force: true });
  symlinkSync(layout.root, servedMark(path));
}

/**
 * Leaves a directory that was served as it is, and makes it known as a part of the mirror no more. The
 * settings come first: a writer that is at work then leaves it alone, too.
 */
export function forgetServed(layout: Layout, path: string): void {
  if (readRecord(layout)?.path === path) rmSync(layout.served, { force: true });
  rmSync(servedMark(path), { force: true });
}

function problemWith(layout: Layout, path: string): string | undefined {
  const found = lstatIfThere(path);
  const parent = lstatIfThere(dirname(path));
  if (parent === undefined) return `the directory ${dirname(path)} does not exist`;
  if (found !== undefined && !found.isDirectory()) return 'it is not a directory';
  const mark = lstatIfThere(servedMark(path));
  if (mark !== undefined && !mark.isSymbolicLink()) return `${servedMark(path)} is in the way`;
  if (isOurs(layout, path)) return 'the mirror needs it for itself';
  const around = mirrorAround(path);
  if (around !== undefined) return `it is a part of the mirror ${around.root}`;
  if (found !== undefined && readdirSync(path).length > 0) return 'it is not empty';
  const device = lstatIfThere(layout.root)?.dev;
  const isElsewhere = parent.dev !== device || (found !== undefined && found.dev !== device);
  if (isElsewhere) return 'it is on another filesystem than the mirror';
  return areOnOneMount(dirname(path), layout.staging)
    ? undefined
    : 'it is on another mount than the mirror';
}

/**
 * Replaces the directory that the mirror is to serve, if any, with a clone of the snapshot `id`, unless
 * it already is one. Nothing is replaced but what the mirror put there, or an empty directory.
 *
 * @param graceMs how long an earlier clone stays whose readers may be invisible.
 * @throws MirrorlatchError LOCK_LOST; IO or NO_SPACE when the clone fails; CONFIGURATION when
 *   something is mounted in the directory or in the snapshot, or the directory is somebody's.
 */
export async function serveDirectory(
  layout: Layout,
  lock: SyncLock,
  id: string,
  { graceMs, signal }: { graceMs: number; signal: AbortSignal },
): Promise<void> {
  forgetUnused(layout, graceMs);
  const wanted = placeToServe(layout);
  if (wanted === undefined || isServed(layout, wanted, id)) return;
  refuseOther(layout, wanted, identityIfThere(wanted));
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
    return;
  }
  refuseOther(layout, path, identityIfThere(path));
  put(layout, fresh, path, id);
  forgetUnused(layout, graceMs);
}

/**
 * Where the current settings want a directory served.
 *
 * @throws MirrorlatchError CONFIGURATION when the way there has changed since it was named, or
 *   something is mounted in it.
 */
function placeToServe(layout: Layout): string | undefined {
  const path = readSettings(layout)?.serveAt;
  if (path === undefined) return undefined;
  const parent = dirname(path);
  const real = realPathToBe(parent);
  const refusal =
    real === parent
      ? lstatIfThere(parent) && !areOnOneMount(parent, layout.staging)
        ? `${parent} is on another mount than the mirror`
        : undefined
      : `${parent} leads to ${real} now`;
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
  const record = readRecord(layout);
  const found = identityIfThere(path);
  return (
    record?.path === path && record.id === id && found !== undefined && record.ours.includes(found)
  );
}

/**
 * Moves the clone to its place. The record comes first, so that after a crash between the two both the
 * old tree and the new one are known.
 */
function put(layout: Layout, fresh: string, path: string, id: string): void {
  const identity = identityIfThere(fresh) ?? '';
  writeRecord(layout, { path, id: null, ours: [...known(layout, path), identity] });
  if (lstatIfThere(path) === undefined) {
    moveTree(fresh, path);
  } else {
    exchange(fresh, path);
    try {
      // Between the look and the exchange, somebody may have put another directory there.
      refuseOther(layout, path, identityIfThere(fresh), fresh);
      setAside(layout, fresh, path);
    } catch (error) {
      exchange(fresh, path);
      throw error;
    }
  }
  syncDirectory(dirname(path));
  writeRecord(layout, { path, id, ours: [identity] });
}

/** An empty directory of somebody's is removed by rmdir(2), which spares what was put in meanwhile. */
function setAside(layout: Layout, old: string, path: string): void {
  if (known(layout, path).includes(identityIfThere(old) ?? '')) supersede(layout, old);
  else rmdirSync(old);
}

/**
 * @param identity of what lies at `path`.
 * @param now where that lies now.
 * @throws MirrorlatchError CONFIGURATION unless the mirror put it there, or it is empty or nothing.
 */
function refuseOther(layout: Layout, path: string, identity: string | undefined, now = path): void {
  if (identity === undefined || known(layout, path).includes(identity)) return;
  if (lstatIfThere(now)?.isDirectory() && readdirSync(now).length === 0) return;
  const [from, to] = [path, `${path}.old`].map(quoteForSh);
  throw new MirrorlatchError(
    'CONFIGURATION',
    `${path} is not replaced: what lies there was not put there by the mirror ${layout.root}`,
    { hint: `Move it away with: mv -T ${from} ${to}. ${hintToStop(layout)}` },
  );
}

/** The clones that the mirror put at `path`. */
function known(layout: Layout, path: string): readonly string[] {
  const record = readRecord(layout);
  return record?.path === path ? record.ours : [];
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
function readRecord(layout: Layout): Record | undefined {
  const record = parseJson(readTextIfThere(layout.served)) as Partial<Record> | null | undefined;
  const isSound = typeof record?.path === 'string' && Array.isArray(record.ours);
  return isSound ? (record as Record) : undefined;
}

function writeRecord(layout: Layout, record: Record): void {
  writeWhole(layout.served, `${JSON.stringify(record)}\n`);
}

/** Whether a clone that a crash left was made to be served. It may have been served already. */
export function isServedClone(layout: Layout, path: string): boolean {
  const id = basename(path).split('+')[0] ?? '';
  return path === stagedClone(layout, id + SERVED);
}

/** Keeps a clone that was served before, until no process uses it. */
export function supersede(layout: Layout, path: string): void {
  makeOwnDirectory(layout.superseded, 0o700);
  moveTree(path, join(layout.superseded, randomUUID()));
}

/**
 * Discards the clones that were served before and that no process uses. Where processes may be
 * invisible, those of other users, containers or hosts, they stay for the grace time as well.
 */
function forgetUnused(layout: Layout, graceMs: number): void {
  const names = ifThere(() => readdirSync(layout.superseded)) ?? [];
  if (names.length === 0) return;
  const used = new Set(
    pathsInUse(layout.superseded).map(
      ({ path }) => relative(layout.superseded, path).split('/')[0],
    ),
  );
  const isSeen = seesAllProcesses() && !isShared(layout.root);
  for (const name of names) {
    const path = join(layout.superseded, name);
    if (used.has(name) || (!isSeen && isInGrace(path, graceMs))) continue;
    discard(layout, path);
  }
}

/** Its move set the ctime. One in the future is that of a clock that was wrong. */
function isInGrace(path: string, graceMs: number): boolean {
  const movedAt = Number((lstatIfThere(path)?.ctimeNs ?? 0n) / 1_000_000n);
  return Math.abs(Date.now() - movedAt) < graceMs;
}

function isOurs(layout: Layout, path: string): boolean {
  const { state, snapshots, current, previous, gate } = layout;
  const [first = ''] = relative(layout.root, path).split('/');
  return [state, snapshots, current, previous, gate].map((ours) => basename(ours)).includes(first);
}
