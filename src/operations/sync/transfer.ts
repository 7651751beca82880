import { randomUUID } from 'node:crypto';
import { mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Changes } from '../../mirror/changes.ts';
import { isSubvolume, makeEmptyTree } from '../../mirror/clone.ts';
import { discard } from '../../mirror/discard.ts';
import type { Layout } from '../../mirror/layout.ts';
import { makeBasis, type NewFiles, removeBasis, sizedAsBasis } from '../../mirror/plan/basis.ts';
import { writeExcludeList } from '../../mirror/plan/exclude-list.ts';
import { linkNames } from '../../mirror/plan/link-names.ts';
import { withoutLosses } from '../../mirror/plan/plan.ts';
import { PlanLists } from '../../mirror/plan/plan-lists.ts';
import { takeOut } from '../../mirror/plan/take-out.ts';
import { findLeftovers } from '../../mirror/staging.ts';
import {
  type ApplyOptions,
  applyArguments,
  listedFrom,
  wholePassArguments,
} from '../../rsync/arguments.ts';
import type { Entry } from '../../rsync/itemize.ts';
import { untilClean } from '../../rsync/until-clean.ts';
import { lstatIfThere } from '../../system/files.ts';
import { heedSpace } from '../../writer/room.ts';
import type { Writer } from '../../writer/writer.ts';
import { Arrivals } from './arrivals.ts';
import { progressOf, type SyncContext } from './context.ts';
import { Differences, newFilesFor } from './differences.ts';
import { takeOutLeftOut } from './left-out.ts';
import { makePlan } from './make-plan.ts';
import { forLook, type Look } from './settle.ts';
import { isRefused } from './wrong.ts';

/** rsync(1): at most 20 --link-dest directories. One is for what is current, one for earlier versions. */
const MOST_EARLIER = 17;

/** A plan that can be carried out. */
export interface WorkPlan extends Look {
  listener: DifferenceLists;
}

/** The differences of a plan, in the form in which rsync transfers them. */
export class DifferenceLists extends Differences {
  readonly lists: PlanLists;
  readonly newFiles: NewFiles;
  readonly #onDifference: () => void;

  constructor(context: SyncContext, onDifference: () => void = () => {}) {
    super(context);
    const { writer, transfer } = context;
    const { prefix } = listedFrom(transfer.source);
    this.lists = new PlanLists(writer.layout.staging, prefix);
    this.newFiles = newFilesFor(context);
    this.#onDifference = onDifference;
  }

  override add(entry: Entry): void {
    super.add(entry);
    this.lists.add(entry);
    this.newFiles.add(entry);
    this.#onDifference();
  }

  override close(): void {
    this.lists.close();
    this.newFiles.close();
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
  onDifference?: () => void,
): Promise<WorkPlan> {
  return makePlan(context, target, () => new DifferenceLists(context, onDifference));
}

/**
 * Looks at the source again: what differs between it and a tree that has been made.
 *
 * @throws MirrorlatchError SHRUNKEN_SOURCE.
 */
export async function lookAgain(context: SyncContext, tree: string): Promise<WorkPlan> {
  const work = await makeWorkPlan(forLook(context), tree);
  const { figures, isEmpty, replacedBytes } = work.plan;
  // What is taken from a half-made tree is no loss for readers.
  context.refuseShrinking(withoutLosses(figures));
  const transferBytes = Math.max(0, figures.transferBytes - replacedBytes);
  if (!isEmpty) await heedSpace(context.writer, { ...figures, transferBytes }, 'none');
  return work;
}

/**
 * Transfers what differs between the source and `tree`, until rsync ends cleanly. Only what the plan
 * names is touched, and all of it is made anew: so no inode is touched that a published snapshot
 * shares (I2), whatever the source does meanwhile.
 *
 * @param work what differs.
 * @param changes takes down what is touched.
 * @param findBasis finds earlier versions of new files.
 * @returns whether the first try brought that, and nothing else.
 */
export async function transferDifferences(
  context: SyncContext,
  tree: string,
  work: WorkPlan,
  changes?: Changes,
  findBasis: FindBasis = basisIn(context),
): Promise<boolean> {
  const { writer, transfer } = context;
  const { layout, signal } = writer;
  const cannotLink = isSubvolume(tree);
  let known: WorkPlan | undefined = work;
  const arrivals = new Arrivals();
  let tries = 0;
  await untilClean(context, async () => {
    tries += 1;
    const { plan, listener } = known ?? (await lookAgain(context, tree));
    known = undefined;
    if (plan.isEmpty) return undefined;
    const { lists } = listener;
    writer.enter('transferring');
    changes?.note(lists);
    await takeOut(tree, lists.removals(), layout.partial, signal);
    if (lists.hasLinks) await linkNames(tree, lists, signal);
    const options = applyOptions(context, {
      earlier: foreignTrees(layout),
      basis: await findBasis(listener.newFiles),
      cannotLink,
    });
    return {
      args: applyArguments(transfer, tree, lists.transfers, options),
      onEntry: (entry, checksumName) => {
        context.received.add(entry, checksumName);
        if (listener.arrivals && !lists.also.delete(entry.name)) arrivals.add(entry);
      },
      onProgress: progressOf(writer, plan.figures),
    };
  });
  if (await takeOutSizedAsBasis(context, tree)) {
    await transferDifferences(context, tree, await lookAgain(context, tree), changes, noBasis);
    return false;
  }
  const { lists, arrivals: planned } = work.listener;
  return tries === 1 && lists.also.size === 0 && (planned?.equals(arrivals) ?? false);
}

/** @returns a directory with earlier versions of new files, if there are any; see `makeBasis`. */
type FindBasis = (newFiles: NewFiles) => Promise<string | undefined>;

const noBasis: FindBasis = async () => undefined;

function basisIn({ writer: { layout, signal }, base }: SyncContext): FindBasis {
  return base === undefined ? noBasis : (newFiles) => makeBasis(layout, base, newFiles, signal);
}

/**
 * Takes out of a tree what rsync may have taken for the very file of which it was given an earlier version.
 *
 * @param tree what rsync has written.
 * @returns whether there was anything.
 */
export async function takeOutSizedAsBasis(
  { writer: { layout, inherit, signal } }: SyncContext,
  tree: string,
): Promise<boolean> {
  const doubtful = await sizedAsBasis(layout, tree, { inherit, signal });
  await takeOut(tree, doubtful, undefined, signal);
  await removeBasis(layout, inherit);
  return doubtful.length > 0;
}

/**
 * rsync's own single pass, into an empty tree. It also looks at what did not change, and sets
 * attributes in place: so it never gets a tree whose files a published snapshot shares, and every
 * pass begins with an empty one. What earlier passes transferred is linked from their trees.
 */
export class WholePass {
  readonly #context: SyncContext;
  readonly #tree: string;
  /** Trees to link from, in order of preference. */
  readonly #earlier: string[];

  /** @param leftovers trees of earlier syncs. */
  constructor(context: SyncContext, tree: string, leftovers: readonly string[]) {
    this.#context = context;
    this.#tree = tree;
    this.#earlier = leftovers.map((path) => (path === tree ? setAside(path) : path));
  }

  /**
   * Makes the tree, until rsync ends cleanly.
   *
   * @param work what is expected to come.
   * @returns whether the first try brought that, and nothing else.
   */
  async run(work: WorkPlan, findBasis: FindBasis = basisIn(this.#context)): Promise<boolean> {
    const { writer, transfer, needsWholePass } = this.#context;
    const {
      plan: { figures, excluded },
      listener,
    } = work;
    const basis = await findBasis(listener.newFiles);
    const arrivals = new Arrivals();
    let tries = 0;
    const clean = await untilClean(this.#context, async () => {
      tries += 1;
      // In a first sync nothing in the tree is shared, and the difference alone will do.
      if (tries > 1 && !needsWholePass) return undefined;
      if (lstatIfThere(this.#tree)) this.#earlier.unshift(setAside(this.#tree));
      for (const old of this.#earlier.splice(MOST_EARLIER)) discard(writer.layout, old);
      writer.enter('transferring');
      await this.#makeTree();
      const earlier = [...this.#earlier, ...foreignTrees(writer.layout)];
      const options = applyOptions(this.#context, { earlier, basis, cannotLink: false });
      const excludeList = makeExcludeList(writer, excluded);
      return {
        args: wholePassArguments(transfer, this.#tree, excludeList, options),
        onEntry: (entry, checksumName) => {
          this.#context.received.add(entry, checksumName);
          if (listener.arrivals) arrivals.add(entry);
        },
        onProgress: progressOf(writer, figures),
      };
    });
    await takeOutLeftOut(this.#context, this.#tree);
    const isDoubtful = await takeOutSizedAsBasis(this.#context, this.#tree);
    if (isDoubtful && needsWholePass) return this.run(work, noBasis);
    if (clean === undefined || isDoubtful) {
      const left = await lookAgain(this.#context, this.#tree);
      await transferDifferences(this.#context, this.#tree, left, undefined, noBasis);
      return false;
    }
    const { totals } = clean;
    this.#context.refuseShrinking({ ...withoutLosses(figures), source: totals });
    const isWhole = tries === 1 && isDeepStrictEqual(totals, figures.source);
    return isWhole && (listener.arrivals?.equals(arrivals) ?? false);
  }

  /** A tree that is made by whole passes alone is never cloned: a subvolume is of no use to it. */
  async #makeTree(): Promise<void> {
    if (this.#context.needsWholePass) mkdirSync(this.#tree);
    else await makeEmptyTree(this.#tree, this.#context.clone);
  }
}

/** @returns a file for `--exclude-from`. */
export function makeExcludeList({ layout }: Writer, names: readonly string[]): string {
  const path = join(layout.staging, '.excluded');
  writeExcludeList(path, names);
  return path;
}

/** Renames a tree of an earlier try to a name by which it is still found after a crash. */
export function setAside(tree: string): string {
  const aside = `${tree}+${randomUUID()}`;
  renameSync(tree, aside);
  return aside;
}

interface SourcesOfFiles {
  /** Trees of earlier tries, in order of preference; after them comes what is current. */
  earlier: readonly string[];
  /** What is of use where nothing else is. */
  basis: string | undefined;
  /** The tree cannot share inodes with them. */
  cannotLink: boolean;
}

function applyOptions(
  { writer, strategy, clone, base, needsWholePass }: SyncContext,
  { earlier, basis, cannotLink }: SourcesOfFiles,
): ApplyOptions {
  const mustCopy = cannotLink || strategy === 'copy' || clone === 'copy' || clone === 'reflink';
  const last = [base, basis].filter((path) => path !== undefined);
  // A whole pass needs them for all that is right.
  const isDoubtful = isRefused(writer.layout) && !needsWholePass;
  return {
    from: isDoubtful ? [] : [...earlier.slice(0, MOST_EARLIER), ...last],
    how: mustCopy ? 'copy' : 'link',
    partial: writer.layout.partial,
  };
}

function foreignTrees(layout: Layout): string[] {
  return findLeftovers(layout).foreign;
}
