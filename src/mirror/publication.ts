import { MirrorlatchError } from '../errors.ts';
import { syncDirectory } from '../system/files.ts';
import { runProgram } from '../system/process.ts';
import { currentId } from './current.ts';
import { announceCurrent } from './current-file.ts';
import { moveTree } from './discard.ts';
import { type HistoryEntry, publicationOf, readHistory, type SyncFigures } from './history.ts';
import { type Layout, LIVE, snapshotLink } from './layout.ts';
import { dateLease, makeLease } from './lease.ts';
import type { SyncLock } from './sync-lock.ts';

/**
 * Publishes a finished tree of staging. From then on the tree is frozen (I2), and
 * `current` names a complete tree at every instant, even after a power cut (I3).
 *
 * The order matters: content is durable before a name leads to it, the tree leaves staging whole,
 * and the flip is one rename(2), which fails if the lock has been lost.
 *
 * @returns the line that history lacks.
 * @throws MirrorlatchError LOCK_LOST, and nothing is published; IO when the disk fails.
 */
export async function publish(
  layout: Layout,
  lock: SyncLock,
  id: string,
  figures: SyncFigures,
  tree: string,
): Promise<HistoryEntry> {
  await syncFilesystem(layout, lock);
  lock.assertHeld();
  // The lease first: a tree in `snapshots` without one is a person's own.
  makeLease(layout, id);
  syncDirectory(layout.leases);
  moveTree(tree, layout.snapshot(id));
  dateLease(layout, id);
  for (const directory of [layout.snapshots, layout.staging]) syncDirectory(directory);
  return { event: 'published', ...flip(layout, lock, id), ...figures };
}

/**
 * Publishes the tree of an in-place mirror after it was written whole. The first call points
 * `current` at it.
 *
 * @returns the line that history lacks.
 * @throws MirrorlatchError LOCK_LOST; IO when the disk fails.
 */
export async function publishInPlace(
  layout: Layout,
  lock: SyncLock,
  figures: SyncFigures,
): Promise<HistoryEntry> {
  await syncFilesystem(layout, lock);
  lock.assertHeld();
  const before = currentId(layout);
  if (before === undefined) {
    lock.replaceLink(layout.current, snapshotLink(LIVE));
    syncDirectory(layout.root);
  }
  const at = new Date().toISOString();
  return { event: 'published', at, id: LIVE, previous: before ?? null, ...figures };
}

/**
 * Points `current` at an earlier snapshot again.
 *
 * @returns the line that history lacks.
 * @throws MirrorlatchError LOCK_LOST, and `current` is unchanged.
 */
export function republish(layout: Layout, lock: SyncLock, id: string): HistoryEntry {
  const publishedAt = publicationOf(readHistory(layout), id)?.at;
  return { event: 'rolled-back', ...flip(layout, lock, id, publishedAt) };
}

/**
 * A crash between the links and `current.json` leaves there what was current before, which no prune
 * removes before the next command has finished the flip.
 *
 * @param publishedAt undefined for a snapshot that has never been current.
 */
function flip(layout: Layout, lock: SyncLock, id: string, publishedAt?: string) {
  const before = currentId(layout);
  // `previous` first, so that one of the two names the old snapshot at every instant.
  if (before !== undefined) lock.replaceLink(layout.previous, snapshotLink(before));
  lock.replaceLink(layout.current, snapshotLink(id));
  const [at, previous] = [new Date().toISOString(), before ?? null];
  announceCurrent(layout, lock, { id, previous, publishedAt: publishedAt ?? at });
  syncDirectory(layout.root);
  // If another host took the lock meanwhile, its recovery has already recorded this flip.
  lock.assertHeld();
  return { at, id, previous };
}

/**
 * Calls syncfs(2) on the mirror's filesystem, because rsync's --fsync omits directories and links.
 *
 * @throws MirrorlatchError IO when the disk fails; LOCK_LOST.
 */
export async function syncFilesystem(layout: Layout, lock: SyncLock): Promise<void> {
  const { exitCode, stderr } = await runProgram('sync', ['--file-system', '--', layout.root], {
    inherit: [lock.descriptor],
    signal: lock.lost,
  });
  lock.lost.throwIfAborted();
  if (exitCode !== 0) {
    throw new MirrorlatchError('IO', `${layout.root} cannot be flushed to disk: ${stderr.trim()}`, {
      hint: 'Look for disk errors with: dmesg',
    });
  }
}
