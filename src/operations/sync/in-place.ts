import { mkdirSync } from 'node:fs';
import { behindGate, isDoubtful, readGate } from '../../mirror/gate.ts';
import { LIVE } from '../../mirror/layout.ts';
import { bothPlans, type PlanFigures, withoutLosses } from '../../mirror/plan.ts';
import type { Removal } from '../../mirror/plan-lists.ts';
import { takeOut } from '../../mirror/take-out.ts';
import { compareTrees, NO_CONTENT } from '../../mirror/tree-comparison.ts';
import { inPlaceArguments } from '../../rsync/arguments.ts';
import type { Entry } from '../../rsync/itemize.ts';
import { DELAYED } from '../../rsync/temporary-names.ts';
import { untilClean } from '../../rsync/until-clean.ts';
import { lstatIfThere } from '../../system/files.ts';
import { refuseMountsWithin } from '../../system/mounts.ts';
import { removeDirectoriesNamed } from '../../system/remove-tree.ts';
import { figuresOf, publishLive } from '../../writer/publishing.ts';
import { progressOf, reportPlan, type SyncContext } from './context.ts';
import { Differences } from './differences.ts';
import { makePlan } from './make-plan.ts';
import { clearStaging, madeFrom, type Synced, summaryOf, unchanged } from './outcome.ts';
import { forLook, type Look, settle } from './settle.ts';

/**
 * Brings the one tree of an in-place mirror up to its source, behind its gate, and publishes it.
 *
 * When nothing differs and the tree is whole, the gate is not touched. Otherwise it is closed, rsync
 * makes its single pass, and whatever happens the gate is opened again: with the tree whole, or
 * dirty, which guarded readers wait out.
 */
export async function syncInPlace(context: SyncContext): Promise<Synced> {
  const { writer } = context;
  const { layout, lock, policy, signal, before } = writer;
  const tree = layout.snapshot(LIVE);
  writer.enter('planning');
  const gate = readGate(layout);
  const isCompared = isDoubtful(gate) && lstatIfThere(tree) !== undefined;
  const compare = isCompared ? ['--checksum'] : [];
  if (isCompared) {
    const since = 'the machine was restarted since a sync was interrupted';
    writer.notice(`${since}: files are compared by content`);
  }
  const planned = await look(context, tree, compare);
  const { plan } = planned;
  const { figures } = plan;
  reportPlan(writer, figures);
  if (plan.isEmpty && gate.state === 'open' && before !== undefined) {
    return unchanged(context, before, figures);
  }
  context.refuseShrinking(figures);

  writer.enter('closing');
  const closing = {
    by: 'sync',
    drain: policy.drain,
    // rsync's own words may name files that not every reader may know of.
    describeFailure: () => 'the sync failed',
    signal,
    onWait: (message: string) => writer.notice(message),
  };
  let changes = figures;
  const published = await behindGate(layout, lock, closing, async () => {
    if (!lstatIfThere(tree)) mkdirSync(tree);
    await write(context, tree, planned, compare);
    changes = await settled(context, tree, planned);
    await context.confirm?.();
    return publishLive(writer, figuresOf(writer, changes, madeFrom(context, 'none')));
  });
  clearStaging(writer);
  return { ...published, clone: 'none', ...summaryOf(context, changes) };
}

/**
 * Settles the tree, unless the user has turned that off.
 *
 * @returns all that has changed in it.
 */
async function settled(context: SyncContext, tree: string, first: LiveLook): Promise<PlanFigures> {
  const { transfer, signal } = context;
  let changes = first.plan.figures;
  const lookAgain = async (): Promise<LiveLook> => {
    const found = await look(forLook(context), tree);
    // What was written meanwhile is no loss for readers.
    context.refuseShrinking(withoutLosses(found.plan.figures));
    return found;
  };
  const writeAgain = async (found: LiveLook): Promise<void> => {
    changes = bothPlans(changes, found.plan.figures);
    await write(context, tree, found, []);
  };
  const { last } = transfer.without.has('settle')
    ? { last: first }
    : await settle(context, first, lookAgain, writeAgain);
  const { source, leftOut } = last.plan.figures;
  if (last.plan.isExact) return { ...changes, source, leftOut };
  const { figures } = await compareTrees(tree, {
    base: undefined,
    since: NO_CONTENT,
    watched: [],
    signal,
  });
  return { ...changes, source: figures.source, leftOut };
}

interface LiveLook extends Look {
  listener: LiveDifferences;
}

/** What differs from the live tree, and the names of what rsync does not remove by itself. */
class LiveDifferences extends Differences {
  readonly unwanted: Removal[] = [];

  override add(entry: Entry): void {
    super.add(entry);
    if (entry.isLeftOut) this.unwanted.push({ name: entry.name });
  }
}

function look(context: SyncContext, tree: string, compare?: readonly string[]): Promise<LiveLook> {
  return makePlan(context, tree, () => new LiveDifferences(), compare);
}

/** rsync's single pass over the tree; what is mounted in it would be written, too. */
async function write(
  context: SyncContext,
  tree: string,
  { plan, listener }: LiveLook,
  compare: readonly string[],
): Promise<void> {
  const { writer, signal } = context;
  refuseMountsWithin(tree, 'written');
  await takeOut(tree, listener.unwanted, writer.layout.partial, signal);
  await untilClean(context, () => {
    writer.enter('transferring');
    refuseMountsWithin(tree, 'written');
    return {
      args: [...compare, ...inPlaceArguments(context.transfer, tree)],
      onEntry: () => {},
      onProgress: progressOf(writer, plan.figures),
    };
  });
  await removeDirectoriesNamed(DELAYED, tree, writer.inherit);
}
