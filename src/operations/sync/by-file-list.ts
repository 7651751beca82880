import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { hasCode } from '../../errors.ts';
import { bytePath } from '../../mirror/byte-path.ts';
import { Changes } from '../../mirror/changes.ts';
import { distrustAfterRestart } from '../../mirror/distrust.ts';
import { leftOutOf, readHistory } from '../../mirror/history/history.ts';
import { FileListFault } from '../../mirror/listed/file-list.ts';
import { ListedChanges } from '../../mirror/listed/listed-changes.ts';
import { refuseUnlike } from '../../mirror/listed/listed-check.ts';
import { ListedPlan } from '../../mirror/listed/listed-plan.ts';
import {
  type ListedTree,
  listedTree,
  recordListedTree,
} from '../../mirror/listed/listed-record.ts';
import { namesUnlisted } from '../../mirror/listed/listed-tree.ts';
import { readableName } from '../../mirror/names.ts';
import type { LeftOut } from '../../mirror/plan/left-out.ts';
import { bothPlans, noChanges, Plan, type PlanFigures } from '../../mirror/plan/plan.ts';
import { isSameStamp, isStampIn } from '../../mirror/plan/stamps.ts';
import { findLeftovers, stagedTree } from '../../mirror/staging.ts';
import { RealParents } from '../../mirror/trees/real-parents.ts';
import { noteWritable } from '../../mirror/trees/writable.ts';
import { fileListArguments, type Transfer } from '../../rsync/arguments.ts';
import type { Entry } from '../../rsync/itemize.ts';
import { unlistable } from '../../rsync/listable-options.ts';
import type { SourceTotals } from '../../rsync/progress.ts';
import { Retries } from '../../rsync/retries.ts';
import { sourceName } from '../../rsync/source.ts';
import { lstatIfThere } from '../../system/files.ts';
import { optimizeCode } from '../../system/heap.ts';
import { warnOfWritable } from '../../writer/modes.ts';
import { whileFlushing } from '../../writer/publishing.ts';
import { heedSpace } from '../../writer/room.ts';
import { BackgroundClone } from './background-clone.ts';
import { type BuiltTree, reportPlan, type SyncContext } from './context.ts';
import { askFor } from './fetch-stamps.ts';
import { leavesOutOf } from './left-out.ts';
import { refuseMirror, whileUpdated } from './make-plan.ts';
import { mendByRsync } from './modes.ts';
import { type Looked, type Shortcut, unchanged } from './outcome.ts';
import { publishTree } from './publish-tree.ts';
import { DifferenceLists, transferDifferences, type WorkPlan } from './transfer.ts';

/**
 * A sync by the list of all its files that a source publishes, see `ListedEntry`. What differs between the
 * list in `current` and the new one is all that differs between the trees, so neither tree is searched.
 *
 * That holds only if `current` is the tree that its list describes. A look at everything finds that out,
 * and each sync by the list keeps it up: the list is the same before and after the transfer, and what was
 * transferred is what it says. Whatever does not fit, everything is looked at. So the worst that a wrong
 * list can do is to hide a change until then; nothing that it denies is published.
 */

/** How often the source may change its list while it is read. */
const MOST_ROUNDS = 3;

/** What a sync by the list needs, once it can be done. */
interface ListedSync {
  context: SyncContext;
  /** What is known of `current`. */
  listed: ListedTree;
  /** The tree of `current`. */
  base: string;
  changes: ListedChanges;
  /** What no list has named so far, and each sync therefore transfers, as it does the list. */
  unlisted: Set<string>;
}

/**
 * Brings the mirror up to the list of its source.
 *
 * @returns undefined if everything has to be looked at. Why is told, unless it is about time.
 */
export async function syncByFileList(
  context: SyncContext,
  id: string,
): Promise<Looked | undefined> {
  const { writer, base } = context;
  const { layout, policy } = writer;
  const { fileList } = policy.probe;
  if (base === undefined || fileList === '') return undefined;
  const list = listIn(base, fileList);
  if (list === undefined) {
    const wanted =
      fileList === AUTO ? 'a single fullfiletimelist-* at its top' : `a list ${fileList}`;
    writer.notice(`looking at everything: current does not have ${wanted}`);
    return undefined;
  }
  // What an interrupted sync has transferred is of use only to a look at everything.
  if (findLeftovers(layout).trees.length > 0) return undefined;
  const isIgnored = (name: string) => name === list;
  const directory = workIn(context);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { mode: 0o700 });
  optimizeCode();
  const changes = new ListedChanges(directory, writer, isIgnored);
  try {
    const listed = knownTree(context, list);
    const age = Date.now() - listed.lookedAt;
    // The clock may have been wrong then.
    if (age < 0 || age >= policy.probe.maxAgeMs) return undefined;
    const unlisted = new Set(listed.unlisted);
    return await followList({ context, listed, base, changes, unlisted }, id);
  } catch (error) {
    if (!(error instanceof FileListFault)) throw error;
    // Stamps may still say that nothing is new.
    const next = policy.probe.paths.length > 0 ? 'the list is left aside' : 'looking at everything';
    writer.notice(`${next}: ${nameOf(list)} ${error.message}`);
    return undefined;
  } finally {
    changes.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

/**
 * Finds out whether what is current after a look at everything is the tree that its list describes. The
 * next sync can go by the list then.
 *
 * @param source the totals of the source.
 */
export async function checkFileList(
  context: SyncContext,
  id: string,
  source: SourceTotals,
): Promise<void> {
  const { writer, transfer } = context;
  const { layout, policy, seconds } = writer;
  const tree = layout.snapshot(id);
  const list = listIn(tree, policy.probe.fileList);
  if (list === undefined || whyUnfit(context) !== undefined) return;
  const lookedAt = Date.now() - seconds * 1000;
  try {
    const isLeftOut = isLeftOutBy(transfer);
    const unlisted =
      listedTree(layout, id, list)?.unlisted ??
      (await namesUnlisted(tree, list, isLeftOut, layout.staging, writer));
    const selection = selectionOf(transfer);
    recordListedTree(layout, tree, { id, list, selection, lookedAt, unlisted, source });
  } catch (error) {
    if (error instanceof FileListFault) {
      const next = 'so the next sync looks at everything again';
      writer.notice(`${nameOf(list)} ${error.message}, ${next}`);
    } else if (writer.signal.aborted) throw error;
    else writer.reportProblem(error, `${nameOf(list)} could not be compared with the tree`);
  }
}

/** The name of the list at the top of a tree (latin1); undefined if there is none, or several. */
function listIn(tree: string, wanted: string): string | undefined {
  if (wanted === '') return undefined;
  const isFile = (name: string) => lstatIfThere(bytePath(tree, name))?.isFile() === true;
  const name = Buffer.from(wanted).toString('latin1');
  if (wanted !== AUTO) return isFile(name) ? name : undefined;
  const known = readdirSync(tree, { encoding: 'latin1' }).filter(
    // Rocky Linux keeps the one before under this name.
    (entry) => /^fullfiletimelist-(?!.*-old$)/.test(entry) && isFile(entry),
  );
  return known.length === 1 ? known[0] : undefined;
}

const AUTO = 'auto';

/** @throws FileListFault unless `current` is the tree that its list describes, and is so by these options. */
function knownTree(context: SyncContext, list: string): ListedTree {
  const { writer, transfer } = context;
  const why = whyUnfit(context);
  if (why !== undefined) throw new FileListFault(`does not say what ${why} makes of its files`);
  const listed = writer.before && listedTree(writer.layout, writer.before, list);
  if (!listed) throw new FileListFault('is not known to describe what is current');
  if (listed.selection !== selectionOf(transfer))
    throw new FileListFault('was compared with a tree that another source or other options made');
  return listed;
}

/** What keeps a list from saying what the tree has. */
function whyUnfit({ transfer, strategy, needsWholePass }: SyncContext): string | undefined {
  const { options, without } = transfer;
  const off = (['archive', 'delete'] as const).find((name) => without.has(name));
  if (off !== undefined) return `--without ${off}`;
  return unlistable(options) ?? (needsWholePass ? `--strategy ${strategy}` : undefined);
}

/** By what everything was selected; two syncs that have the same select alike. */
function selectionOf({ source, options, without }: Transfer): string {
  return JSON.stringify([sourceName(source), options, [...without].sort()]);
}

function isLeftOutBy(transfer: Transfer): (entry: Pick<Entry, 'name' | 'type'>) => boolean {
  const leavesOut = leavesOutOf(transfer);
  return (entry) => leavesOut(entry) !== undefined;
}

async function followList(sync: ListedSync, id: string): Promise<Looked> {
  const { context, listed, base, changes } = sync;
  const { writer } = context;
  const listAt = (directory: string) => bytePath(directory, listed.list);
  // It also marks what is written from now on as that of this boot.
  await distrustAfterRestart(writer.layout, base, writer.signal);
  writer.enter('planning');
  let newest = await fetchList(sync, base);
  const tree = stagedTree(writer.layout, id);
  const clone = new BackgroundClone(writer, base, id, context.clone);
  try {
    if (await changes.add(listAt(base), listAt(newest), () => clone.start())) {
      const figures = { ...noChanges(), ...keptFigures(sync, listed.source) };
      return unchanged(context, listed.id, figures, shortcut(listed));
    }
    const first = await planStep(sync, base, newest, listed.source);
    let { figures } = first.plan;
    reportPlan(writer, figures);
    context.refuseShrinking(figures);
    await clone.moveTo(tree, figures);
    const noted = new Changes(writer.layout);
    await transferOnce(context, tree, first, noted);
    for (let round = 1; ; round += 1) {
      writer.enter('settling');
      const before = newest;
      newest = await whileFlushing(writer, () => fetchList(sync, before));
      const isSame = await changes.add(
        bytePath(before, listed.list),
        bytePath(newest, listed.list),
      );
      if (isSame && isSameStamp(tree, newest, listed.list)) break;
      if (round === MOST_ROUNDS) throw new FileListFault('keeps changing while the source is read');
      const next = await planStep(sync, tree, newest, figures.source);
      figures = bothPlans(figures, next.plan.figures);
      context.refuseShrinking(figures);
      await heedSpace(writer, next.plan.figures, 'none');
      await transferOnce(context, tree, next, noted);
    }
    await refuseUnlisted(sync, tree, figures);
    figures = { ...figures, source: sumOf(figures.source, growthOfUnlisted(sync, tree)) };
    rmSync(workIn(context), { recursive: true });
    noted.isPartial = await clone.isBaseChanged();
    const built = { plan: figures, clone: clone.method ?? 'none', changes: noted };
    return await publishListed(sync, id, built);
  } finally {
    await clone.abandon();
  }
}

/** Fetches the list, and takes from `basis` what is the same. @returns the directory that it lies in. */
async function fetchList({ context, listed }: ListedSync, basis: string): Promise<string> {
  const { transfer, retries } = context;
  for (;;) {
    const target = mkdtempSync(join(workIn(context), 'fetched-'));
    const args = fileListArguments(transfer, target, basis);
    const { failure, mark } = await askFor(context, [listed.list], args);
    if (failure !== undefined) throw new FileListFault(`cannot be fetched: ${failure}`);
    if (mark !== undefined) {
      await retries.again(whileUpdated(transfer, mark));
      continue;
    }
    if (isStampIn(target, listed.list)) return target;
    throw new FileListFault('is no file of the source any more');
  }
}

function workIn({ writer }: Pick<SyncContext, 'writer'>): string {
  return join(writer.layout.staging, '.file-list');
}

/**
 * Plans what the newest list changes.
 *
 * @param target the tree that the list before describes.
 * @param newest the directory that the newest list lies in.
 * @param source the totals of the source by the list before.
 */
async function planStep(
  sync: ListedSync,
  target: string,
  newest: string,
  source: SourceTotals,
): Promise<WorkPlan> {
  const { context, listed, changes, unlisted } = sync;
  const { transfer, watched, isRemains } = context;
  const rules = {
    ...{ keeps: () => false, leavesOut: leavesOutOf(transfer), isRemains },
    ...{ mayBeMadeFor: () => [], hasRemains: false, emptied: [], listsDeletions: false },
  };
  const plan = new Plan(target, rules, watched);
  const listener = new DifferenceLists(context);
  const listedPlan = new ListedPlan(target, isLeftOutBy(transfer));
  const take = (entry: Entry): void => {
    refuseMirror(transfer, entry);
    const planned = plan.add(entry);
    if (planned !== undefined) listener.add(planned);
  };
  try {
    await changes.eachOfLast((change) => {
      unlisted.delete(change.name);
      listedPlan.entriesOf(change).forEach(take);
    });
    listedPlan.refuseHoles();
    const size = Number(lstatIfThere(bytePath(newest, listed.list))?.size);
    take({ change: 'changed', type: 'file', name: listed.list, size, modified: '' });
    for (const name of unlisted) unlistedEntry(target, name).forEach(take);
  } finally {
    listener.close();
  }
  plan.complete(sumOf(source, listedPlan.growth));
  Object.assign(plan.figures, keptFigures(sync, plan.figures.source));
  return { plan, listener };
}

/** What the list does not name may change with each list, as another list does. */
function unlistedEntry(tree: string, name: string): Entry[] {
  const found = new RealParents(tree).leadTo(name) ? lstatIfThere(bytePath(tree, name)) : undefined;
  if (found === undefined) return [];
  const type = found.isSymbolicLink() ? 'symlink' : 'file';
  return [{ change: 'changed', type, name, size: Number(found.size), modified: '' }];
}

/** By how much what the list does not name changes the totals, the list included. */
function growthOfUnlisted({ listed, base, unlisted }: ListedSync, tree: string): SourceTotals {
  const sizeIn = (place: string, name: string) =>
    Number(lstatIfThere(bytePath(place, name))?.size ?? 0n);
  const growths = [listed.list, ...unlisted].map((name) => sizeIn(tree, name) - sizeIn(base, name));
  const bytes = growths.reduce((sum, growth) => sum + growth, 0);
  return { files: 0, directories: 0, entries: 0, bytes };
}

function sumOf(one: SourceTotals, other: SourceTotals): SourceTotals {
  return {
    files: one.files + other.files,
    directories: one.directories + other.directories,
    entries: one.entries + other.entries,
    bytes: one.bytes + other.bytes,
  };
}

/** Of the figures of a plan, those that a list says nothing of: what is left out is so still. */
function keptFigures(
  { context, listed }: ListedSync,
  source: SourceTotals,
): Pick<PlanFigures, 'source' | 'leftOut'> {
  const leftOut = leftOutOf(readHistory(context.writer.layout), listed.id) as LeftOut[];
  return { source, leftOut };
}

/** @throws FileListFault if the source does not have what its list says, or cannot be read. */
async function transferOnce(
  context: SyncContext,
  tree: string,
  work: WorkPlan,
  noted: Changes,
): Promise<void> {
  const { signal } = context;
  const retries = new Retries({ retries: 0, delayMs: 0, signal, onRetry: () => {} });
  try {
    await transferDifferences({ ...context, retries }, tree, work, noted);
  } catch (error) {
    if (!hasCode(error, 'UNAVAILABLE')) throw error;
    throw new FileListFault(`names what cannot be transferred: ${error.message}`);
  }
}

/** @throws FileListFault if what was transferred is not what the lists say. */
async function refuseUnlisted(
  { context, changes }: ListedSync,
  tree: string,
  figures: PlanFigures,
): Promise<void> {
  const { writer } = context;
  const parents = new RealParents(tree);
  await changes.eachOfAll((change) => {
    const found = refuseUnlike(tree, parents, change);
    const isWritable = found?.isFile() || found?.isDirectory();
    if (isWritable && ((found?.mode ?? 0n) & 0o002n) !== 0n)
      noteWritable(figures.writableByAll, change.name);
  });
  warnOfWritable(writer, figures, mendByRsync(writer));
}

async function publishListed(
  { context, listed, unlisted }: ListedSync,
  id: string,
  built: Omit<BuiltTree, 'isChanged'>,
): Promise<Looked> {
  const how = shortcut(listed);
  const published = await publishTree(context, id, built, how);
  const { source } = built.plan;
  // Then it is not the tree that the list describes.
  if (context.writer.isAltered) return { ...published, ...how };
  const known = { ...listed, id, source, unlisted: [...unlisted] };
  recordListedTree(context.writer.layout, published.path, known);
  return { ...published, ...how };
}

function shortcut({ lookedAt }: ListedTree): Shortcut {
  return { look: 'file-list', lookedAt: new Date(lookedAt).toISOString() };
}

function nameOf(list: string): string {
  return `the list ${readableName(list).name}`;
}
