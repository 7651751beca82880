import { publicationOf, readHistory, type SyncFigures } from '../../mirror/history/history.ts';
import { type Layout, LIVE } from '../../mirror/layout.ts';
import type { PlanFigures } from '../../mirror/plan/plan.ts';
import {
  liveShrinkGuard,
  plannedSize,
  SELECTION,
  type ShrinkGuard,
  type Shrinking,
  shrinkGuard,
  sizeOfSource,
} from '../../mirror/plan/shrink-guard.ts';
import { recordSizes, sizesBefore } from '../../mirror/plan/sizes-before.ts';
import type { ShrinkPolicy } from '../../mirror/settings/policy.ts';
import { type TreeSizes, treeSizes } from '../../mirror/trees/tree-size.ts';
import type { DefaultName, Transfer } from '../../rsync/arguments.ts';
import { haveRules } from '../../rsync/join-options.ts';
import { maxDeleteOf } from '../../rsync/max-delete.ts';
import { parseRsyncOptions, selectAlike } from '../../rsync/options.ts';
import type { PlanContext, Work } from './context.ts';

/** Of what was turned off, that by which a tree has other entries. */
function selecting(without: Iterable<string>): string {
  return [...without]
    .filter((name) => SELECTING.includes(name))
    .sort()
    .join(' ');
}

const SELECTING: readonly string[] = [
  'archive',
  'delete',
  'safe-links',
  'temp-excludes',
  'update-marks',
] satisfies DefaultName[];

/** The guard for each plan of a sync. Under `--without delete` nothing of `current` vanishes. */
export function shrinkGuardOf(
  { transfer, options }: Pick<Work, 'transfer' | 'options'>,
  layout: Layout,
  current: string | undefined,
  policy: ShrinkPolicy,
): ShrinkGuard {
  if (current === undefined) return shrinkGuard(undefined, policy);
  if (transfer.without.has('delete')) return () => {};
  const published = publicationOf(readHistory(layout), current);
  const before = { size: { ...published }, path: layout.snapshot(current) };
  const limits = { ...policy, maxFiles: maxDeleteOf(options) };
  return shrinkGuard(before, limits, causeOfShrinking(transfer, published));
}

function causeOfShrinking(
  transfer: Transfer,
  { rsyncOptions = transfer.options, without = [] }: Partial<SyncFigures> = {},
): Shrinking | undefined {
  return selectsAlike(transfer, { rsyncOptions, without }) ? undefined : SELECTION;
}

function selectsAlike(
  transfer: Transfer,
  { rsyncOptions, without }: { rsyncOptions: readonly string[]; without: readonly string[] },
): boolean {
  return (
    selectAlike(rsyncOptions, transfer.options) &&
    selecting(without) === selecting(transfer.without)
  );
}

/**
 * The guard for each plan of a sync in place.
 *
 * @param plan the first, for the tree as it is.
 * @param isWhole whether no writer has left the tree unfinished.
 * @param mayRecord whether to record what is measured, since the tree is about to be changed.
 */
export async function liveGuardOf(
  context: PlanContext,
  layout: Layout,
  policy: ShrinkPolicy,
  plan: PlanFigures,
  { isWhole, mayRecord }: { isWhole: boolean; mayRecord: boolean },
): Promise<ShrinkGuard> {
  const { transfer, base } = context;
  if (base === undefined || transfer.without.has('delete'))
    return shrinkGuardOf(context, layout, base && LIVE, policy);
  const published = publicationOf(readHistory(layout), LIVE) ?? {};
  const now = await sizesNow(context, layout.snapshot(LIVE), plan, isWhole);
  const recorded = sizesBefore(layout, isWhole);
  const before = {
    tree: recorded.tree ?? now.tree,
    within: new Map([...now.within, ...recorded.within]),
  };
  const tree = { before, now, published };
  if (mayRecord) {
    const selection = { rsyncOptions: [...transfer.options], without: [...transfer.without] };
    const source = { ...sizeOfSource(plan, tree), ...selection };
    recordSizes(layout, isWhole, isWhole ? { source, ...now } : now);
  }
  const { source } = recorded;
  // The options select what counts, and what rules keep does not.
  const size = source !== undefined && selectsAlike(transfer, source) ? source : undefined;
  const limits = { ...policy, maxFiles: maxDeleteOf(context.options) };
  return liveShrinkGuard({ ...tree, size }, limits, causeOfShrinking(transfer, published));
}

/** The sizes of the live tree. Where no file of it is hidden from the plan, that says as much as a search. */
async function sizesNow(
  { transfer: { options }, watched, isRemains, inherit, signal }: PlanContext,
  tree: string,
  plan: PlanFigures,
  isWhole: boolean,
): Promise<TreeSizes> {
  const { named } = parseRsyncOptions(options);
  const keepsMounts = named.some(({ name }) => name === 'one-file-system');
  const isPlanned = isWhole && plan.leftOut.length === 0 && !haveRules(options) && !keepsMounts;
  if (isPlanned && watched.length === 0) return { tree: plannedSize(plan), within: new Map() };
  const isCounted = (name: string) => !isRemains({ name, type: 'file' });
  return await treeSizes(tree, watched, isCounted, { inherit, signal });
}
