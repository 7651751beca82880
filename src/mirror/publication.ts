import { closeSync, fchmodSync, openSync } from 'node:fs';
import { basename } from 'node:path';
import { MirrorlatchError } from '../errors.ts';
import { lstatIfThere, readlinkIfThere, syncDirectory } from '../system/files.ts';
import { runProgram } from '../system/process.ts';
import { halfAdopted } from './adoption.ts';
import { appendHistory, type SyncFigures } from './history.ts';
import { type Layout, LIVE, snapshotLink } from './layout.ts';
import { isSnapshotId } from './snapshot-id.ts';
import { stagedTree } from './staging.ts';
import type { SyncLock } from './sync-lock.ts';
import { moveTree } from './trash.ts';

/**
 * The id that `current` names, or undefined before the first publication.
 *
 * @throws MirrorlatchError CONFIGURATION when `current` is there but names no snapshot.
 */
export function currentId(layout: Layout): string | undefined {
  for (;;) {
    const link = readlinkIfThere(layout.current);
    const id = idOf(layout, link);
    if (id !== undefined) return id;
    // It may have gone on, and what it named been removed, all since it was read.
    if (readlinkIfThere(layout.current) !== link) continue;
    if (lstatIfThere(layout.current) === undefined || halfAdopted(layout) !== undefined)
      return undefined;
    throw new MirrorlatchError(
      'CONFIGURATION',
      `${layout.current} is not a symlink to a snapshot of this mirror`,
      {
        hint: 'Move it away, or point it at a snapshot by hand: ln -sfn snapshots/ID ROOT/current',
      },
    );
  }
}

/** The id of what `current` named before, where that snapshot is still there. */
export function previousId(layout: Layout): string | undefined {
  return idOf(layout, readlinkIfThere(layout.previous));
}

/** The id of the tree that such a link leads to, where it is there. */
function idOf(layout: Layout, target: string | undefined): string | undefined {
  const id = target === undefined ? '' : basename(target);
  if (target !== snapshotLink(id) || !(isSnapshotId(id) || id === LIVE)) return undefined;
  return lstatIfThere(layout.snapshot(id))?.isDirectory() ? id : undefined;
}

/**
 * Publishes a finished tree, by default `staging/<id>`: from then on it is frozen (I2), and `current` names a
 * complete tree at every instant, also after a power cut (I3).
 *
 * The order carries it: content is durable before a name leads to it, the tree leaves the gate
 * whole, and the flip is one rename(2) that fails when the lock has been lost.
 *
 * @throws MirrorlatchError LOCK_LOST, and nothing is published.
 */
export async function publish(
  layout: Layout,
  lock: SyncLock,
  id: string,
  figures: SyncFigures,
  tree = stagedTree(layout, id),
): Promise<void> {
  await syncFilesystem(layout, lock);
  lock.assertHeld();
  moveTree(tree, layout.snapshot(id));
  makeLease(layout, id);
  for (const directory of [layout.snapshots, layout.leases, layout.staging])
    syncDirectory(directory);
  flip(layout, lock, id, (at, previous) => {
    appendHistory(layout, { event: 'published', at, id, previous, ...figures });
  });
}

/**
 * Publishes the tree of an in-place mirror, which has just been written whole: durable, and from the
 * first time on `current` leads to it.
 *
 * @throws MirrorlatchError LOCK_LOST.
 */
export async function publishInPlace(
  layout: Layout,
  lock: SyncLock,
  figures: SyncFigures,
): Promise<void> {
  await syncFilesystem(layout, lock);
  lock.assertHeld();
  const before = currentId(layout);
  if (before === undefined) {
    lock.replaceLink(layout.current, snapshotLink(LIVE));
    syncDirectory(layout.root);
  }
  const at = new Date().toISOString();
  appendHistory(layout, { event: 'published', at, id: LIVE, previous: before ?? null, ...figures });
}

/** Points `current` back at a published snapshot. */
export function republish(layout: Layout, lock: SyncLock, id: string): void {
  flip(layout, lock, id, (at, previous) => {
    appendHistory(layout, { event: 'rolled-back', at, id, previous });
  });
}

function flip(
  layout: Layout,
  lock: SyncLock,
  id: string,
  record: (at: string, previous: string | null) => void,
): void {
  const before = currentId(layout);
  // First `previous`: so what readers of the old snapshot hold is kept at every instant.
  if (before !== undefined) lock.replaceLink(layout.previous, snapshotLink(before));
  lock.replaceLink(layout.current, snapshotLink(id));
  syncDirectory(layout.root);
  // Who has taken the lock since has told it already, as what a crash left untold.
  lock.assertHeld();
  record(new Date().toISOString(), before ?? null);
}

/** The file whose shared lock a reader holds: everybody can open it, nobody can write to it. */
export function makeLease(layout: Layout, id: string): void {
  if (lstatIfThere(layout.lease(id)) !== undefined) return;
  const descriptor = openSync(layout.lease(id), 'wx', 0o444);
  try {
    fchmodSync(descriptor, 0o444);
  } finally {
    closeSync(descriptor);
  }
}

/** syncfs(2) on the mirror's filesystem: rsync's own --fsync leaves directories and links out. */
export async function syncFilesystem(layout: Layout, lock: SyncLock): Promise<void> {
  const { exitCode, stderr } = await runProgram('sync', ['--file-system', '--', layout.root], {
    inherit: [lock.descriptor],
    signal: lock.lost,
  });
  lock.lost.throwIfAborted();
  if (exitCode !== 0) {
    throw new MirrorlatchError(
      'IO',
      `the new snapshot cannot be written to disk: ${stderr.trim()}`,
      {
        hint: 'Look for disk errors with: dmesg',
      },
    );
  }
}
