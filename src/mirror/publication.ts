import { MirrorlatchError } from '../errors.ts';
import { syncDirectory } from '../system/files.ts';
import { runProgram } from '../system/process.ts';
import { currentId } from './current.ts';
import { announce, withdraw } from './current-file.ts';
import { moveTree } from './discard.ts';
import {
  type HistoryEntry,
  publicationOf,
  readHistory,
  type SyncFigures,
} from './history/history.ts';
import { type Layout, LIVE, snapshotLink } from './layout.ts';
import { dateLease, makeLease } from './locks/lease.ts';
import type { SyncLock } from './locks/sync-lock.ts';

type Promoted = Extract<HistoryEntry, { event: 'promoted' }>;

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
  announce(layout, lock, 'current', { id, previous, publishedAt: publishedAt ?? at });
  syncDirectory(layout.root);
  // If another host took the lock meanwhile, its recovery has already recorded this flip.
  lock.assertHeld();
  return { at, id, previous };
}

/**
 * Makes or moves a channel, in the order of a publication.
 *
 * @param previous what it names until now; undefined for a new one.
 * @returns the line that history lacks.
 * @throws MirrorlatchError LOCK_LOST, and the channel is unchanged; CONFIGURATION when a directory is in the way.
 */
export function moveChannel(
  layout: Layout,
  lock: SyncLock,
  channel: string,
  id: string,
  previous: string | undefined,
  by: Promoted['by'],
): Promoted {
  lock.replaceLink(layout.channel(channel), snapshotLink(id));
  const at = new Date().toISOString();
  const before = previous ?? null;
  const publishedAt = publicationOf(readHistory(layout), id)?.at ?? at;
  announce(layout, lock, channel, { id, previous: before, publishedAt });
  syncDirectory(layout.root);
  lock.assertHeld();
  return { event: 'promoted', at, channel, id, previous: before, by };
}

/**
 * Takes a channel away. What announces it goes first, so that nothing is left which names no channel.
 *
 * @returns the line that history lacks.
 * @throws MirrorlatchError LOCK_LOST.
 */
export function removeChannel(
  layout: Layout,
  lock: SyncLock,
  channel: string,
  previous: string,
): HistoryEntry {
  withdraw(layout, lock, channel);
  lock.removeFile(layout.channel(channel));
  syncDirectory(layout.root);
  lock.assertHeld();
  return { event: 'channel-removed', at: new Date().toISOString(), channel, previous };
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
