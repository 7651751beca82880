import { bytePath } from '../../mirror/byte-path.ts';
import { makeBasis, type NewFiles } from '../../mirror/plan/basis.ts';
import { bothPlans, type PlanFigures, repeatedPlan } from '../../mirror/plan/plan.ts';
import type { Removal } from '../../mirror/plan/plan-lists.ts';
import { takeOut } from '../../mirror/plan/take-out.ts';
import { namedLikeTemporary } from '../../mirror/remains.ts';
import { ctimeNow } from '../../mirror/staging.ts';
import { compareTrees, NO_CONTENT } from '../../mirror/trees/tree-comparison.ts';
import { delaysUpdates, inPlaceArguments } from '../../rsync/arguments.ts';
import type { Entry } from '../../rsync/itemize.ts';
import { untilClean } from '../../rsync/until-clean.ts';
import { lstatIfThere } from '../../system/files.ts';
import { freeSpaceAt } from '../../system/mounts.ts';
import { Arrivals } from './arrivals.ts';
import { findCollected, removeCollected } from './collected.ts';
import { progressOf, type SyncContext } from './context.ts';
import { leavesOutOf } from './left-out.ts';
import { byOriginal, type LeftByPasses, type LiveLook, lookAtLive } from './live-look.ts';
import { forLook, settle, stampsStayed } from './settle.ts';
import { makeExcludeList, takeOutSizedAsBasis } from './transfer.ts';

/** rsync's single passes over the live tree, and all that they change. */
export class LivePass {
  readonly #context: SyncContext;
  readonly #tree: string;
  /** All that was written to has been named: a pass that fails may have written more than that. */
  knowsAllNames = true;
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
   * @returns whether the first try brought that, and nothing else.
   */
  async write(first: LiveLook, compare: readonly string[] = []): Promise<boolean> {
    const { writer, signal, transfer } = this.#context;
    this.#since ??= ctimeNow(writer.layout);
    let isAsPlanned: boolean;
    try {
      isAsPlanned = await this.#transfer(first, compare, 'any');
      if (await takeOutSizedAsBasis(this.#context, this.#tree)) {
        isAsPlanned = false;
        await this.#transfer(await this.#lookAgain(), compare, 'none');
      }
    } catch (error) {
      // The next sync looks for what is left.
      if (writer.lock.isHeld) await this.#takeOutBrought(writer.lock.lost).catch(() => {});
      throw error;
    }
    this.#endWell();
    await this.#takeOutBrought(signal);
    if (delaysUpdates(transfer)) await removeCollected(this.#context, this.#tree);
    return isAsPlanned;
  }

  /** What a pass has left that has failed, if one has. */
  async #leftByPasses(): Promise<LeftByPasses> {
    const since = this.#since;
    if (this.#begun === undefined || since === undefined) return {};
    const named = await namedLikeTemporary(this.#tree, this.#context.inherit);
    const files = named.filter(({ name, type }) => {
      const found = lstatIfThere(bytePath(this.#tree, name));
      // Most of what else has such a name is older: a person's own.
      return type !== 'directory' && found !== undefined && found.birthtimeNs >= since;
    });
    const unfinished = byOriginal(files.map(({ name }) => name));
    return { unfinished, collected: await findCollected(this.#context, this.#tree) };
  }

  /**
   * @param basis whether rsync may get earlier versions of new files.
   * @returns as `write`.
   */
  async #transfer(
    first: LiveLook,
    compare: readonly string[],
    basis: 'any' | 'none',
  ): Promise<boolean> {
    const { writer, signal, transfer } = this.#context;
    const leavesOut = leavesOutOf(transfer);
    let known: LiveLook | undefined = first;
    const arrivals = new Arrivals();
    let tries = 0;
    await untilClean(this.#context, async () => {
      tries += 1;
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
        // At its limit rsync does not try to delete any more, not even what it would leave.
        deletions + (plan.hasKeptDirectories ? 1 : 0),
        basis === 'any' ? await this.#basisOf(plan.figures, listener.newFiles) : undefined,
      );
      return {
        // With a local source, rsync would not look at what has been collected.
        args: [
          ...(listener.collectedBytes > 0 ? ['--no-whole-file'] : []),
          ...compare,
          ...passArguments,
        ],
        onEntry: (entry: Entry, checksumName?: string) => {
          this.#context.received.add(entry, checksumName);
          if (listener.arrivals !== undefined) arrivals.add(entry);
          if (entry.change === 'deleted') begun.deletionsLeft -= 1;
          else if (leavesOut(entry) !== undefined) this.#brought.push({ name: entry.name });
        },
        onProgress: progressOf(writer, plan.figures),
      };
    });
    if (tries > 1) this.knowsAllNames = false;
    return tries === 1 && (first.listener.arrivals?.equals(arrivals) ?? false);
  }

  /** What rsync deletes or replaces keeps its room as long as it is a basis. */
  async #basisOf({ transferBytes }: PlanFigures, newFiles: NewFiles): Promise<string | undefined> {
    const { writer, signal } = this.#context;
    const fits = BigInt(transferBytes) <= freeSpaceAt(writer.layout.staging).bytes;
    return fits ? await makeBasis(writer.layout, this.#tree, newFiles, signal) : undefined;
  }

  #takeOutBrought(signal: AbortSignal): Promise<void> {
    return takeOut(this.#tree, this.#brought.splice(0), undefined, signal);
  }

  /**
   * Settles the tree, unless the user has turned that off, or stamps show that it has.
   *
   * @param isAsPlanned whether the pass has brought what was planned, and nothing else.
   * @returns all that has changed in it.
   */
  async settle(first: LiveLook, isAsPlanned: boolean): Promise<PlanFigures> {
    const { transfer, signal } = this.#context;
    const needsNoLook =
      transfer.without.has('settle') ||
      (isAsPlanned && (await stampsStayed(this.#context, this.#tree)));
    const { last } = needsNoLook
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

  /**
   * Looks at the source again, some time after the tree has settled, and writes what differs by now.
   *
   * @returns as `settle`.
   */
  async catchUp(): Promise<PlanFigures> {
    const found = await this.#lookAgain();
    if (!found.plan.isEmpty) await this.write(found);
    return this.settle(found, false);
  }

  /** @throws MirrorlatchError SHRUNKEN_SOURCE if too much would vanish by now. */
  async #lookAgain(): Promise<LiveLook> {
    const context = { ...forLook(this.#context), hasRemains: true };
    const found = await lookAtLive(context, this.#tree, {
      excluded: this.#excluded,
      left: await this.#leftByPasses(),
    });
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
