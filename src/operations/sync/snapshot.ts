import { buildTree } from './build-tree.ts';
import type { SyncContext } from './context.ts';
import { type Looked, unchanged } from './outcome.ts';
import { publishTree } from './publish-tree.ts';

/** Makes the snapshot `id` of the source and publishes it, if there is anything new. */
export async function syncSnapshot(context: SyncContext, id: string): Promise<Looked> {
  const { writer } = context;
  const { isChanged, ...built } = await buildTree(context, id);
  if (!isChanged && writer.before !== undefined)
    return unchanged(context, writer.before, built.plan);
  return publishTree(context, id, built);
}
