import { chainFrom, removeOldChanges } from '../mirror/changes.ts';
import type { Layout } from '../mirror/layout.ts';
import { syncFilesystem } from '../mirror/publication.ts';
import { discardSpare, findSpare, putSpare } from '../mirror/spare.ts';
import { ctimeNow } from '../mirror/staging.ts';
import { identityIfThere } from '../mirror/trees/identity.ts';
import type { Writer } from './writer.ts';

/**
 * Of the snapshots that are to go, the one that is kept for the next sync to recycle: the newest, if it is
 * known what has changed since.
 *
 * @param ids in the order of their publication.
 */
export function chooseSpare(
  { layout, wantsSpare }: Pick<Writer, 'layout' | 'wantsSpare'>,
  ids: readonly string[],
): string | undefined {
  const id = ids.at(-1);
  const snapshot = id && identityIfThere(layout.snapshot(id));
  if (!wantsSpare || id === undefined || snapshot === undefined) return undefined;
  if (hasUsefulSpare(layout)) return undefined;
  return chainFrom(layout, { id, snapshot }) && id;
}

/**
 * Makes a tree the spare that has just been brought up to a snapshot.
 *
 * @throws MirrorlatchError IO when it cannot be written to disk; LOCK_LOST.
 */
export async function keepRecycled(
  { layout, lock }: Writer,
  path: string,
  id: string,
): Promise<void> {
  const since = Number(ctimeNow(layout)) / 1e6;
  await syncFilesystem(layout, lock);
  lock.assertHeld();
  putSpare(layout, path, { id, since });
}

/** Discards a spare that has become too different, and removes the records that lead nowhere any more. */
export function tidyRecycling(writer: Writer): void {
  const { layout, lock, settings } = writer;
  if (settings.mode === 'in-place' || !lock.isHeld) return;
  try {
    if (!hasUsefulSpare(layout)) discardSpare(layout);
    removeOldChanges(layout);
  } catch (error) {
    writer.reportProblem(error, 'the records of old changes could not be removed');
  }
}

function hasUsefulSpare(layout: Layout): boolean {
  const spare = findSpare(layout);
  return spare !== undefined && chainFrom(layout, spare) !== undefined;
}
