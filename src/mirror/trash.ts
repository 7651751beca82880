import { join } from 'node:path';
import { removeTree } from '../system/remove-tree.ts';
import { discardedNames } from './discard.ts';
import type { Layout } from './layout.ts';

/**
 * Removes the trees in the trash.
 *
 * @param inherit descriptors of locks that stay held until the removal has ended.
 * @throws MirrorlatchError the first failure, after removing whatever can be removed.
 */
export async function emptyTrash(layout: Layout, inherit: readonly number[]): Promise<void> {
  const failures: unknown[] = [];
  for (const name of discardedNames(layout)) {
    await removeTree(join(layout.trash, name), inherit).catch((error) => failures.push(error));
  }
  if (failures.length > 0) throw failures[0];
}
