import { mkdirSync } from 'node:fs';
import { behindGate, isDoubtful, readGate } from '../../mirror/gate.ts';
import { LIVE } from '../../mirror/layout.ts';
import type { Plan, PlanFigures } from '../../mirror/plan.ts';
import type { Removal } from '../../mirror/plan-lists.ts';
import { sizeFromPlan } from '../../mirror/shrink-guard.ts';
import { recordSizes } from '../../mirror/sizes-before.ts';
import { sizeBelow } from '../../mirror/tree-size.ts';
import { lstatIfThere } from '../../system/files.ts';
import { figuresOf, publishLive } from '../../writer/publishing.ts';
import { heedSpace } from '../../writer/room.ts';
import { reportPlan, type SyncContext } from './context.ts';
import { refuseToDeleteExcluded } from './excluded.ts';
import { leftOutNamesIn } from './left-out.ts';
import { lookAtLive } from './live-look.ts';
import { LivePass } from './live-pass.ts';
import { planFromNothing } from './make-plan.ts';
import { clearStaging, madeFrom, type Synced, summaryOf, unchanged } from './outcome.ts';

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
  const hasRemains = gate.state !== 'open';
  const planned = await lookAtLive({ ...context, hasRemains }, tree, compare);
  const mayHaveMore = hasRemains && lstatIfThere(tree) !== undefined;
  const brought = mayHaveMore ? await broughtByInterrupted(context, tree) : [];
  const { plan } = planned;
  const { figures } = plan;
  reportPlan(writer, figures);
  if (plan.isEmpty && !hasRemains && before !== undefined) {
    return unchanged(context, before, figures);
  }
  await refuseToDeleteExcluded(context, layout.root, tree, plan);
  context.refuseShrinking(figures);
  await heedSpace(writer, growthOf(plan), 'none');
  recordSizes(layout, !hasRemains, ['', ...context.watched], (within) =>
    within === '' ? sizeFromPlan(figures) : sizeBelow(tree, within),
  );

  writer.enter('closing');
  const closing = {
    by: 'sync',
    drain: policy.drain,
    // rsync's own words may name files that not every reader may know of.
    describeFailure: () => 'the sync failed',
    signal,
    onWait: (message: string) => writer.notice(message),
  };
  const pass = new LivePass(context, tree, brought);
  let changes = figures;
  const published = await behindGate(layout, lock, closing, async () => {
    if (!lstatIfThere(tree)) mkdirSync(tree);
    await pass.write(planned, compare);
    changes = await pass.settle(planned);
    await context.confirm?.();
    return publishLive(writer, figuresOf(writer, changes, madeFrom(context, 'none')));
  });
  clearStaging(writer);
  return { ...published, clone: 'none', ...summaryOf(context, changes) };
}

/** The room that a pass needs at least: what it replaces and deletes makes room meanwhile. */
function growthOf({ figures, replacedBytes }: Plan): PlanFigures {
  const { transferBytes, deletedBytes, newInodes, changedFiles, deletedFiles } = figures;
  return {
    ...figures,
    transferBytes: Math.max(0, transferBytes - replacedBytes - deletedBytes),
    newInodes: Math.max(0, newInodes - changedFiles - deletedFiles),
  };
}

/**
 * Finds what an interrupted pass has brought although it is left out by its name. The tree may have
 * files of such names of its own: the source has to have the same, and no filter may protect them. The
 * directories of `--delay-updates` go with each pass.
 */
async function broughtByInterrupted(context: SyncContext, tree: string): Promise<Removal[]> {
  const found = await leftOutNamesIn(context, tree);
  const files = found.filter(({ type }) => type !== 'directory');
  if (files.length === 0) return [];
  const { excluded } = await planFromNothing(context, tree);
  const isInSource = new Set(excluded);
  return files.filter(({ name }) => isInSource.has(name)).map(({ name }): Removal => ({ name }));
}
