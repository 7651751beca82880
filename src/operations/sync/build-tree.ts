import { renameSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { Changes } from '../../mirror/changes.ts';
import { distrustAfterRestart } from '../../mirror/distrust.ts';
import type { Layout } from '../../mirror/layout.ts';
import type { PlanFigures } from '../../mirror/plan/plan.ts';
import { ctimeNow, findLeftovers, keepToCopyFrom, stagedTree } from '../../mirror/staging.ts';
import { compareTrees, NO_CONTENT } from '../../mirror/trees/tree-comparison.ts';
import { keepsHardLinks } from '../../rsync/options.ts';
import { lstatIfThere } from '../../system/files.ts';
import { isWithin } from '../../system/mounts.ts';
import { mayWriteBy, pathsInUse } from '../../system/paths-in-use.ts';
import { heedSpace } from '../../writer/room.ts';
import { BackgroundClone } from './background-clone.ts';
import { type BuiltTree, reportPlan, type SyncContext } from './context.ts';
import { refuseToDeleteExcluded } from './excluded.ts';
import { takeOutLeftOut } from './left-out.ts';
import { agree, settle, stampsStayed } from './settle.ts';
import {
  lookAgain,
  makeWorkPlan,
  setAside,
  transferDifferences,
  WholePass,
  type WorkPlan,
} from './transfer.ts';

/** What the new tree begins as. */
type Beginning =
  /** What an interrupted sync transferred: planned against, it is a tree that differs in places. */
  | { kind: 'leftover'; path: string }
  /** A clone of `current`, which has all that does not differ. */
  | { kind: 'clone'; clone: BackgroundClone }
  /** Nothing: rsync makes one pass over the whole source, and links from the leftovers. */
  | { kind: 'empty'; leftovers: readonly string[] };

/** A tree that is one state of the source. */
interface Filled {
  /** What was changed of a clone; undefined if the tree began otherwise. */
  changes?: Changes;
  /** False if it has nothing that `current` has not: what differs cannot be stored here. */
  isChanged: boolean;
  /** What has changed, compared with `current`. */
  figures: PlanFigures;
}

/**
 * Makes the tree `staging/<id>` one state of the source.
 *
 * A plan names what differs from `current`, and the tree's beginning has what does not. What differs
 * is taken out of it and transferred anew; then the tree has to settle.
 */
export async function buildTree(context: SyncContext, id: string): Promise<BuiltTree> {
  const { writer, base } = context;
  const { layout } = writer;
  if (await distrustAfterRestart(layout, base, writer.signal)) {
    const since = 'the machine was restarted, or the disk mounted anew, since the interrupted sync';
    writer.notice(`${since}: what it left is compared by content`);
  }
  const tree = stagedTree(layout, id);
  const beginning = chooseBeginning(context, id);
  const clone = beginning.kind === 'clone' ? beginning.clone : undefined;
  try {
    writer.enter('planning');
    // Its stamps say that there is something new. With -H rsync names that only in the end.
    if (context.stamps !== undefined) clone?.start();
    else clone?.prepare();
    const work = await makeWorkPlan(context, base ?? tree, () => clone?.start());
    const { figures, isEmpty } = work.plan;
    reportPlan(writer, figures);
    if (isEmpty && base !== undefined) return { isChanged: false, plan: figures, clone: 'none' };
    if (base !== undefined) await refuseToDeleteExcluded(context, layout.root, base, work.plan);
    context.refuseShrinking(figures);
    const filled = await fill(context, tree, beginning, work);
    const { isChanged, figures: plan, changes } = filled;
    return { isChanged, plan, clone: clone?.method ?? 'none', changes };
  } finally {
    await clone?.abandon();
  }
}

function chooseBeginning(
  { writer, transfer, base, needsWholePass, clone }: SyncContext,
  id: string,
): Beginning {
  // A leftover may lack what was to be deleted and now stays; it is of use as a source of files.
  if (transfer.without.has('delete') && base !== undefined) {
    for (const leftover of findLeftovers(writer.layout).trees) keepToCopyFrom(leftover);
  }
  leaveToOthers(writer.layout);
  const leftovers = findLeftovers(writer.layout).trees;
  const [newest] = leftovers;
  if (newest !== undefined && !needsWholePass) return { kind: 'leftover', path: newest };
  if (base === undefined || needsWholePass) return { kind: 'empty', leftovers };
  return { kind: 'clone', clone: new BackgroundClone(writer, base, id, clone) };
}

/** What a killed sync was running, such as its hook, may go on, and write to the tree in which it stands. */
function leaveToOthers(layout: Layout): void {
  const { trees } = findLeftovers(layout);
  const uses = trees.length === 0 ? [] : pathsInUse(layout.staging).filter(mayWriteBy);
  for (const tree of trees) if (uses.some(({ path }) => isWithin(path, tree))) keepToCopyFrom(tree);
}

/** @param work what differs between the source and `current`. */
async function fill(
  context: SyncContext,
  tree: string,
  beginning: Beginning,
  work: WorkPlan,
): Promise<Filled> {
  const { writer } = context;
  const { figures } = work.plan;
  const differences = (found: WorkPlan) => transferDifferences(context, tree, found);
  switch (beginning.kind) {
    case 'leftover': {
      writer.notice('going on from what a sync that did not finish transferred');
      if (beginning.path !== tree) {
        // An older tree may have the name that this sync was given.
        if (lstatIfThere(tree)) setAside(tree);
        renameSync(beginning.path, tree);
      }
      await takeOutLeftOut(context, tree);
      const missing = await lookAgain(context, tree);
      const isAsPlanned = await differences(missing);
      const made = { work, first: missing, isAsPlanned, since: 0n };
      return settled(context, tree, made, differences);
    }
    case 'empty': {
      await heedSpace(writer, figures, 'none');
      const pass = new WholePass(context, tree, beginning.leftovers);
      const wholePass = (found: WorkPlan) => pass.run(found);
      const isAsPlanned = await wholePass(work);
      const again = context.needsWholePass ? wholePass : differences;
      return settled(context, tree, { work, first: work, isAsPlanned, since: 0n }, again);
    }
    case 'clone': {
      const { clone } = beginning;
      await clone.moveTo(tree, figures);
      const since = ctimeNow(writer.layout);
      const changes = new Changes(writer.layout);
      const noted = (found: WorkPlan) => transferDifferences(context, tree, found, changes);
      const isAsPlanned = await noted(work);
      const made = { work, first: work, isAsPlanned, since };
      const filled = await settled(context, tree, made, noted);
      changes.isPartial = await clone.isBaseChanged();
      return { ...filled, changes };
    }
  }
}

/** How a tree was made that has to settle. */
interface Made {
  /** What was to change, compared with `current`. */
  work: WorkPlan;
  /** What the transfer that has just been made began with. */
  first: WorkPlan;
  /** That transfer brought what it was to bring, and nothing else. */
  isAsPlanned: boolean;
  /** Files with an earlier ctime are as they were cloned; ns since the epoch. */
  since: bigint;
}

/** Settles the tree, unless the user has turned that off, or stamps show that it has. */
async function settled(
  context: SyncContext,
  tree: string,
  { work, first, isAsPlanned: cameAsPlanned, since }: Made,
  transfer: (found: WorkPlan) => Promise<unknown>,
): Promise<Filled> {
  const { transfer: options, base, watched, signal } = context;
  const { figures: planned, isExact } = work.plan;
  const settles = !options.without.has('settle');
  const look = () => lookAgain(context, tree);
  // What the plan could not name, a look does.
  const { hidesLinks } = first.plan;
  if (!settles && hidesLinks) await transfer(await look());
  const needsNoLook =
    !settles || (cameAsPlanned && !hidesLinks && (await stampsStayed(context, tree)));
  const { last, rounds } = needsNoLook
    ? { last: settles ? first : work, rounds: 0 }
    : await settle(context, first, look, transfer);
  const { source, leftOut } = last.plan.figures;
  // The same total, reached without another round: what was transferred is what was planned.
  const isAsPlanned = rounds === 0 && isDeepStrictEqual(source, planned.source);
  if (isAsPlanned && isExact) return { isChanged: true, figures: planned };
  // After more rounds the source may have gone back to what is published, or all that still differs may
  // be what cannot be stored.
  const isCertain = rounds === 0 || !(last.plan.isEmpty || agree(work, last));
  const hardLinks = keepsHardLinks(options.options);
  const comparison = { base, since: isCertain ? NO_CONTENT : since, hardLinks, watched, signal };
  const { isEqual, figures } = await compareTrees(tree, comparison);
  context.refuseShrinking(figures);
  return {
    isChanged: base === undefined || isCertain || !isEqual,
    figures: { ...figures, leftOut, writableByAll: work.plan.figures.writableByAll },
  };
}
