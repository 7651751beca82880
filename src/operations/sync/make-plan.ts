import { randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { hasCode, MirrorlatchError } from '../../errors.ts';
import { bytePath } from '../../mirror/byte-path.ts';
import { layoutOf } from '../../mirror/layout.ts';
import { nameInLine, readableName } from '../../mirror/names.ts';
import { excludeList } from '../../mirror/plan/exclude-list.ts';
import { Plan } from '../../mirror/plan/plan.ts';
import { planArguments, type Transfer } from '../../rsync/arguments.ts';
import { type Ending, EXCLUDE } from '../../rsync/failure.ts';
import type { Entry, LeftOutEntry } from '../../rsync/itemize.ts';
import { keepsHardLinks } from '../../rsync/options.ts';
import { leftOutFilesystems } from '../../rsync/other-filesystems.ts';
import { sourceName } from '../../rsync/source.ts';
import { DELAYED, isUpdateMark, mayBeMadeFor, UPDATE_MARK } from '../../rsync/temporary-names.ts';
import { untilClean } from '../../rsync/until-clean.ts';
import { ifThere, lstatIfThere } from '../../system/files.ts';
import { quoteForSh } from '../../system/quote.ts';
import type { PlanContext } from './context.ts';
import { Differences, type EntryListener } from './differences.ts';
import { leavesOutOf } from './left-out.ts';

/**
 * Makes a plan count what a rule in a file of the source protects (rsync(1), dir-merge): a snapshot is
 * a new tree, and does not have it. The first rule that matches counts.
 */
const UNPROTECTED = ['--filter=risk *'];

interface Planned<Listener> {
  plan: Plan;
  listener: Listener;
  isUpdating: boolean;
}

/**
 * Finds out what differs between the source and `target`, a directory that need not exist.
 *
 * @param listen makes a listener for each try; that of the clean one is returned.
 * @param moreArguments for rsync, before all others.
 * @param excluded whether what the user's rules exclude counts as deleted.
 */
export async function makePlan<Listener extends EntryListener>(
  context: PlanContext,
  target: string,
  listen: () => Listener,
  moreArguments: readonly string[] = [],
  excluded: 'deleted' | 'kept' = 'deleted',
): Promise<Planned<Listener>> {
  const isKnownMark = hasMark(target) && (await sourceHasMark(context, target));
  const first = await planOnce(context, target, listen, moreArguments, excluded);
  const isUpdating = isKnownMark || first.plan.isUpdating;
  const hidden = namesToHide(context, first.plan);
  if (hidden.length === 0) return { ...first, isUpdating };
  const { plan, listener } = await planOnce(
    context,
    target,
    listen,
    ['--filter=merge,-s -', ...moreArguments],
    excluded,
    excludeList(hidden),
  );
  plan.hide(first.plan, hidden);
  return { plan, listener, isUpdating };
}

/** Names that are left out, and have to be hidden from rsync for a plan of what is to be there. */
function namesToHide({ strategy, sparesExcluded }: PlanContext, first: Plan): string[] {
  // rsync keeps what is named like something that it leaves out. Were that hidden from it, it would go,
  // unless a rule of the user keeps it, or something in it.
  const mayHaveOthers = strategy === 'in-place' || sparesExcluded;
  const inTree = mayHaveOthers ? first.leftOutInTree : [];
  // Else each plan would link to it anew.
  return [...new Set([...inTree, ...(first.linksToLeftOut ? first.excluded : [])])];
}

/** @param input for rsync. */
async function planOnce<Listener extends EntryListener>(
  context: PlanContext,
  target: string,
  listen: () => Listener,
  moreArguments: readonly string[],
  excluded: 'deleted' | 'kept',
  input?: Buffer,
): Promise<Omit<Planned<Listener>, 'isUpdating'>> {
  const { transfer, needsWholePass } = context;
  const hasLinks = keepsHardLinks(transfer.options);
  const namesLinks = hasLinks && !needsWholePass;
  const rules = {
    keeps: keepsOf(context, target),
    leavesOut: leavesOutOf(transfer),
    isRemains: context.isRemains,
    hasRemains: context.hasRemains ?? false,
    mayBeMadeFor: context.strategy === 'in-place' ? mayBeMadeFor : () => [],
    // In place, what is there stays, as rsync has it.
    emptied:
      context.strategy === 'in-place'
        ? []
        : await leftOutFilesystems(transfer.source, transfer.options, context),
    listsDeletions: context.sparesExcluded,
  };
  const keeps = context.strategy === 'in-place' || excluded === 'kept';
  const unprotected = keeps ? [] : UNPROTECTED;
  const nextTry = (knowsAllNames: boolean) => {
    const plan = new Plan(target, rules, context.watched);
    const listener = listen();
    const listenTo = (entry: Entry | undefined) => entry && listener.add(entry);
    return {
      args: [
        ...moreArguments,
        ...unprotected,
        ...planArguments(transfer, target, { excluded, namesLinks, knowsAllNames }),
      ],
      input,
      onEntry: (entry: Entry) => {
        refuseMirror(transfer, entry);
        refuseToReplace(context, target, entry);
        listenTo(plan.add(entry));
      },
      onLeftOut: (entry: LeftOutEntry) => listenTo(plan.leaveOut(entry)),
      onKept: (name: string) => plan.keepDirectory(name),
      close: () => {
        plan.removeEmptied().forEach(listenTo);
        listener.close();
      },
      overlooks: (complaints: string) => {
        const isSo = hasLinks && missesLinksOnly(complaints);
        if (isSo) plan.hidesLinks = true;
        return isSo;
      },
      judge: (): Ending =>
        plan.isUpdating && context.waitsForUpdate ? whileUpdated(transfer) : { kind: 'clean' },
      plan,
      listener,
    };
  };
  const { run, totals } = await untilClean(context, () => nextTry(false)).catch((error) => {
    if (!hasLinks || !endsAtMissedLink(error)) throw error;
    return untilClean(context, () => nextTry(true));
  });
  run.plan.complete(totals);
  return run;
}

/**
 * Where a directory takes the place of something else, a dry run makes no way for it, and then fails to
 * look for what is no regular file in it, and shares an inode (rsync 3.5.0, hlink.c). A real run does not.
 */
function missesLinksOnly(complaints: string): boolean {
  return complaints.split('\n').every((line) => MISSES_LINK.test(line));
}

/** rsync 3.5.0 follows no symlink in the directories of a name, and says of a file there that it is one. */
const MISSES_LINK =
  /^(rsync: (\[\w+[^\]]*\] )?)?stat ".*" failed: (Not a directory \(20\)|Too many levels of symbolic links \(40\))$/;

/**
 * With incremental recursion, such a dry run ends there (13, or 2, if the other names are in a part of
 * the list that it has done with), instead of going on with the next name.
 */
function endsAtMissedLink(error: unknown): boolean {
  const { exitCode, said = [] } = (hasCode(error, 'IO') && error.details.rsync) || {};
  return (exitCode === 13 || exitCode === 2) && said.some((line) => MISSES_LINK.test(line));
}

/** What a sync into an empty tree would do. */
export async function planFromNothing(context: PlanContext, tree: string): Promise<Plan> {
  const nothing = join(tree, randomUUID());
  return (await makePlan(context, nothing, () => new Differences())).plan;
}

/**
 * Looks at the top of the source on its own: a mark that the target has as well is no difference, and no
 * plan would find it.
 *
 * @throws MirrorlatchError UNAVAILABLE if it does not vanish while the context waits for that.
 */
export async function sourceHasMark(context: PlanContext, target: string): Promise<boolean> {
  const { transfer } = context;
  if (transfer.without.has('update-marks')) return false;
  // After the user's rules, which may hide a mark: the first that matches counts.
  const rules = [`--include=/${UPDATE_MARK}*`, '--exclude=*'];
  const options = [...transfer.options, ...rules, '--no-recursive', '--dirs'];
  const top = await planFromNothing({ ...context, transfer: { ...transfer, options } }, target);
  return top.isUpdating;
}

function hasMark(target: string): boolean {
  const names = ifThere(() => readdirSync(target, { encoding: 'latin1' })) ?? [];
  return names.some((name) => isUpdateMark({ name, type: 'file' }));
}

/** Under `--without delete` an entry of what is published stays when the source no longer has it. */
function keepsOf(context: PlanContext, target: string): (name: string) => boolean {
  const published = publishedTree(context, target);
  if (published === undefined || !context.transfer.without.has('delete')) return () => false;
  return (name) => lstatIfThere(bytePath(published, name)) !== undefined;
}

/**
 * Under `--without delete` a directory that is not empty stays, as rsync itself has it, even if the source
 * has something else of that name.
 *
 * @throws MirrorlatchError UNAVAILABLE
 */
function refuseToReplace(
  context: PlanContext,
  target: string,
  { change, type, name }: Entry,
): void {
  if (!context.transfer.without.has('delete')) return;
  if (change === 'deleted' || type === 'directory') return;
  const published = publishedTree(context, target);
  const path = published === undefined ? undefined : bytePath(published, name);
  if (path === undefined || !lstatIfThere(path)?.isDirectory()) return;
  // What a killed pass has collected there goes before the next one.
  const isOurs = (entry: string) => context.hasRemains === true && entry === DELAYED;
  if (readdirSync(path).every(isOurs)) return;
  const { name: shown } = readableName(name);
  const what = `${shown} is a directory in the mirror, but a ${type} in the source, and stays under --without delete`;
  throw new MirrorlatchError('UNAVAILABLE', what, {
    hint: `Sync without --without delete, so that it may go, or keep it out with: ${EXCLUDE}`,
  });
}

function publishedTree({ base, strategy }: PlanContext, target: string): string | undefined {
  return strategy === 'in-place' ? target : base;
}

/** @param mark as in `updateError`. */
export function whileUpdated(
  transfer: Transfer,
  mark?: string,
): Exclude<Ending, { kind: 'clean' }> {
  const error = updateError(transfer, mark);
  return { kind: 'retry', why: error.message, error };
}

/**
 * The error of a sync whose source says to the end of its retries that it is being updated.
 *
 * @param mark the name by which it says so; by default any that is heeded.
 */
export function updateError({ source, marks = [] }: Transfer, mark?: string): MirrorlatchError {
  const heeded = mark === undefined ? marks : [mark];
  const shown = heeded.map((name) => nameInLine(readableName(name).name));
  const usual = mark === undefined ? [`a file ${UPDATE_MARK}*`] : [];
  const why = `the source is being updated: it has ${[...usual, ...shown].join(' or ')}`;
  return new MirrorlatchError('UNAVAILABLE', why, {
    hint: `Try again later. If ${sourceName(source)} has been left with that file by mistake, sync it all the same with: --without update-marks`,
  });
}

/** The settings of a mirror at the top of a source. */
const SETTINGS = relative('/', layoutOf('/').settings);

/**
 * Of a mirror only what is current is a source. `checkPlaces` finds one on this host before anything
 * is asked of the source.
 */
export function refuseMirror({ source }: Transfer, { change, name }: Entry): void {
  if (change === 'deleted' || name !== SETTINGS) return;
  const current = quoteForSh(`${sourceName(source)}current`);
  throw new MirrorlatchError(
    'USAGE',
    `the source ${sourceName(source)} is the root of a mirror, not a tree`,
    { hint: `Name what is current in it as the source: ${current}` },
  );
}
