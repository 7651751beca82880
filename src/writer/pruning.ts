import { closeSync, openSync, rmSync } from 'node:fs';
import { currentId, previousId } from '../mirror/current.ts';
import { discard } from '../mirror/discard.ts';
import { appendHistory, readHistory } from '../mirror/history.ts';
import type { Layout } from '../mirror/layout.ts';
import { removeOldLogs } from '../mirror/logs.ts';
import type { RetentionPolicy } from '../mirror/policy.ts';
import { countLeases, findReaders, type Reader } from '../mirror/readers.ts';
import { applyRetention, type DatedSnapshot } from '../mirror/retention.ts';
import { arrivalOf, inOrderOfPublication, snapshotTimes } from '../mirror/snapshot-times.ts';
import { snapshotIds, unrecordedFlip } from '../mirror/survey.ts';
import { emptyTrash } from '../mirror/trash.ts';
import { ifThere, syncDirectory } from '../system/files.ts';
import { tryFlock } from '../system/flock.ts';
import type { Writer } from './writer.ts';

export interface PruneResult {
  removed: string[];
  kept: { id: string; reasons: string[]; readers: Reader[] }[];
}

const IS_READ = 'is held by a reader';

/**
 * Takes the snapshots that no rule keeps and nobody reads (I5) out of sight; the end of the writer's
 * session removes them.
 */
export function pruneOldSnapshots({ layout, lock, policy }: Writer): PruneResult {
  const wanted = choosePrunable(layout, policy.retention);
  const result: PruneResult = { removed: [], kept: wanted.kept };
  for (const id of wanted.removed) {
    lock.assertHeld();
    if (discardUnlessLeased(layout, id)) result.removed.push(id);
    else result.kept.push({ id, reasons: [IS_READ], readers: [] });
  }
  removeOldLogs(layout);
  return result;
}

/**
 * Removes these snapshots at once.
 *
 * @throws MirrorlatchError IO when one of them cannot be removed.
 */
export async function removeOldSnapshots(writer: Writer): Promise<PruneResult> {
  const result = pruneOldSnapshots(writer);
  await emptyTrash(writer.layout, writer.lock);
  return result;
}

/** What the rules and the readers say; removes nothing. */
export function choosePrunable(layout: Layout, retention: RetentionPolicy): PruneResult {
  const decisions = applyRetention(datedSnapshots(layout), retention, Date.now());
  const result: PruneResult = { removed: [], kept: [] };
  const mayGo = decisions.some(({ reasons }) => reasons.length === 0);
  const readersOf = mayGo ? findReaders(layout) : new Map<string, Reader[]>();
  for (const { id, reasons } of decisions) {
    const readers = readersOf.get(id) ?? [];
    // Every lease counts, even if its holder is invisible to this user.
    const isRead = readers.length > 0 || (reasons.length === 0 && countLeases(layout, id) > 0);
    if (reasons.length === 0 && !isRead) result.removed.push(id);
    else result.kept.push({ id, reasons: isRead ? [...reasons, IS_READ] : reasons, readers });
  }
  return result;
}

function datedSnapshots(layout: Layout): DatedSnapshot[] {
  // A dry run comes before the recovery that records it.
  const recorded = readHistory(layout);
  const unrecorded = unrecordedFlip(layout, recorded);
  const history = unrecorded === undefined ? recorded : [...recorded, unrecorded];
  const current = currentId(layout);
  const previous = previousId(layout);
  const arrivedAt = (id: string) => arrivalOf(layout, id);
  const timesOf = snapshotTimes(history, arrivedAt, Date.now());
  return inOrderOfPublication(history, snapshotIds(layout), arrivedAt).map((id) => ({
    id,
    isCurrent: id === current,
    isPrevious: id === previous,
    ...timesOf(id),
  }));
}

/**
 * A reader takes its lease shared before it enters, and then checks that the lease still has its
 * name. So once the lease is held exclusively, no reader can have entered unseen.
 */
function discardUnlessLeased(layout: Layout, id: string): boolean {
  const lease = ifThere(() => openSync(layout.lease(id), 'r'));
  try {
    if (lease !== undefined && tryFlock(lease, 'exclusive') === 'held') return false;
    discard(layout, layout.snapshot(id));
    rmSync(layout.lease(id), { force: true });
    for (const directory of [layout.snapshots, layout.leases]) syncDirectory(directory);
    appendHistory(layout, { event: 'pruned', at: new Date().toISOString(), id });
    return true;
  } finally {
    if (lease !== undefined) closeSync(lease);
  }
}
