import { hasCode } from '../../errors.ts';
import { type Changes, forgetChanges, recordChanges } from '../../mirror/changes.ts';
import { publicationOf, readHistory, type SyncFigures } from '../../mirror/history/history.ts';
import type { WritableByAll } from '../../mirror/history/history-line.ts';
import type { PlanFigures } from '../../mirror/plan/plan.ts';
import { stagedTree } from '../../mirror/staging.ts';
import { isAnyWritable } from '../../mirror/trees/writable.ts';
import { figuresOf } from '../../writer/figures.ts';
import { publishNew } from '../../writer/publishing.ts';
import { recordUnpublished } from '../../writer/sums.ts';
import type { Writer } from '../../writer/writer.ts';
import { type BuiltTree, comparesAll, type SyncContext } from './context.ts';
import { clearStaging, madeFrom, type Synced, summaryOf } from './outcome.ts';
import { takeOutWrong } from './wrong.ts';

/**
 * Publishes the tree `staging/<id>` that a sync has made, and records what was changed in it.
 *
 * @param more what else history keeps of how it was made.
 */
export async function publishTree(
  context: SyncContext,
  id: string,
  { plan, clone, changes }: Omit<BuiltTree, 'isChanged'>,
  more: Partial<SyncFigures> = {},
): Promise<Extract<Synced, { outcome: 'published' }>> {
  const { writer, received } = context;
  await remember(writer, id, plan, changes);
  const figures = {
    ...figuresOf(writer, plan, madeFrom(context, clone)),
    ...(await writableIn(writer, id, changes)),
    ...more,
  };
  const made = { changed: changes?.isPartial ? undefined : changes, received };
  const published = await publishNew(writer, id, figures, {
    tidy: () => clearStaging(writer),
    ...made,
    isCompared: more.look === undefined && comparesAll(context),
    confirm: context.confirm,
  }).catch(async (error: unknown) => {
    const tree = stagedTree(writer.layout, id);
    if (hasCode(error, 'CHECK_FAILED')) await takeOutWrong(writer, tree);
    if (hasCode(error, 'CHECK_FAILED') || hasCode(error, 'HOOK_FAILED'))
      await recordUnpublished(writer, id, tree, made);
    throw error;
  });
  return { ...published, clone, ...summaryOf(context, plan) };
}

/** Best effort: without a record, the snapshots before this one are not recycled. */
async function remember(
  { layout, before }: Writer,
  id: string,
  { source: { entries } }: PlanFigures,
  changes: Changes | undefined,
): Promise<void> {
  forgetChanges(layout, id);
  if (changes === undefined || before === undefined) return;
  const tree = stagedTree(layout, id);
  await recordChanges(layout, id, tree, { base: before, changes, entries }).catch(() =>
    forgetChanges(layout, id),
  );
}

/**
 * What every user may write to in the new tree, without a search of all of it: nothing, if there is nothing
 * in its base, nor among what was changed.
 */
async function writableIn(
  { layout, before, signal }: Writer,
  id: string,
  changes: Changes | undefined,
): Promise<{ writableByAll?: WritableByAll }> {
  const base = before && publicationOf(readHistory(layout), before)?.writableByAll;
  if (!changes || !base || base.count > 0) return {};
  const isAny = await isAnyWritable(stagedTree(layout, id), changes.names(), signal);
  return isAny ? {} : { writableByAll: { count: 0, names: [] } };
}
