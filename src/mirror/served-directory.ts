import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { MirrorlatchError } from '../errors.ts';
import { exchange } from '../system/exchange.ts';
import {
  ifThere,
  lstatIfThere,
  readTextIfThere,
  syncDirectory,
  writeWhole,
} from '../system/files.ts';
import { pathsInUse } from '../system/proc.ts';
import { cloneMethodsFor, cloneTree } from './clone.ts';
import { discard, moveTree } from './discard.ts';
import type { Layout } from './layout.ts';
import { syncFilesystem } from './publication.ts';
import { stagedClone } from './staging.ts';
import type { SyncLock } from './sync-lock.ts';

/**
 * For those whose served path has to be a real directory and no symlink: a clone of what is current
 * lies there, and a new one takes its place in one system call, by exchange. Readers that stand in
 * the old one keep it as long as they stay.
 */

/** What the staged clone is called beside the snapshot's own id. */
const SERVED = '+served';

/**
 * Makes ready for `path` to be replaced so from the next publication on. What lies there must be
 * nothing of anybody's.
 *
 * @throws MirrorlatchError USAGE, or UNAVAILABLE when the filesystem cannot exchange names.
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
    for (const directory of [one, other]) rmSync(directory, { recursive: true, force: true });
  }
  rmSync(layout.served, { force: true });
}

function problemWith(layout: Layout, path: string): string | undefined {
  const found = lstatIfThere(path);
  const parent = lstatIfThere(dirname(path));
  if (parent === undefined) return `there is no directory ${dirname(path)}`;
  if (found !== undefined && !found.isDirectory()) return 'it is no directory';
  if (isOurs(layout, path)) return 'the mirror needs it for itself';
  if (found !== undefined && readdirSync(path).length > 0) return 'it is not empty';
  const device = lstatIfThere(layout.root)?.dev;
  const isElsewhere = parent.dev !== device || (found !== undefined && found.dev !== device);
  return isElsewhere ? 'it lies on another filesystem than the mirror' : undefined;
}

/** Brings the served directory up to what is current; does nothing when it is. */
export async function serveDirectory(
  layout: Layout,
  lock: SyncLock,
  path: string,
  id: string,
  signal: AbortSignal,
): Promise<void> {
  forgetUnused(layout);
  if (lstatIfThere(path) && readTextIfThere(layout.served) === `${id}\n`) return;
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

/** Whether a clone that a crash left was to be served, or was served: it may be either. */
export function isServedClone(layout: Layout, path: string): boolean {
  const id = basename(path).split('+')[0] ?? '';
  return path === stagedClone(layout, id + SERVED);
}

/** Keeps what was served before as long as somebody stands in it. */
export function supersede(layout: Layout, path: string): void {
  mkdirSync(layout.superseded, { recursive: true, mode: 0o700 });
  moveTree(path, join(layout.superseded, randomUUID()));
}

/** Removes the trees that were served before and that nobody stands in any more. */
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
