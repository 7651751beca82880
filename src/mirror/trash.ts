import { join } from 'node:path';
import { removeTree } from '../system/remove-tree.ts';
import { discardedNames } from './discard.ts';
import type { Layout } from './layout.ts';
import type { SyncLock } from './locks/sync-lock.ts';

/**
 * Removes the trees in the trash, under the lock, which every removal holds until it has ended.
 *
 * @throws MirrorlatchError LOCK_LOST; else the first failure, after removing whatever can be removed.
 */
export async function emptyTrash(layout: Layout, lock: SyncLock): Promise<void> {
  const failures: unknown[] = [];
  for (const name of discardedNames(layout)) {
    lock.assertHeld();
    const path = join(layout.trash, name);
    await removeTree(path, [lock.descriptor]).catch((error) => failures.push(error));
  }
  if (failures.length > 0) throw failures[0];
}
