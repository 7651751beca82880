import { readdirSync } from 'node:fs';
import { hasCode, MirrorlatchError } from '../errors.ts';
import type { MadeBy } from '../mirror/clone.ts';
import { currentId, previousId } from '../mirror/current.ts';
import type { Layout } from '../mirror/layout.ts';
import type { PlanFigures } from '../mirror/plan.ts';
import { spaceLacking } from '../mirror/preflight.ts';
import { isLackOfSpace } from '../mirror/reserve.ts';
import { sealStaging } from '../mirror/staging.ts';
import { snapshotIds } from '../mirror/survey.ts';
import { emptyTrash } from '../mirror/trash.ts';
import { type FreeSpace, freeSpaceAt } from '../system/mounts.ts';
import { quoteForSh } from '../system/quote.ts';
import { removeTree } from '../system/remove-tree.ts';
import { pruneOldSnapshots } from './pruning.ts';
import type { Writer } from './writer.ts';

/**
 * Runs `work`, which makes a snapshot. If the disk is too full for it, the snapshots go that
 * the end of the session would remove, and `work` runs once more. If the disk is too full even to
 * begin, partly transferred files go as well: otherwise they would keep the disk full for ever.
 *
 * @throws what `work` throws.
 */
export async function makingRoom<Result>(
  writer: Writer,
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (!isLackOfSpace(error)) throw error;
    const hasBegun = error instanceof MirrorlatchError && error.details.rsync !== undefined;
    const hasRoom = (await pruneFirst(writer)) || (!hasBegun && (await removePartialFiles(writer)));
    if (!hasRoom) throw error;
    return await work();
  }
}

/**
 * Makes room for a planned snapshot if less seems to be free than it needs, and warns if that is not
 * enough. The need is a guess, which is too high for sparse files, several names of one file, and
 * filesystems that compress: so only a full disk ends the work.
 *
 * @param clone how the unchanged files get into the new tree.
 * @param free what was free before the clone began.
 */
export async function heedSpace(
  writer: Writer,
  plan: PlanFigures,
  clone: MadeBy,
  free: FreeSpace = freeSpaceAt(writer.layout.staging),
): Promise<void> {
  if (spaceLacking(plan, clone, free) === undefined) return;
  const before = freeSpaceAt(writer.layout.staging);
  await pruneFirst(writer);
  const after = freeSpaceAt(writer.layout.staging);
  const lacking = spaceLacking(plan, clone, {
    bytes: free.bytes + after.bytes - before.bytes,
    inodes: free.inodes && free.inodes + (after.inodes ?? 0n) - (before.inodes ?? 0n),
  });
  if (lacking === undefined) return;
  const message = `the new snapshot may not fit on the disk of ${writer.layout.root}: ${lacking}`;
  writer.onEvent({ kind: 'warning', message });
}

/**
 * Removes the snapshots that the end of the session would remove: the one in the making counts as
 * the latest.
 *
 * @returns whether any was removed.
 */
async function pruneFirst(writer: Writer): Promise<boolean> {
  const { layout, lock, removedFirst } = writer;
  if (!writer.mayPrune || writer.settings.mode === 'in-place') return false;
  const { removed } = pruneOldSnapshots(writer, 'one is coming');
  await emptyTrash(layout, lock);
  if (removed.length === 0) return false;
  removedFirst.push(...removed);
  const them = removed.length === 1 ? 'a snapshot' : `${removed.length} snapshots`;
  const why = 'little room is left, so what would go at the end has gone first';
  writer.notice(`${why}: ${them}, ${removed.join(', ')}`);
  return true;
}

/** @returns whether there were any. */
async function removePartialFiles(writer: Writer): Promise<boolean> {
  const { layout, lock, inherit } = writer;
  if (readdirSync(layout.partial).length === 0) return false;
  lock.assertHeld();
  await removeTree(layout.partial, inherit);
  sealStaging(layout);
  writer.notice('no room is left to begin, so what was only partly transferred has gone');
  return true;
}

/** Adds to the error of a full disk how the mirror itself can make room, if it can. */
export function withWayToRoom(error: unknown, layout: Layout): unknown {
  if (!hasCode(error, 'NO_SPACE')) return error;
  const kept = [currentId(layout), previousId(layout)];
  if (snapshotIds(layout).every((id) => kept.includes(id))) return error;
  const command = `mirrorlatch prune ${quoteForSh(layout.root)} --keep-last 1 --keep-within 0 --grace 0`;
  const way = `To keep only the current and the previous snapshot: ${command}`;
  const { code, message, hint, cause, details } = error;
  return new MirrorlatchError(code, message, { hint: `${hint} ${way}`, cause, details });
}
