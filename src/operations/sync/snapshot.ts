import { hasCode } from '../../errors.ts';
import { buildTree } from './build-tree.ts';
import type { SyncContext } from './context.ts';
import { type Looked, unchanged } from './outcome.ts';
import { publishTree } from './publish-tree.ts';

/**
 * Makes the snapshot `id` of the source and publishes it, if there is anything new. A source that is in the middle
 * of its own update heals by itself: as long as a check says no and the retries allow it, it is looked at again.
 */
export async function syncSnapshot(context: SyncContext, id: string): Promise<Looked> {
  for (;;) {
    try {
      return await syncOnce(context, id);
    } catch (error) {
      if (!hasCode(error, 'CHECK_FAILED')) throw error;
      await context.retries.again({ kind: 'retry', why: error.message, error });
    }
  }
}

async function syncOnce(context: SyncContext, id: string): Promise<Looked> {
  const { writer, confirm } = context;
  const { isChanged, ...built } = await buildTree(context, id);
  if (!isChanged && writer.before !== undefined)
    return unchanged(context, writer.before, built.plan);
  await confirm?.();
  return publishTree(context, id, built);
}
