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
import { refuseMountsWithin } from '../system/mounts.ts';
import { makeOwnDirectory } from '../system/own-files.ts';
import { pathsInUse } from '../system/proc.ts';
import { cloneMethodsFor, cloneTree } from './clone.ts';
import { discard, moveTree } from './discard.ts';
import type { Layout } from './layout.ts';
import { mirrorAround, servedMark } from './open.ts';
import { syncFilesystem } from './publication.ts';
import { stagedClone } from './staging.ts';
import type { SyncLock } from './sync-lock.ts';

/**
 * A served directory is for servers that need a real directory, not a symlink. It is a clone of the
 * current snapshot, and each publication replaces it with a new clone in one system call, by
 * exchange. Processes that use the old clone keep it until they leave.
 */

/** Follows the snapshot's id in the name of the staged clone. */
const SERVED = '+served';

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
      hint: 'Name a new or empty directory beside the mirror, on the same filesystem.',
    });
  }
  const one = mkdtempSync(join(dirname(path), '.mirrorlatch-'));
  const other = mkdtempSync(join(dirname(path), '.mirrorlatch-'));
  try {
    exchange(one, other);
  } finally {
    for (const directory of [one, other]) rmdirSync(directory);
  }
  forgetServed(layout, path);
  symlinkSync(layout.root, servedMark(path));
}

/** Leaves a directory that was served as it is, and makes it known as a part of the mirror no more. */
export function forgetServed(layout: Layout, path: string): void {
  rmSync(layout.served, { force: true });
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
  return isElsewhere ? 'it is on another filesystem than the mirror' : undefined;
}

/**
 * Replaces the served directory with a clone of the snapshot `id`, unless it already is one.
 *
 * @throws MirrorlatchError LOCK_LOST; IO or NO_SPACE when the clone fails; CONFIGURATION when
 *   something is mounted in the directory or in the snapshot.
 */
export async function serveDirectory(
  layout: Layout,
  lock: SyncLock,
  path: string,
  id: string,
  signal: AbortSignal,
): Promise<void> {
  forgetUnused(layout);
  if (lstatIfThere(path) && readTextIfThere(layout.served) === `${id}\n`) return;
  refuseMountsWithin(realPathToBe(path), 'replaced');
  const inherit = [lock.descriptor];
  const fresh = stagedClone(layout, id + SERVED);
  const snapshot = layout.snapshot(id);
  const methods = cloneMethodsFor(snapshot, 'auto');
  await cloneTree(snapshot, fresh, { methods, inherit, signal });
  await syncFilesystem(layout, lock);
  lock.assertHeld();
  if (lstatIfThere(path) === undefined) {
    moveTree(fresh, path);
  } else {
    exchange(fresh, path);
    supersede(layout, fresh);
  }
  syncDirectory(dirname(path));
  writeWhole(layout.served, `${id}\n`);
  forgetUnused(layout);
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

/** Discards the clones that were served before and that no process uses. */
function forgetUnused(layout: Layout): void {
  const names = ifThere(() => readdirSync(layout.superseded)) ?? [];
  if (names.length === 0) return;
  const used = new Set(
    pathsInUse(layout.superseded).map(
      ({ path }) => relative(layout.superseded, path).split('/')[0],
    ),
  );
  for (const name of names) {
    if (!used.has(name)) discard(layout, join(layout.superseded, name));
  }
}

function isOurs(layout: Layout, path: string): boolean {
  const { state, snapshots, current, previous, gate } = layout;
  const [first = ''] = relative(layout.root, path).split('/');
  return [state, snapshots, current, previous, gate].map((ours) => basename(ours)).includes(first);
}
