import { type Chain, chainFrom, removeOldChanges } from '../mirror/changes.ts';
import { currentId } from '../mirror/current.ts';
import { discard } from '../mirror/discard.ts';
import { hasChangedSince, recycle } from '../mirror/recycle.ts';
import { arrivalOf } from '../mirror/snapshot-times.ts';
import { hasSpare, keepSpare } from '../mirror/spare.ts';
import { stagedClone } from '../mirror/staging.ts';
import { lstatIfThere } from '../system/files.ts';
import type { Writer } from './writer.ts';

/** A snapshot that is pruned to become the spare. */
export interface Recyclable {
  id: string;
  /** Where it goes: in staging, under the name of an unfinished clone. */
  path: string;
  /** From it to what is current. */
  chain: Chain;
  /** ms since the epoch */
  publishedAt: number;
}

/**
 * Of the snapshots that are to go, the one that is to become the clone of the next sync: the newest, if it is
 * known what has changed since.
 *
 * @param ids in the order of their publication.
 */
export function chooseRecyclable(
  { layout, wantsSpare }: Pick<Writer, 'layout' | 'wantsSpare'>,
  ids: readonly string[],
): Recyclable | undefined {
  const id = ids.at(-1);
  if (!wantsSpare || id === undefined || hasSpare(layout)) return undefined;
  const chain = chainFrom(layout, id);
  return chain && { id, path: stagedClone(layout, id), chain, publishedAt: arrivalOf(layout, id) };
}

/** Makes the spare, if a snapshot was pruned for it, and removes the records that no chain needs any more. */
export async function settleSpare(writer: Writer): Promise<void> {
  await makeSpare(writer);
  try {
    if (writer.settings.mode !== 'in-place') removeOldChanges(writer.layout);
  } catch (error) {
    writer.reportProblem(error, 'the records of old changes could not be removed');
  }
}

/**
 * Makes the spare of the snapshot that was pruned for it. If that fails, be it for want of room or because a
 * file has as many names as it can have, the next sync makes a clone.
 */
async function makeSpare(writer: Writer): Promise<void> {
  const { layout, lock, inherit, signal, recyclable } = writer;
  writer.recyclable = undefined;
  const current = currentId(layout);
  if (recyclable === undefined) return;
  const { id, path, chain, publishedAt } = recyclable;
  try {
    if (current === undefined) return;
    if (await hasChangedSince(path, publishedAt, { inherit, signal })) {
      writer.notice(`${id} is not recycled: somebody has changed it`);
      return;
    }
    await recycle(layout, path, layout.snapshot(current), { chain, inherit, signal });
    lock.assertHeld();
    keepSpare(layout, path);
  } catch {
    // What is left of it goes like any pruned snapshot.
  } finally {
    if (lock.isHeld && lstatIfThere(path)) discard(layout, path);
  }
}
