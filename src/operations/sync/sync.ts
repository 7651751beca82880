import { hasCode, MirrorlatchError } from '../../errors.ts';
import { cloneMethodsFor } from '../../mirror/clone.ts';
import { currentId } from '../../mirror/current.ts';
import { openLog, type SyncLog } from '../../mirror/history/logs.ts';
import type { Layout } from '../../mirror/layout.ts';
import { refuseOtherOwner } from '../../mirror/locks/ownership.ts';
import { findMirror, type Mirror } from '../../mirror/open.ts';
import {
  checkRsync,
  checkValues,
  complaintOfSuperblock,
  storeNanoseconds,
} from '../../mirror/plan/preflight.ts';
import { idleLimits } from '../../mirror/plan/shrink-guard.ts';
import type { ProbePolicy } from '../../mirror/settings/policy.ts';
import { type FirstSync, settleFirstSync } from '../../mirror/settings/settings.ts';
import { discardSpare } from '../../mirror/spare.ts';
import { ReceivedSums } from '../../mirror/sums/received.ts';
import type { Finding } from '../../mirror/survey.ts';
import { showTime } from '../../mirror/units.ts';
import { withAbsoluteFiles } from '../../rsync/option-files.ts';
import { Retries } from '../../rsync/retries.ts';
import { pause } from '../../system/pause.ts';
import { quoteForSh } from '../../system/quote.ts';
import { mayHeal } from '../../writer/checking.ts';
import { createMirror } from '../../writer/create.ts';
import type { OnEvent } from '../../writer/events.ts';
import { recordFailedStart } from '../../writer/failures.ts';
import { makingSnapshot } from '../../writer/making.ts';
import { isClosedAlready, warnOfClosed } from '../../writer/modes.ts';
import type { PruneResult } from '../../writer/pruning.ts';
import { discardLeftByCommands, makingRoom } from '../../writer/room.ts';
import { repairAbandonedGate, withLock, withWriter } from '../../writer/session.ts';
import type { Writer } from '../../writer/writer.ts';
import { checkFileList, syncByFileList } from './by-file-list.ts';
import { type SyncContext, UNCLEAN_POLICIES, type UncleanPolicy } from './context.ts';
import { sparesExcluded } from './excluded.ts';
import { shrinkGuardOf } from './guard-shrinking.ts';
import { syncInPlace } from './in-place.ts';
import { nameOtherFilesystems, remainsOf } from './left-out.ts';
import { mendByRsync } from './modes.ts';
import { type Synced, unchangedByProbe } from './outcome.ts';
import { probeSource } from './probe.ts';
import { syncSnapshot } from './snapshot.ts';
import {
  checkSync,
  namesOtherSource,
  planWork,
  rememberFirstSync,
  type SyncOptions,
  settingsOfNew,
} from './work.ts';

export type SyncResult = Synced & {
  /** What an earlier crash had left. */
  recovered: Finding[];
  /** Undefined when nothing was to be pruned, or pruning failed. */
  pruned: PruneResult | undefined;
};

/**
 * Brings a mirror up to its source: makes a whole new snapshot in staging and publishes it in
 * one step, or finds that nothing has changed.
 *
 * @throws MirrorlatchError; nothing is published then, and what was transferred is kept.
 */
export async function sync(options: SyncOptions): Promise<SyncResult> {
  const { id, at, tags, prune = true, pushed, signal, onEvent = () => {} } = options;
  await repairAbandoned(options);
  const { mirror, isNew } = await prepare(options);
  if (isNew) createMirror(options.root, settingsOfNew(options));
  const { layout } = mirror;
  refuseOtherOwner(layout);
  await waitUntil(at, signal, onEvent);
  const { lock, retention, retry, drain, shrink, probe, check, hooks } = options;
  const command = pushed === undefined ? 'sync' : `push from ${pushed.name}`;
  const failure = `the sync of ${layout.root} failed`;
  const policy = { retention, retry, drain, shrink, probe, check, hooks };
  const makes = { id, at };
  const ending = { followsRules: true, prune };
  const session = { command, failure, lock, ...policy, ...ending, makes, tags, signal, onEvent };
  const { result, recovered, pruned } = await withWriter(layout, session, async (writer) => {
    const first = rememberFirstSync(options, writer);
    const make = async (newId: string): Promise<Synced> => {
      await discardLeftByCommands(writer);
      return makingRoom(writer, newId, () => bringUp(options, writer, newId));
    };
    const synced = await makingSnapshot(writer, makes, make);
    if (first !== undefined) settle(writer, first);
    return synced;
  });
  return { ...result, recovered, pruned };
}

/**
 * Checks what can be checked before the lock. Whatever the cause, a sync that fails is on record: cron
 * may be the only caller. A wrong command line (USAGE) is not a sync, and neither is one with a misspelt
 * source.
 */
async function prepare(options: SyncOptions): Promise<{ mirror: Mirror; isNew: boolean }> {
  try {
    const checking = async () => checkSync(options);
    const [, checked] = await Promise.all([checkRsync(), checking()]);
    await checkValues(withAbsoluteFiles(options.rsyncOptions ?? []));
    return checked;
  } catch (error) {
    const found = hasCode(error, 'USAGE') ? undefined : findMirror(options.root);
    if (found !== undefined && !isMisspelt(options, found, error))
      await recordWithLock(found.layout, options, error);
    throw error;
  }
}

/** Whether the source is missing, is not the mirror's own, and was not said to be meant. */
function isMisspelt(options: SyncOptions, mirror: Mirror, error: unknown): boolean {
  return hasCode(error, 'NO_SOURCE') && !options.otherSource && namesOtherSource(options, mirror);
}

/** Best effort: nothing is recorded under another writer's lock, as another user, or in a broken mirror. */
async function recordWithLock(
  layout: Layout,
  { id, at, hooks: given, signal, onEvent }: SyncOptions,
  error: unknown,
): Promise<void> {
  const failure = `the sync of ${layout.root} failed`;
  const session = { command: 'sync', failure, hooks: given, signal, onEvent };
  await withLock(layout, session, (_, hooks) => {
    currentId(layout);
    recordFailedStart({ layout, hooks }, { id, at }, error, failure);
  }).catch(() => {});
}

/** The next sync tries again if it fails, as on a full disk. */
function settle(writer: Writer, first: FirstSync): void {
  try {
    settleFirstSync(writer.layout, first);
  } catch (error) {
    writer.reportProblem(error, 'the source and its options could not be remembered for good');
  }
}

/** What a dead writer left closed is opened even if this sync comes to nothing. */
async function repairAbandoned({ root, lock, signal, onEvent }: SyncOptions): Promise<void> {
  const layout = findMirror(root)?.layout;
  if (layout === undefined) return;
  const failure = `the gate of ${layout.root} cannot be repaired`;
  await repairAbandonedGate(layout, { command: 'sync', failure, lock, signal, onEvent });
}

/** Brings the mirror up to its source, and keeps what rsync said of it. */
async function bringUp(options: SyncOptions, writer: Writer, id: string): Promise<Synced> {
  heedSuperblock(writer, options.unclean);
  await storeNanoseconds(writer.layout);
  const log = openLog(writer.layout, id);
  try {
    const context = contextOf(options, writer, log);
    const wasClosed = isClosedAlready(writer);
    const synced = await untilRight(context, () => probeAndSync(context, id));
    writer.wantsSpare = usesSpare(context, synced);
    if (!writer.wantsSpare && writer.lock.isHeld) discardSpare(writer.layout);
    const tree = writer.layout.snapshot(synced.id);
    const others = (synced.plan?.writableByAll.count ?? 0) > 0 ? (['o-w'] as const) : [];
    warnOfClosed(writer, tree, wasClosed, mendByRsync(writer, others), ' as its source');
    if (synced.outcome === 'unchanged') log.remove();
    return synced;
  } catch (error) {
    throw withLog(blamingMemory(error, options, writer), log.path);
  } finally {
    log.close();
  }
}

/**
 * A source that is in the middle of its own update heals by itself: as long as a check says no and the retries allow
 * it, it is looked at again.
 */
async function untilRight(context: SyncContext, sync: () => Promise<Synced>): Promise<Synced> {
  for (;;) {
    try {
      return await sync();
    } catch (error) {
      if (!mayHeal(error)) throw error;
      await context.retries.again({ kind: 'retry', why: error.message, error });
    }
  }
}

async function probeAndSync(context: SyncContext, id: string): Promise<Synced> {
  const { writer } = context;
  const isInPlace = writer.settings.mode === 'in-place';
  const listed = isInPlace ? undefined : await syncByFileList(context, id);
  if (listed !== undefined) return listed;
  const probe = await probeSource(context);
  if (probe.kind === 'same') return unchangedByProbe(context, probe);
  await nameOtherFilesystems(context, (message) => writer.notice(message));
  const known = { ...context, stamps: probe.stamps };
  if (isInPlace) return syncInPlace(known, id);
  const synced = await syncSnapshot(known, id);
  await checkFileList(context, synced.id, synced.plan.source);
  return synced;
}

/** Whether a sync that is like this one makes its clone by hard links. */
function usesSpare({ base, clone, needsWholePass }: SyncContext, synced: Synced): boolean {
  const made = synced.outcome === 'published' ? synced.clone : 'none';
  const isByLinks = ['none', 'hardlink', 'recycle'].includes(made);
  if (base === undefined || needsWholePass || !isByLinks) return false;
  return cloneMethodsFor(base, clone)[0] === 'hardlink';
}

function contextOf(options: SyncOptions, writer: Writer, log: SyncLog): SyncContext {
  const { layout, policy, inherit, signal, before, settings } = writer;
  const isInPlace = settings.mode === 'in-place';
  const work = planWork(options, writer, (message) => writer.notice(message));
  const warn = (message: string): void => writer.onEvent({ kind: 'warning', message });
  const base = before === undefined ? undefined : layout.snapshot(before);
  if (base !== undefined) idleLimits(base, policy.shrink).forEach(warn);
  return {
    ...work,
    writer,
    base,
    received: new ReceivedSums(layout.staging),
    waitsForUpdate: true,
    inherit,
    signal,
    retries: new Retries({ ...policy.retry, signal, onRetry: warn }),
    isRemains: remainsOf(work, layout),
    sparesExcluded: sparesExcluded(work, writer),
    probe: isInPlace ? withListForStamp(policy.probe) : policy.probe,
    watched: Object.keys(policy.shrink.maxPercentIn),
    refuseShrinking: shrinkGuardOf(work, layout, before, policy.shrink),
    log: log.write,
    onReceived: (bytes) => {
      writer.receivedBytes += bytes;
    },
  };
}

/** A tree that is written in place takes a pass of rsync: a list says only whether there is anything new. */
function withListForStamp(probe: ProbePolicy): ProbePolicy {
  const { paths, fileList } = probe;
  return fileList === '' ? probe : { ...probe, paths: [...paths, fileList] };
}

async function waitUntil(
  at: Date | undefined,
  signal: AbortSignal | undefined,
  onEvent: OnEvent,
): Promise<void> {
  if (at === undefined) return;
  if (at.getTime() <= Date.now()) {
    onEvent({
      kind: 'notice',
      message: `${showTime(at.toISOString())} has passed: starting at once`,
    });
    return;
  }
  onEvent({ kind: 'phase', phase: 'waiting' });
  onEvent({ kind: 'notice', message: `waiting until ${showTime(at.toISOString())}` });
  // The clock may be set meanwhile, and a timer holds at most 24 days: look every minute.
  for (let left = 1; left > 0; left = at.getTime() - Date.now()) {
    await pause(Math.min(left, 60_000), signal);
  }
}

function heedSuperblock(
  { layout, onEvent }: Writer,
  unclean: UncleanPolicy = UNCLEAN_POLICIES[0],
): void {
  const complaint = unclean === 'ignore' ? undefined : complaintOfSuperblock(layout.root);
  if (complaint === undefined) return;
  if (unclean === 'warn') {
    onEvent({ kind: 'warning', message: `${complaint}: check it with e2fsck` });
    return;
  }
  throw new MirrorlatchError('IO', complaint, {
    hint: 'Unmount it and check it with e2fsck, or sync all the same with --unclean warn.',
  });
}

/** rsync may find only at work that an option is wrong. One that the mirror remembers is no wrong call. */
function blamingMemory(error: unknown, { rsyncOptions = [] }: SyncOptions, { layout }: Writer) {
  const isOwn = rsyncOptions.length > 0;
  if (isOwn || !hasCode(error, 'USAGE') || error.details.rsync === undefined) return error;
  const { message, cause, details } = error;
  const init = `mirrorlatch init ${quoteForSh(layout.root)}`;
  return new MirrorlatchError('CONFIGURATION', `${message}. ${layout.root} remembers its options`, {
    hint: `Give them anew with: ${init} -- OPTIONS, or forget them with: ${init} --clear-options`,
    cause,
    details,
  });
}

/** Names the log, if it was rsync that failed. */
function withLog(error: unknown, log: string): unknown {
  if (!(error instanceof MirrorlatchError) || error.details.rsync === undefined) return error;
  const { code, message, hint, cause, details } = error;
  return new MirrorlatchError(code, message, {
    hint: `All that rsync said is in ${log}${hint === undefined ? '' : `. ${hint}`}`,
    cause,
    details: { ...details, log },
  });
}
