import { mkdirSync } from 'node:fs';
import { hasCode } from '../../errors.ts';
import { LIVE } from '../../mirror/layout.ts';
import { behindGate, isDoubtful, readGate } from '../../mirror/locks/gate.ts';
import { removeBasis } from '../../mirror/plan/basis.ts';
import type { PlanFigures } from '../../mirror/plan/plan.ts';
import type { Removal } from '../../mirror/plan/plan-lists.ts';
import { spaceLacking } from '../../mirror/plan/preflight.ts';
import { takeOut } from '../../mirror/plan/take-out.ts';
import { isLackOfSpace } from '../../mirror/reserve.ts';
import { delaysUpdates } from '../../rsync/arguments.ts';
import { lstatIfThere } from '../../system/files.ts';
import { freeSpaceAt } from '../../system/mounts.ts';
import { mayHeal } from '../../writer/checking.ts';
import { figuresOf } from '../../writer/figures.ts';
import { publishLive } from '../../writer/publishing.ts';
import { heedSpace } from '../../writer/room.ts';
import { recordUnpublished } from '../../writer/sums.ts';
import type { Writer } from '../../writer/writer.ts';
import { findCollected, removeCollected } from './collected.ts';
import { comparesAll, reportPlan, type SyncContext } from './context.ts';
import { refuseToDeleteExcluded } from './excluded.ts';
import { liveGuardOf } from './guard-shrinking.ts';
import { leftOutNamesIn } from './left-out.ts';
import { byOriginal, type LiveLook, lookAtLive } from './live-look.ts';
import { LivePass } from './live-pass.ts';
import { planFromNothing } from './make-plan.ts';
import { clearStaging, type Looked, madeFrom, summaryOf, unchanged } from './outcome.ts';
import { ageWrong } from './wrong.ts';

/**
 * Brings the one tree of an in-place mirror up to its source, behind its gate, and publishes it.
 *
 * When nothing differs and the tree is whole, the gate is not touched. Otherwise it is closed, rsync
 * makes its single pass, and whatever happens the gate is opened again: with the tree whole, or
 * dirty, which guarded readers wait out.
 *
 * @param id of its log.
 */
export async function syncInPlace(context: SyncContext, id: string): Promise<Looked> {
  const { writer } = context;
  const { layout, lock, policy, inherit, signal, before } = writer;
  const tree = layout.snapshot(LIVE);
  writer.enter('planning');
  // What a killed sync has left there would pass for other names of the tree's files.
  await removeBasis(layout, inherit);
  const gate = readGate(layout);
  const isCompared = isDoubtful(gate) && lstatIfThere(tree) !== undefined;
  const compare = isCompared ? ['--checksum'] : [];
  if (isCompared) {
    const since = 'the machine was restarted since a sync was interrupted';
    writer.notice(`${since}: files are compared by content`);
  }
  const hasRemains = gate.state !== 'open';
  const mayHaveMore = hasRemains && lstatIfThere(tree) !== undefined;
  // In a tree that is whole, what has such a name is not rsync's.
  const named = mayHaveMore ? await leftOutNamesIn(context, tree) : [];
  const files = named.filter(({ type }) => type !== 'directory').map(({ name }) => name);
  const collected = mayHaveMore ? await findCollected(context, tree) : undefined;
  const left = { collected, unfinished: byOriginal(files) };
  const planned = await lookAtLive({ ...context, hasRemains }, tree, { compare, left });
  const brought = await broughtByInterrupted(context, tree, files);
  const { plan } = planned;
  const { figures } = plan;
  reportPlan(writer, figures);
  if (plan.isEmpty && !hasRemains && before !== undefined) {
    return unchanged(context, before, figures);
  }
  await refuseToDeleteExcluded(context, layout.root, tree, plan);
  const state = { isWhole: !hasRemains, mayRecord: true };
  const refuseShrinking = await liveGuardOf(context, layout, policy.shrink, figures, state);
  refuseShrinking(figures);
  const { stale, collectedBytes } = planned.listener;
  await heedSpace(writer, growthOf(context, planned, collectedBytes), 'none');
  const fitsAnew =
    collectedBytes > 0 && hasRoomFor(writer, growthOf(context, planned, 0), collectedBytes);
  // The disk may be too full to close the gate.
  if (stale.length > 0) await takeOut(tree, stale, undefined, signal);
  try {
    return await write({ ...context, refuseShrinking }, planned, brought, {
      compare,
      hasRemains,
      id,
    });
  } catch (error) {
    if (!isLackOfSpace(error) || !fitsAnew || !lock.isHeld) throw error;
    writer.notice('no space is left, so what an earlier sync had collected was removed');
    await removeCollected(context, tree);
    return syncInPlace(context, id);
  }
}

/** Writes what a look has found, behind the closed gate, and publishes the tree. */
async function write(
  context: SyncContext,
  planned: LiveLook,
  brought: readonly Removal[],
  { compare, hasRemains, id }: { compare: readonly string[]; hasRemains: boolean; id: string },
): Promise<Looked> {
  const { writer } = context;
  const { layout, lock, policy, signal } = writer;
  const tree = layout.snapshot(LIVE);
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
  let changes = planned.plan.figures;
  const published = await behindGate(layout, lock, closing, async () => {
    if (!lstatIfThere(tree)) mkdirSync(tree);
    changes = await pass.settle(planned, await pass.write(planned, compare));
    for (;;) {
      const isTracked = pass.knowsAllNames && !hasRemains;
      const content = { changed: isTracked ? NOTHING_ELSE : undefined, received: context.received };
      try {
        const made = { ...madeFrom(context, 'none'), log: id };
        return await publishLive(writer, figuresOf(writer, changes, made), {
          ...content,
          isCompared: comparesAll(context),
          confirm: context.confirm,
        });
      } catch (error) {
        await againAfter(error, context, tree).catch(async (last: unknown) => {
          await recordUnpublished(writer, LIVE, tree, content);
          throw last;
        });
        changes = await pass.catchUp();
      }
    }
  });
  clearStaging(writer);
  return { ...published, clone: 'none', ...summaryOf(context, changes) };
}

/** All that a pass has written to was received. */
const NOTHING_ELSE = { names: () => [] };

/** Waits until the source may have healed. @throws what has failed, if that is not to be tried again. */
async function againAfter(error: unknown, context: SyncContext, tree: string): Promise<void> {
  if (hasCode(error, 'CHECK_FAILED')) await ageWrong(context, tree);
  if (!mayHeal(error)) throw error;
  // The gate stays closed meanwhile: what is behind it is broken.
  await context.retries.again({ kind: 'retry', why: error.message, error });
}

/**
 * The room that a pass needs at least. What it deletes makes room meanwhile; what it replaces does so, too,
 * unless old and new lie side by side until all is there.
 *
 * @param collected what a killed pass has collected of that; bytes.
 */
function growthOf(
  { transfer }: SyncContext,
  { plan: { figures, replacedBytes } }: LiveLook,
  collected: number,
): PlanFigures {
  const { transferBytes, deletedBytes, newInodes, changedFiles, deletedFiles } = figures;
  const replaces = !delaysUpdates(transfer);
  const freed = deletedBytes + (replaces ? replacedBytes : collected);
  const freedInodes = deletedFiles + (replaces ? changedFiles : 0);
  return {
    ...figures,
    transferBytes: Math.max(0, transferBytes - freed),
    newInodes: Math.max(0, newInodes - freedInodes),
  };
}

/** Whether something seems to fit once so many bytes more are free. */
function hasRoomFor({ layout }: Writer, growth: PlanFigures, more: number): boolean {
  const free = freeSpaceAt(layout.staging);
  return spaceLacking(growth, 'none', { ...free, bytes: free.bytes + BigInt(more) }) === undefined;
}

/**
 * Finds what an interrupted pass has brought although it is left out by its name. The tree may have
 * files of such names of its own: the source has to have the same, and no filter may protect them. The
 * directories of `--delay-updates` go with each pass.
 *
 * @param files what the tree has of such names.
 */
async function broughtByInterrupted(
  context: SyncContext,
  tree: string,
  files: readonly string[],
): Promise<Removal[]> {
  if (files.length === 0) return [];
  const { excluded } = await planFromNothing(context, tree);
  const isInSource = new Set(excluded);
  return files.filter((name) => isInSource.has(name)).map((name): Removal => ({ name }));
}
