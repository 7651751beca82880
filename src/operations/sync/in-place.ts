import { mkdirSync } from 'node:fs';
import { type DrainOptions, isDoubtful, readGate, shutGate } from '../../mirror/gate.ts';
import type { SyncFigures } from '../../mirror/history.ts';
import { LIVE } from '../../mirror/layout.ts';
import { Plan, type PlanFigures } from '../../mirror/plan.ts';
import { publishInPlace } from '../../mirror/publication.ts';
import type { SyncLock } from '../../mirror/sync-lock.ts';
import { DELAYED, inPlaceArguments, planArguments } from '../../rsync/arguments.ts';
import { runRsync } from '../../rsync/run.ts';
import { lstatIfThere } from '../../system/files.ts';
import { removeDirectoriesNamed } from '../../system/remove-tree.ts';
import { type BuiltTree, enter, keepsOf, progressOf, type SyncContext } from './build-tree.ts';

/**
 * Writes the one tree of an in-place mirror anew, behind its gate.
 *
 * Nothing differs and the tree is whole: the gate is not touched. Else it is closed, rsync does its
 * single pass, and whatever happens the gate is opened again: as whole, or as one that guarded
 * readers had better wait for.
 *
 * @returns what was changed; it is published then.
 */
export async function syncInPlace(
  context: SyncContext,
  lock: SyncLock,
  drain: DrainOptions,
  figuresOf: (plan: PlanFigures, clone: string) => SyncFigures,
): Promise<BuiltTree> {
  const { layout, onEvent } = context;
  const tree = layout.snapshot(LIVE);
  enter(context, 'planning');
  const gate = readGate(layout);
  const isWhole = gate.state === 'open' && context.base !== undefined;
  const compare = isDoubtful(gate) && lstatIfThere(tree) ? ['--checksum'] : [];
  if (compare.length > 0) {
    const message =
      'the machine was restarted since a sync was interrupted: files are compared by content';
    onEvent({ kind: 'notice', message });
  }
  const plan = await planInto(context, tree, compare);
  onEvent({ kind: 'planned', plan: plan.figures });
  if (plan.isEmpty && isWhole) return { plan: plan.figures, isChanged: false, clone: 'none' };
  context.guard(plan.figures);

  enter(context, 'closing');
  const reopen = await shutGate(layout, lock, 'sync', drain);
  let isDone = false;
  try {
    if (!lstatIfThere(tree)) mkdirSync(tree);
    await transfer(context, tree, plan.figures, compare);
    await removeDirectoriesNamed(DELAYED, tree, context.inherit);
    await context.confirm?.();
    enter(context, 'publishing');
    await publishInPlace(layout, lock, figuresOf(plan.figures, 'none'));
    isDone = true;
  } finally {
    reopen(isDone ? 'open' : 'dirty', isDone ? '' : 'the sync failed');
  }
  return { plan: plan.figures, isChanged: true, clone: 'none' };
}

/** What differs between the source and `tree`. */
async function planInto(
  context: SyncContext,
  tree: string,
  compare: readonly string[],
): Promise<Plan> {
  for (;;) {
    const plan = new Plan(tree, keepsOf(context));
    const { ending, totals, complaints } = await runRsync({
      ...context,
      args: [...compare, ...planArguments(context.transfer, tree)],
      onEntry: (entry) => void plan.add(entry),
    });
    plan.figures.source = totals;
    if (ending.kind === 'clean') return plan;
    await context.retries.again(ending, complaints);
  }
}

async function transfer(
  context: SyncContext,
  tree: string,
  figures: PlanFigures,
  compare: readonly string[],
): Promise<void> {
  for (;;) {
    enter(context, 'transferring');
    const { ending, complaints } = await runRsync({
      ...context,
      args: [...compare, ...inPlaceArguments(context.transfer, tree)],
      onEntry: () => {},
      onProgress: progressOf(context, figures),
    });
    if (ending.kind === 'clean') return;
    await context.retries.again(ending, complaints);
  }
}
