import { randomUUID } from 'node:crypto';
import { mkdirSync, renameSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { MirrorlatchError } from '../../errors.ts';
import { bytePath } from '../../mirror/byte-path.ts';
import {
  type CloneMethod,
  cloneMethodsFor,
  cloneTree,
  isSubvolume,
  makeEmptyTree,
} from '../../mirror/clone.ts';
import { distrustAfterRestart } from '../../mirror/distrust.ts';
import { Fingerprint } from '../../mirror/fingerprint.ts';
import type { Layout } from '../../mirror/layout.ts';
import { Plan, type PlanFigures } from '../../mirror/plan.ts';
import { PlanLists } from '../../mirror/plan-lists.ts';
import { checkSpace } from '../../mirror/preflight.ts';
import { findLeftovers, stagedClone, stagedTree } from '../../mirror/staging.ts';
import { takeOut } from '../../mirror/take-out.ts';
import { discard } from '../../mirror/trash.ts';
import {
  type ApplyOptions,
  applyArguments,
  isTemporary,
  listedFrom,
  planArguments,
  type Transfer,
  wholePassArguments,
} from '../../rsync/arguments.ts';
import type { Ending } from '../../rsync/failure.ts';
import type { TransferProgress } from '../../rsync/progress.ts';
import { runRsync } from '../../rsync/run.ts';
import { lstatIfThere } from '../../system/files.ts';
import { type FreeSpace, freeSpaceAt } from '../../system/mounts.ts';
import type { OnEvent, Phase } from '../../writer/events.ts';
import type { Retries } from '../../rsync/retries.ts';

/** rsync(1): at most 20 --link-dest directories. */
const MOST_ALTERNATES = 18;

/** `in-place` is for mirrors that have one tree, and not chosen. */
export type Strategy = 'plan' | 'link-dest' | 'copy' | 'in-place';

/** What all steps of one sync share. */
export interface SyncContext {
  layout: Layout;
  transfer: Transfer;
  strategy: Strategy;
  clone: CloneMethod | 'auto';
  /** Whether rsync has to see the whole tree, and no list of entries will do. */
  needsWholePass: boolean;
  /** What `current` names, to copy and link from. */
  base: string | undefined;
  inherit: readonly number[];
  signal: AbortSignal;
  retries: Retries;
  /** Refuses a plan that would take too much away. */
  guard: (plan: PlanFigures) => void;
  onEvent: OnEvent;
  report: (phase: Phase, done?: number) => void;
  /** For a source that is pushed, see `RsyncRun`. */
  onChannel?: ((channel: Duplex) => void) | undefined;
  /** Asked before the publication, where somebody else has the last word; throws to prevent it. */
  confirm?: (() => Promise<void>) | undefined;
  log: (bytes: Buffer) => void;
}

export interface BuiltTree {
  /** False when the source is what `current` is: then there is no new tree. */
  isChanged: boolean;
  /** What changes between `current` and the new tree. */
  plan: PlanFigures;
  clone: CloneMethod | 'none';
}

/**
 * Makes the tree `staging/<id>` equal to the source.
 *
 * A plan names what differs from `current`; a clone gives the new tree all that does not; what
 * differs is taken out of the clone and transferred anew. What a killed sync left takes the place
 * of the clone: planned against, it is just another tree that differs here and there. A transfer
 * that failed is tried again in the same way.
 */
export async function buildTree(context: SyncContext, id: string): Promise<BuiltTree> {
  const { layout, base, needsWholePass, onEvent } = context;
  if (await distrustAfterRestart(layout, base, context.signal)) {
    const since = 'the machine was restarted, or the disk mounted anew, since the interrupted sync';
    onEvent({ kind: 'notice', message: `${since}: what it left is compared by content` });
  }
  const leftovers = findLeftovers(layout).trees;
  const goOn = needsWholePass ? undefined : leftovers[0];
  const clone =
    base === undefined || needsWholePass || goOn
      ? undefined
      : new BackgroundClone(context, base, id);
  const tree = stagedTree(layout, id);
  try {
    enter(context, 'planning');
    const work = await makePlan(context, base ?? tree, clone);
    const { plan } = work;
    onEvent({ kind: 'planned', plan: plan.figures });
    if (plan.isEmpty && base !== undefined) {
      return { isChanged: false, plan: plan.figures, clone: 'none' };
    }
    context.guard(plan.figures);

    if (goOn !== undefined) {
      onEvent({ kind: 'notice', message: 'going on from what an interrupted sync transferred' });
      if (goOn !== tree) {
        // An older tree of the name that this sync was given is in the way.
        if (lstatIfThere(tree)) setAside(tree);
        renameSync(goOn, tree);
      }
      await transferUntilEqual(context, tree);
    } else if (clone === undefined) {
      checkSpace(layout.staging, plan.figures, 'none');
      await transferWholeTree(context, id, plan.figures, leftovers);
    } else {
      checkSpace(layout.staging, plan.figures, clone.expected, clone.freeBefore);
      enter(context, 'cloning');
      await clone.moveTo(tree);
      await transferUntilEqual(context, tree, work);
    }
    return { isChanged: true, plan: plan.figures, clone: clone?.method ?? 'none' };
  } finally {
    await clone?.abandon();
  }
}

/**
 * The clone of `current`, made while the plan is still being made. It begins with the first
 * difference: a sync that finds none never clones.
 */
class BackgroundClone {
  /** The method that worked, when the clone is finished. */
  method: CloneMethod | undefined;
  readonly freeBefore: FreeSpace;
  readonly #context: SyncContext;
  readonly #base: string;
  readonly #path: string;
  readonly #methods: CloneMethod[];
  readonly #stop = new AbortController();
  #running: Promise<CloneMethod> | undefined;

  constructor(context: SyncContext, base: string, id: string) {
    this.#context = context;
    this.#base = base;
    this.#path = stagedClone(context.layout, id);
    this.#methods = cloneMethodsFor(base, context.clone);
    this.freeBefore = freeSpaceAt(context.layout.staging);
  }

  /** The method that will most likely work. */
  get expected(): CloneMethod {
    return this.#methods[0] ?? 'copy';
  }

  start(): void {
    if (this.#running !== undefined) return;
    const { inherit, signal, onEvent } = this.#context;
    this.#running = cloneTree(this.#base, this.#path, {
      methods: this.#methods,
      inherit,
      signal: AbortSignal.any([signal, this.#stop.signal]),
      onRefused: (method, why) =>
        onEvent({ kind: 'notice', message: `no ${method} clone on this filesystem: ${why}` }),
    });
    // Whoever awaits it hears of a failure; until then it must not end the process.
    this.#running.catch(() => {});
  }

  /** Waits for the clone and gives it its name, by which the next sync knows it is whole. */
  async moveTo(tree: string): Promise<void> {
    this.start();
    const method = await this.#running;
    renameSync(this.#path, tree);
    this.method = method;
  }

  /** Ends and throws away what `moveTo` did not take. */
  async abandon(): Promise<void> {
    if (this.#running === undefined || this.method !== undefined) return;
    this.#stop.abort();
    await this.#running.catch(() => {});
    if (lstatIfThere(this.#path)) discard(this.#context.layout, this.#path);
  }
}

/** A plan that can be carried out. */
interface WorkPlan {
  plan: Plan;
  lists: PlanLists;
  fingerprint: Fingerprint;
}

/** Finds out what differs between the source and `target`. */
async function makePlan(
  context: SyncContext,
  target: string,
  clone?: BackgroundClone,
): Promise<WorkPlan> {
  for (;;) {
    const plan = new Plan(target, keepsOf(context));
    const lists = new PlanLists(context.layout.staging, listedFrom(context.transfer.source).prefix);
    const fingerprint = new Fingerprint();
    const { ending, totals, complaints } = await runRsync({
      ...context,
      args: planArguments(context.transfer, target),
      onEntry: (entry) => {
        if (!plan.add(entry)) return;
        lists.add(entry);
        fingerprint.add(entry);
        clone?.start();
      },
    }).finally(() => lists.close());
    plan.figures.source = totals;
    if (ending.kind === 'clean') return { plan, lists, fingerprint };
    await context.retries.again(ending, complaints);
  }
}

/**
 * Under `--without delete` an entry of `current` stays when the source has it no longer. In place,
 * what an interrupted rsync left of its own is no loss of the source's, whatever its size.
 */
export function keepsOf({
  transfer,
  base,
  strategy,
}: Pick<SyncContext, 'transfer' | 'base' | 'strategy'>): (name: string) => boolean {
  const isOurs = strategy === 'in-place' && !transfer.without.has('temp-excludes');
  const keeps = base !== undefined && transfer.without.has('delete');
  return (name) =>
    (isOurs && isTemporary(name)) || (keeps && lstatIfThere(bytePath(base, name)) !== undefined);
}

/**
 * Transfers what differs between the source and `tree`, until nothing does. Only what the plan
 * names is looked at, and all of it is made anew, so no inode is touched that a published snapshot
 * shares (I2), whatever the source does meanwhile.
 *
 * @param work what differs now, where that is known.
 */
async function transferUntilEqual(
  context: SyncContext,
  tree: string,
  work?: WorkPlan,
): Promise<void> {
  const { layout, transfer, base, signal, retries } = context;
  const options = applyOptions(context, [...foreignTrees(layout), base], isSubvolume(tree));
  for (let next = work; ; next = undefined) {
    if (next === undefined) {
      enter(context, 'planning');
      next = await makePlan(context, tree);
      const { figures, isEmpty, replacedBytes } = next.plan;
      context.guard({ ...figures, deletedFiles: 0, deletedBytes: 0 });
      if (isEmpty) return;
      const transferBytes = Math.max(0, figures.transferBytes - replacedBytes);
      checkSpace(layout.staging, { ...figures, transferBytes }, 'none');
    }
    enter(context, 'transferring');
    await takeOut(tree, next.lists.removals(), layout.partial, signal);
    const done = new Fingerprint();
    const { ending, complaints } = await runRsync({
      ...context,
      args: applyArguments(transfer, tree, next.lists.transfers, options),
      onEntry: (entry) => done.add(entry),
      onProgress: progressOf(context, next.plan.figures),
    });
    if (ending.kind !== 'clean') await retries.again(ending, complaints);
    // What came is not what was planned: the source changed in between, and files that were not on
    // the list may have changed with it.
    else if (done.equals(next.fingerprint)) return;
    else await retries.again(sourceChanged(), '');
  }
}

/**
 * rsync's own single pass, into an empty tree. It also looks at what did not change, and sets
 * attributes in place: so it never gets a tree whose files a published snapshot shares, and every
 * try begins with an empty one. What earlier tries transferred is linked from their trees.
 */
async function transferWholeTree(
  context: SyncContext,
  id: string,
  figures: PlanFigures,
  leftovers: readonly string[],
): Promise<void> {
  const { layout, transfer, base, needsWholePass, retries } = context;
  const tree = stagedTree(layout, id);
  const earlier = leftovers.map((path) => (path === tree ? setAside(path) : path));
  for (;;) {
    enter(context, 'transferring');
    if (needsWholePass) mkdirSync(tree);
    else await makeEmptyTree(tree, context.clone);
    const options = applyOptions(context, [...earlier, ...foreignTrees(layout), base], false);
    const { ending, totals, complaints } = await runRsync({
      ...context,
      args: wholePassArguments(transfer, tree, options),
      onEntry: () => {},
      onProgress: progressOf(context, figures),
    });
    if (ending.kind === 'clean') {
      context.guard({ ...figures, deletedFiles: 0, deletedBytes: 0, source: totals });
      return;
    }
    await retries.again(ending, complaints);
    // Without a base nothing in the tree is shared, and the difference alone will do.
    if (!needsWholePass) return transferUntilEqual(context, tree);
    earlier.unshift(setAside(tree));
  }
}

function applyOptions(
  { layout, strategy, clone }: SyncContext,
  from: readonly (string | undefined)[],
  cannotLink: boolean,
): ApplyOptions {
  const mustCopy = cannotLink || strategy === 'copy' || clone === 'copy' || clone === 'reflink';
  return {
    from: from.filter((path) => path !== undefined).slice(0, MOST_ALTERNATES),
    how: mustCopy ? 'copy' : 'link',
    partial: layout.partial,
  };
}

function foreignTrees(layout: Layout): string[] {
  return findLeftovers(layout).foreign;
}

/** Renames a tree of an earlier try, under a name by which it is still found after a crash. */
function setAside(tree: string): string {
  const aside = `${tree}+${randomUUID()}`;
  renameSync(tree, aside);
  return aside;
}

export function enter({ onEvent, report }: SyncContext, phase: Phase): void {
  onEvent({ kind: 'phase', phase });
  report(phase);
}

export function progressOf(
  { onEvent, report }: SyncContext,
  { transferBytes, newFiles, changedFiles }: PlanFigures,
) {
  const totalFiles = newFiles + changedFiles;
  return ({ bytes, files }: TransferProgress): void => {
    onEvent({ kind: 'progress', bytes, totalBytes: transferBytes, files, totalFiles });
    report('transferring', transferBytes === 0 ? 1 : Math.min(1, bytes / transferBytes));
  };
}

function sourceChanged(): Exclude<Ending, { kind: 'clean' }> {
  const why = 'the source changed while it was read';
  const hint = 'Try again when it is quiet, or with more patience: --retries 20 --retry-delay 1m';
  return { kind: 'retry', why, error: new MirrorlatchError('UNAVAILABLE', why, { hint }) };
}
