import { asMirrorlatchError, MirrorlatchError } from '../errors.ts';
import { currentId, previousId, republish } from '../mirror/publication.ts';
import { recover, snapshotIds } from '../mirror/recovery.ts';
import { serveDirectory } from '../mirror/served-directory.ts';
import { closeGate } from '../mirror/staging.ts';
import { acquireSyncLock } from '../mirror/sync-lock.ts';
import { emptyTrash } from '../mirror/trash.ts';
import { placeReader } from '../reader/script.ts';
import { openMirrorWithSnapshots } from './mirror.ts';

export interface RollbackOptions {
  root: string;
  /** The snapshot to go to; by default what `current` named before. */
  id?: string | undefined;
  /** How long to wait for another writer; ms. */
  waitMs?: number | undefined;
  signal?: AbortSignal | undefined;
}

export interface RollbackResult {
  id: string;
  /** What `current` named until now. */
  previous: string;
}

/**
 * Points `current` at an earlier snapshot, by the same flip that publishes.
 *
 * @throws MirrorlatchError BUSY while a sync runs, USAGE when there is no such snapshot.
 */
export async function rollback(options: RollbackOptions): Promise<RollbackResult> {
  const { layout, settings } = openMirrorWithSnapshots(options.root);
  const lock = await acquireSyncLock(layout, {
    command: 'rollback',
    waitMs: options.waitMs,
    signal: options.signal,
  });
  try {
    closeGate(layout);
    await recover(layout, lock);
    placeReader(layout);
    const before = currentId(layout);
    const id = options.id ?? previousId(layout);
    if (before === undefined || id === undefined || !snapshotIds(layout).includes(id)) {
      const what =
        id === undefined ? 'an earlier snapshot' : `a snapshot named ${JSON.stringify(id)}`;
      throw new MirrorlatchError('USAGE', `${layout.root} has no ${what.replace(/^an? /, '')}`, {
        hint: `See what there is with: mirrorlatch list ${layout.root}`,
      });
    }
    if (id !== before) republish(layout, lock, id);
    if (settings.serveAt !== undefined) {
      const signal = AbortSignal.any([lock.lost, ...(options.signal ? [options.signal] : [])]);
      await serveDirectory(layout, lock, settings.serveAt, id, signal);
      await emptyTrash(layout, [lock.descriptor]);
    }
    return { id, previous: before };
  } catch (error) {
    throw asMirrorlatchError(lock.causeOf(error), `the rollback of ${layout.root} failed`);
  } finally {
    await lock.release();
  }
}
