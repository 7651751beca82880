import { randomUUID } from 'node:crypto';
import { mkdirSync, renameSync } from 'node:fs';
import { MirrorlatchError } from '../../errors.ts';
import { isSubvolume, makeEmptyTree } from '../../mirror/clone.ts';
import { Fingerprint } from '../../mirror/fingerprint.ts';
import type { Layout } from '../../mirror/layout.ts';
import type { Plan, PlanFigures } from '../../mirror/plan.ts';
import { PlanLists } from '../../mirror/plan-lists.ts';
import { checkSpace } from '../../mirror/preflight.ts';
import { findLeftovers } from '../../mirror/staging.ts';
import { takeOut } from '../../mirror/take-out.ts';
import {
  type ApplyOptions,
  applyArguments,
  listedFrom,
  wholePassArguments,
} from '../../rsync/arguments.ts';
import type { Ending } from '../../rsync/failure.ts';
import type { Entry } from '../../rsync/itemize.ts';
import { untilClean } from '../../rsync/until-clean.ts';
import { progressOf, type SyncContext } from './context.ts';
import { type EntryListener, makePlan } from './make-plan.ts';

/** rsync(1): at most 20 --link-dest directories. */
const MOST_ALTERNATES = 18;

/** A plan that can be carried out. */
export interface WorkPlan {
  plan: Plan;
  listener: DifferenceLists;
}

/** The differences of a plan, in the form in which rsync transfers them. */
class DifferenceLists implements EntryListener {
  readonly lists: PlanLists;
  readonly fingerprint = new Fingerprint();
  readonly #onDifference: () => void;

  constructor({ writer, transfer }: SyncContext, onDifference: () => void) {
    const { prefix } = listedFrom(transfer.source);
    this.lists = new PlanLists(writer.layout.staging, prefix);
    this.#onDifference = onDifference;
  }

  add(entry: Entry): void {
    this.lists.add(entry);
    this.fingerprint.add(entry);
    this.#onDifference();
  }

  close(): void {
    this.lists.close();
  }
}

/**
 * Plans what differs between the source and `target`, in a form that can be carried out.
 *
 * @param onDifference called for each entry that differs.
 */
export function makeWorkPlan(
  context: SyncContext,
  target: string,
  onDifference: () => void = () => {},
): Promise<WorkPlan> {
  return makePlan(context, target, () => new DifferenceLists(context, onDifference));
}

/**
 * Transfers what differs between the source and `tree`, until nothing does. Only what the plan
 * names is looked at, and all of it is made anew: so no inode is touched that a published snapshot
 * shares (I2), whatever the source does meanwhile.
 *
 * @param work what differs now, if that is known.
 */
export async function transferUntilEqual(
  context: SyncContext,
  tree: string,
  work?: WorkPlan,
): Promise<void> {
  const { writer, transfer, base } = context;
  const { layout, signal } = writer;
  const options = applyOptions(context, [...foreignTrees(layout), base], isSubvolume(tree));
  let known = work;
  await untilClean(context, async () => {
    const { plan, listener } = known ?? (await planAgain(context, tree));
    known = undefined;
    if (plan.isEmpty) return undefined;
    const { lists, fingerprint } = listener;
    writer.enter('transferring');
    await takeOut(tree, lists.removals(), layout.partial, signal);
    const done = new Fingerprint();
    return {
      args: applyArguments(transfer, tree, lists.transfers, options),
      onEntry: (entry: Entry) => done.add(entry),
      onProgress: progressOf(writer, plan.figures),
      // If what came is not what was planned, the source changed in between, and files that were
      // not on the list may have changed with it.
      judge: (): Ending => (done.equals(fingerprint) ? { kind: 'clean' } : sourceChanged()),
    };
  });
}

async function planAgain(context: SyncContext, tree: string): Promise<WorkPlan> {
  context.writer.enter('planning');
  const work = await makeWorkPlan(context, tree);
  const { figures, isEmpty, replacedBytes } = work.plan;
  // What is taken from a half-made tree is no loss for readers.
  context.refuseShrinking({ ...figures, deletedFiles: 0, deletedBytes: 0 });
  const transferBytes = Math.max(0, figures.transferBytes - replacedBytes);
  if (!isEmpty) checkSpace(context.writer.layout.staging, { ...figures, transferBytes }, 'none');
  return work;
}

/**
 * Lets rsync make its own single pass, into an empty tree. It also looks at what did not change, and
 * sets attributes in place: so it never gets a tree whose files a published snapshot shares, and
 * every try begins with an empty one. What earlier tries transferred is linked from their trees.
 *
 * @param figures what is expected to come.
 * @param leftovers trees of earlier syncs, to copy from.
 */
export async function transferWholeTree(
  context: SyncContext,
  tree: string,
  figures: PlanFigures,
  leftovers: readonly string[],
): Promise<void> {
  const { writer, transfer, base, needsWholePass } = context;
  const earlier = leftovers.map((path) => (path === tree ? setAside(path) : path));
  let isFirst = true;
  const clean = await untilClean(context, async () => {
    // Without a base nothing in the tree is shared, and the difference alone will do.
    if (!isFirst && !needsWholePass) return undefined;
    if (!isFirst) earlier.unshift(setAside(tree));
    isFirst = false;
    writer.enter('transferring');
    if (needsWholePass) mkdirSync(tree);
    else await makeEmptyTree(tree, context.clone);
    const from = [...earlier, ...foreignTrees(writer.layout), base];
    return {
      args: wholePassArguments(transfer, tree, applyOptions(context, from, false)),
      onEntry: () => {},
      onProgress: progressOf(writer, figures),
    };
  });
  if (clean === undefined) return transferUntilEqual(context, tree);
  const { totals } = clean;
  context.refuseShrinking({ ...figures, deletedFiles: 0, deletedBytes: 0, source: totals });
}

/** Renames a tree of an earlier try to a name by which it is still found after a crash. */
export function setAside(tree: string): string {
  const aside = `${tree}+${randomUUID()}`;
  renameSync(tree, aside);
  return aside;
}

function applyOptions(
  { writer, strategy, clone }: SyncContext,
  from: readonly (string | undefined)[],
  cannotLink: boolean,
): ApplyOptions {
  const mustCopy = cannotLink || strategy === 'copy' || clone === 'copy' || clone === 'reflink';
  return {
    from: from.filter((path) => path !== undefined).slice(0, MOST_ALTERNATES),
    how: mustCopy ? 'copy' : 'link',
    partial: writer.layout.partial,
  };
}

function foreignTrees(layout: Layout): string[] {
  return findLeftovers(layout).foreign;
}

function sourceChanged(): Exclude<Ending, { kind: 'clean' }> {
  const why = 'the source changed while it was read';
  const hint = 'Try again when it is quiet, or with more patience: --retries 20 --retry-delay 1m';
  return { kind: 'retry', why, error: new MirrorlatchError('UNAVAILABLE', why, { hint }) };
}
