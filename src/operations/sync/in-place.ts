import { mkdirSync } from 'node:fs';
import { bytePath } from '../../mirror/byte-path.ts';
import { behindGate, isDoubtful, readGate } from '../../mirror/gate.ts';
import { LIVE } from '../../mirror/layout.ts';
import { bothPlans, type Plan, type PlanFigures, repeatedPlan } from '../../mirror/plan.ts';
import type { Removal } from '../../mirror/plan-lists.ts';
import { namedLikeTemporary } from '../../mirror/remains.ts';
import { isLackOfSpace } from '../../mirror/reserve.ts';
import { sizeFromPlan } from '../../mirror/shrink-guard.ts';
import { recordSizes } from '../../mirror/sizes-before.ts';
import { ctimeNow } from '../../mirror/staging.ts';
import { takeOut } from '../../mirror/take-out.ts';
import { compareTrees, NO_CONTENT } from '../../mirror/tree-comparison.ts';
import { sizeBelow } from '../../mirror/tree-size.ts';
import { delaysUpdates, inPlaceArguments } from '../../rsync/arguments.ts';
import type { Entry } from '../../rsync/itemize.ts';
import { DELAYED, isDelayed } from '../../rsync/temporary-names.ts';
import { untilClean } from '../../rsync/until-clean.ts';
import { lstatIfThere } from '../../system/files.ts';
import { removeDirectoriesNamed } from '../../system/remove-tree.ts';
import { figuresOf, publishLive } from '../../writer/publishing.ts';
import { heedSpace } from '../../writer/room.ts';
import { type PlanContext, progressOf, reportPlan, type SyncContext } from './context.ts';
import { Differences } from './differences.ts';
import { refuseToDeleteExcluded } from './excluded.ts';
import { leavesOutOf, leftOutNamesIn } from './left-out.ts';
import { makePlan, planFromNothing } from './make-plan.ts';
import { clearStaging, madeFrom, type Synced, summaryOf, unchanged } from './outcome.ts';
import { forLook, type Look, settle } from './settle.ts';
import { makeExcludeList } from './transfer.ts';

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
  const planned = await look({ ...context, hasRemains: gate.state !== 'open' }, tree, compare);
  const mayHaveMore = gate.state !== 'open' && lstatIfThere(tree) !== undefined;
  const brought = mayHaveMore ? await broughtByInterrupted(context, tree) : [];
  const { plan } = planned;
  const { figures } = plan;
  reportPlan(writer, figures);
  if (plan.isEmpty && gate.state === 'open' && before !== undefined) {
    return unchanged(context, before, figures);
  }
  await refuseToDeleteExcluded(context, layout.root, tree, plan);
  context.refuseShrinking(figures);
  await heedSpace(writer, growthOf(plan), 'none');
  recordSizes(layout, gate.state === 'open', ['', ...context.watched], (within) =>
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

interface LiveLook extends Look {
  listener: LiveDifferences;
}

/** What differs from the live tree, and what of it goes before rsync's pass, which may not remove it. */
class LiveDifferences extends Differences {
  readonly unwanted: Removal[] = [];
  /** How many entries are left for rsync to delete. */
  deletions = 0;
  /** The directories in which a killed pass has collected files. */
  readonly delayed = new Set<string>();
  readonly #leavesOut: ReturnType<typeof leavesOutOf>;
  readonly #isCollected: (entry: Entry) => boolean;

  constructor({ transfer, hasRemains, isRemains }: PlanContext, tree: string) {
    super();
    this.#leavesOut = leavesOutOf(transfer);
    // A directory of that name is not rsync's in a tree that is whole, nor is a file with two names: rsync
    // would write into both.
    this.#isCollected = (entry) =>
      hasRemains === true &&
      isDelayed(entry) &&
      isRemains(entry) &&
      (entry.type === 'directory' || hasOneName(bytePath(tree, entry.name)));
  }

  override add(entry: Entry): void {
    super.add(entry);
    const { change, type, name } = entry;
    if (change !== 'deleted') return;
    if (this.#isCollected(entry)) {
      if (type === 'directory') this.delayed.add(name);
      return;
    }
    // rsync lists what a directory holds before the directory itself, which has to be empty by then.
    const within = `${name}/${DELAYED}`;
    if (this.delayed.has(within)) this.unwanted.push({ name: within });
    // A rule of the user may exclude what a killed rsync has left, too.
    if (entry.isLeftOut || this.#leavesOut(entry) !== undefined) this.unwanted.push({ name });
    else this.deletions += 1;
  }
}

function hasOneName(path: Buffer): boolean {
  const found = lstatIfThere(path);
  return found?.isFile() === true && found.nlink === 1n;
}

function look(
  context: SyncContext,
  tree: string,
  compare: readonly string[] = [],
  excluded: 'deleted' | 'kept' = 'deleted',
): Promise<LiveLook> {
  return makePlan(context, tree, () => new LiveDifferences(context, tree), compare, excluded);
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

/** rsync's single passes over the live tree, and all that they change. */
class LivePass {
  readonly #context: SyncContext;
  readonly #tree: string;
  /** What is left out by its name, but came to the source after a look, of which rsync knows nothing. */
  readonly #brought: Removal[];
  /** What the passes have changed that ended cleanly. */
  #done: PlanFigures | undefined;
  /** What a pass is to change that is at work, or has failed. */
  #begun: { figures: PlanFigures; deletionsLeft: number } | undefined;
  /** When the first pass began, by the clock of the mirror's filesystem; ns since the epoch. */
  #since: bigint | undefined;

  /** @param brought by an earlier sync, see `broughtByInterrupted`. */
  constructor(context: SyncContext, tree: string, brought: readonly Removal[]) {
    this.#context = context;
    this.#tree = tree;
    this.#brought = [...brought];
  }

  /**
   * Writes what a look has found, until rsync ends cleanly. What is to be left out goes in any case.
   *
   * @param compare more options for rsync.
   */
  async write(first: LiveLook, compare: readonly string[] = []): Promise<void> {
    const { writer, signal, transfer } = this.#context;
    this.#since ??= ctimeNow(writer.layout);
    try {
      await this.#transfer(first, compare).catch((error) => this.#makeRoom(first, compare, error));
    } catch (error) {
      // The next sync looks for what is left.
      if (writer.lock.isHeld) await this.#takeOutBrought(writer.lock.lost).catch(() => {});
      throw error;
    }
    this.#endWell();
    await this.#takeOutBrought(signal);
    if (delaysUpdates(transfer)) await this.#removeDelayed();
  }

  /** Goes on without what an earlier pass had collected, if the disk is full. */
  async #makeRoom(
    { listener }: LiveLook,
    compare: readonly string[],
    error: unknown,
  ): Promise<void> {
    if (!isLackOfSpace(error) || listener.delayed.size === 0) throw error;
    this.#context.writer.notice(
      'no space is left, so what a killed rsync had collected is removed',
    );
    await this.#removeDelayed();
    await this.#transfer(await this.#lookAgain(), compare);
  }

  #removeDelayed(): Promise<void> {
    return removeDirectoriesNamed(DELAYED, this.#tree, this.#context.writer.inherit);
  }

  /**
   * Removes the unfinished files that a failed pass has left. Behind the closed gate nobody else has made a
   * file of such a name since; what is older may be a person's own.
   */
  async #takeOutUnfinished(since: bigint): Promise<void> {
    const { writer, signal } = this.#context;
    const named = await namedLikeTemporary(this.#tree, writer.inherit);
    const removals = named.filter(({ name, type }) => {
      const found = lstatIfThere(bytePath(this.#tree, name));
      return type === 'file' && found !== undefined && found.birthtimeNs >= since;
    });
    await takeOut(this.#tree, removals, undefined, signal);
  }

  async #transfer(first: LiveLook, compare: readonly string[]): Promise<void> {
    const { writer, signal, transfer } = this.#context;
    const leavesOut = leavesOutOf(transfer);
    let known: LiveLook | undefined = first;
    await untilClean(this.#context, async () => {
      const { plan, listener } = known ?? (await this.#lookAgain());
      known = undefined;
      const { deletions } = listener;
      const begun = { figures: this.#beginning(plan.figures), deletionsLeft: deletions };
      this.#begun = begun;
      writer.enter('transferring');
      await takeOut(this.#tree, listener.unwanted, undefined, signal);
      const hideList = makeExcludeList(writer, plan.excluded);
      const passArguments = inPlaceArguments(
        transfer,
        this.#tree,
        hideList,
        this.#excluded,
        deletions + plan.keptDirectories,
      );
      return {
        args: [...compare, ...passArguments],
        onEntry: (entry: Entry) => {
          if (entry.change === 'deleted') begun.deletionsLeft -= 1;
          else if (leavesOut(entry) !== undefined) this.#brought.push({ name: entry.name });
        },
        onProgress: progressOf(writer, plan.figures),
      };
    });
  }

  #takeOutBrought(signal: AbortSignal): Promise<void> {
    return takeOut(this.#tree, this.#brought.splice(0), undefined, signal);
  }

  /**
   * Settles the tree, unless the user has turned that off.
   *
   * @returns all that has changed in it.
   */
  async settle(first: LiveLook): Promise<PlanFigures> {
    const { transfer, signal } = this.#context;
    const { last } = transfer.without.has('settle')
      ? { last: first }
      : await settle(
          this.#context,
          first,
          () => this.#lookAgain(),
          (found) => this.write(found),
        );
    const changes = this.#done ?? last.plan.figures;
    const { source, leftOut } = last.plan.figures;
    if (last.plan.isExact) return { ...changes, source, leftOut };
    const options = { base: undefined, since: NO_CONTENT, watched: [], signal };
    const { figures } = await compareTrees(this.#tree, options);
    return { ...changes, source: figures.source, leftOut };
  }

  /** @throws MirrorlatchError SHRUNKEN_SOURCE if too much would vanish by now. */
  async #lookAgain(): Promise<LiveLook> {
    if (this.#begun !== undefined && this.#since !== undefined)
      await this.#takeOutUnfinished(this.#since);
    const context = { ...forLook(this.#context), hasRemains: true };
    const found = await look(context, this.#tree, [], this.#excluded);
    this.#context.refuseShrinking(this.#with(found.plan.figures));
    return found;
  }

  /** What the user's rules exclude may come to the tree after the first look: see `sparesExcluded`. */
  get #excluded(): 'deleted' | 'kept' {
    return this.#context.sparesExcluded ? 'kept' : 'deleted';
  }

  /** What has changed in the tree by now, once `more` has, too. */
  #with(more: PlanFigures): PlanFigures {
    const next = this.#beginning(more);
    return this.#done === undefined ? next : bothPlans(this.#done, next);
  }

  #beginning(next: PlanFigures): PlanFigures {
    if (this.#begun === undefined) return next;
    const { figures, deletionsLeft } = this.#begun;
    return repeatedPlan(figures, next, deletionsLeft <= 0);
  }

  #endWell(): void {
    const begun = this.#begun;
    this.#begun = undefined;
    if (begun !== undefined) this.#done = this.#with(begun.figures);
  }
}
