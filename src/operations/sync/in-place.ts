import { mkdirSync } from 'node:fs';
import { behindGate, isDoubtful, readGate } from '../../mirror/gate.ts';
import { LIVE } from '../../mirror/layout.ts';
import type { PlanFigures } from '../../mirror/plan.ts';
import type { Removal } from '../../mirror/plan-lists.ts';
import { measureLive, recordSizes } from '../../mirror/sizes-before.ts';
import { delaysUpdates } from '../../rsync/arguments.ts';
import { lstatIfThere } from '../../system/files.ts';
import { figuresOf, publishLive } from '../../writer/publishing.ts';
import { heedSpace } from '../../writer/room.ts';
import { reportPlan, type SyncContext } from './context.ts';
import { refuseToDeleteExcluded } from './excluded.ts';
import { leftOutNamesIn } from './left-out.ts';
import { type LiveLook, lookAtLive } from './live-look.ts';
import { LivePass } from './live-pass.ts';
import { planFromNothing } from './make-plan.ts';
import { clearStaging, madeFrom, type Synced, summaryOf, unchanged } from './outcome.ts';
import { shrinkGuardOf } from './work.ts';

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
  const planned = await lookAtLive({ ...context, hasRemains }, tree, { compare });
  const mayHaveMore = hasRemains && lstatIfThere(tree) !== undefined;
  const brought = mayHaveMore ? await broughtByInterrupted(context, tree) : [];
  const { plan } = planned;
  const { figures } = plan;
  reportPlan(writer, figures);
  if (plan.isEmpty && !hasRemains && before !== undefined) {
    return unchanged(context, before, figures);
  }
  await refuseToDeleteExcluded(context, layout.root, tree, plan);
  const now = await measureLive(layout, context.watched, writer.inherit);
  const sizes = { now, before: recordSizes(layout, !hasRemains, now) };
  const refuseShrinking = shrinkGuardOf(context, layout, before, policy.shrink, sizes);
  refuseShrinking(figures);
  await heedSpace(writer, growthOf(context, planned), 'none');

  writer.enter('closing');
  const closing = {
    by: 'sync',
    drain: policy.drain,
    // rsync's own words may name files that not every reader may know of.
    describeFailure: () => 'the sync failed',
    signal,
    onWait: (message: string) => writer.notice(message),
  };
  const pass = new LivePass({ ...context, refuseShrinking }, tree, brought);
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

/**
 * The room that a pass needs at least. What it deletes makes room meanwhile; what it replaces does so, too,
 * unless old and new lie side by side until all is there.
 */
function growthOf({ transfer }: SyncContext, { plan, listener }: LiveLook): PlanFigures {
  const { figures, replacedBytes } = plan;
  const { transferBytes, deletedBytes, newInodes, changedFiles, deletedFiles } = figures;
  const replaces = !delaysUpdates(transfer);
  const freed = deletedBytes + (replaces ? replacedBytes : listener.collectedBytes);
  const freedInodes = deletedFiles + (replaces ? changedFiles : 0);
  return {
    ...figures,
    transferBytes: Math.max(0, transferBytes - freed),
    newInodes: Math.max(0, newInodes - freedInodes),
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
