import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  realpathSync,
  rmdirSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { asMirrorlatchError, MirrorlatchError } from '../errors.ts';
import type { CloneMethod } from '../mirror/clone.ts';
import { appendHistory, publicationOf, readHistory } from '../mirror/history.ts';
import { type Layout, layoutOf } from '../mirror/layout.ts';
import { Plan, type PlanFigures } from '../mirror/plan.ts';
import {
  checkPlaces,
  checkRsync,
  complaintOfSuperblock,
  keepsNanoseconds,
} from '../mirror/preflight.ts';
import { currentId, publish } from '../mirror/publication.ts';
import type { Settings } from '../mirror/records.ts';
import { type Finding, recover } from '../mirror/recovery.ts';
import {
  changedSettings,
  type GivenSettings,
  newSettings,
  writeSettings,
} from '../mirror/settings.ts';
import { guardAgainstShrinking, type TreeSize } from '../mirror/shrink-guard.ts';
import { freshId, parseSnapshotId, timestampId } from '../mirror/snapshot-id.ts';
import { closeGate } from '../mirror/staging.ts';
import { acquireSyncLock, type SyncLock } from '../mirror/sync-lock.ts';
import { discard, emptyTrash } from '../mirror/trash.ts';
import { type DefaultName, planArguments, type Transfer } from '../rsync/arguments.ts';
import type { Entry } from '../rsync/itemize.ts';
import { parseRsyncOptions } from '../rsync/options.ts';
import { runRsync } from '../rsync/run.ts';
import { parseSource } from '../rsync/source.ts';
import { ifThere, lstatIfThere } from '../system/files.ts';
import { buildTree, keepsOf, type Strategy, type SyncContext } from './build-tree.ts';
import type { OnEvent, Phase } from './events.ts';
import { createMirror, findMirror, type Mirror, openMirror } from './mirror.ts';
import { type PruneResult, pruneUnderLock } from './prune.ts';
import { Retries } from './retry.ts';

export interface SyncOptions {
  root: string;
  /** As rsync understands it; by default what the mirror remembers. */
  source?: string | undefined;
  /** For rsync, see `parseRsyncOptions`; by default what the mirror remembers. */
  rsyncOptions?: readonly string[] | undefined;
  strategy?: Strategy | undefined;
  clone?: CloneMethod | 'auto' | undefined;
  /** Defaults of rsync's command line that are turned off. */
  without?: readonly DefaultName[] | undefined;
  /** Share of files or bytes that may vanish; percent. By default the mirror's setting. */
  maxShrinkPercent?: number | undefined;
  allowShrink?: boolean | undefined;
  /** The new snapshot's name. */
  id?: string | undefined;
  /** When to start; it names the snapshot, so that several hosts use one name. */
  at?: Date | undefined;
  /** How long to wait for another writer; ms. */
  waitMs?: number | undefined;
  /** After how long without a heartbeat another host's lock is taken over; ms. */
  staleAfterMs?: number | undefined;
  retries?: number | undefined;
  retryDelayMs?: number | undefined;
  /** What to do when the mirror's filesystem calls itself unclean. */
  unclean?: 'warn' | 'refuse' | 'ignore' | undefined;
  /** Remove old snapshots at the end; by default true. */
  prune?: boolean | undefined;
  keepLast?: number | undefined;
  keepWithinMs?: number | undefined;
  graceMs?: number | undefined;
  signal?: AbortSignal | undefined;
  onEvent?: OnEvent | undefined;
}

interface SyncSummary {
  source: string;
  strategy: Strategy;
  plan: PlanFigures;
  seconds: number;
}

export type SyncResult =
  | ({
      outcome: 'published';
      id: string;
      previous: string | null;
      path: string;
      clone: CloneMethod | 'none';
      recovered: Finding[];
      pruned: PruneResult | undefined;
    } & SyncSummary)
  | ({
      outcome: 'unchanged';
      id: string;
      recovered: Finding[];
      pruned: PruneResult | undefined;
    } & SyncSummary);

export type PlannedSync = {
  outcome: 'planned';
  current: string | null;
  entries: Entry[];
} & SyncSummary;

/**
 * Brings a mirror up to its source: makes a whole new snapshot behind the gate and publishes it in
 * one step, or finds that nothing has changed.
 *
 * @throws MirrorlatchError; nothing is published then, and what was transferred is kept.
 */
export async function sync(options: SyncOptions): Promise<SyncResult> {
  const { signal, onEvent = () => {} } = options;
  const id = options.id === undefined ? undefined : parseSnapshotId(options.id);
  await Promise.all([checkRsync(), waitUntil(options.at, signal, onEvent)]);
  const { mirror, work } = prepare(options);
  const lock = await acquireSyncLock(mirror.layout, {
    command: 'sync',
    waitMs: options.waitMs,
    staleAfterMs: options.staleAfterMs,
    signal,
    onWait: ({ message }) => onEvent({ kind: 'notice', message: `waiting: ${message}` }),
  });
  try {
    return await syncUnderLock(options, mirror, work, lock, id);
  } catch (error) {
    throw asMirrorlatchError(error, `the sync of ${mirror.layout.root} failed`);
  } finally {
    await lock.release();
  }
}

async function syncUnderLock(
  options: SyncOptions,
  mirror: Mirror,
  work: Work,
  lock: SyncLock,
  wantedId: string | undefined,
): Promise<SyncResult> {
  const startedAt = performance.now();
  const { layout, settings } = mirror;
  const { onEvent = () => {} } = options;
  const inherit = [lock.descriptor];
  const signal = AbortSignal.any([lock.lost, ...(options.signal ? [options.signal] : [])]);

  closeGate(layout);
  const recovered = await recover(layout, lock);
  rememberSource(options, mirror);
  await checkSuperblock(layout, options.unclean ?? 'warn', onEvent);
  const before = currentId(layout);
  const id = chooseId(layout, wantedId, options.at);
  const log = openLog(layout, id);
  const context: SyncContext = {
    ...work,
    layout,
    base: before === undefined ? undefined : layout.snapshot(before),
    inherit,
    signal,
    retries: new Retries({
      retries: options.retries ?? 4,
      delayMs: options.retryDelayMs ?? 2_000,
      signal,
      onEvent,
    }),
    guard: guardOf(options, settings, layout, before, work.transfer),
    onEvent,
    report: (phase, done) => lock.report({ phase, ...(done === undefined ? {} : { done }) }),
    log: log.write,
  };
  const summary = (plan: PlanFigures): SyncSummary => ({
    source: work.transfer.source.argument,
    strategy: work.strategy,
    plan,
    seconds: (performance.now() - startedAt) / 1000,
  });

  try {
    const built = await buildTree(context, id);
    if (!built.isChanged && before !== undefined) {
      log.remove();
      clearStaging(layout);
      appendHistory(layout, { event: 'unchanged', at: new Date().toISOString(), current: before });
      const pruned = pruneAfterwards(options, mirror, lock);
      return { outcome: 'unchanged', id: before, recovered, pruned, ...summary(built.plan) };
    }
    enterPhase(onEvent, 'publishing');
    lock.report({ phase: 'publishing' });
    const { clone, plan } = built;
    await publish(layout, lock, id, {
      source: work.transfer.source.argument,
      strategy: work.strategy,
      clone,
      files: plan.source.files,
      bytes: plan.source.bytes,
      newFiles: plan.newFiles + plan.changedFiles,
      newBytes: plan.transferBytes,
      deletedFiles: plan.deletedFiles,
      seconds: Math.round((performance.now() - startedAt) / 100) / 10,
    });
    clearStaging(layout);
    const pruned = pruneAfterwards(options, mirror, lock);
    return {
      outcome: 'published',
      id,
      previous: before ?? null,
      path: layout.snapshot(id),
      clone,
      recovered,
      pruned,
      ...summary(plan),
    };
  } catch (error) {
    recordFailure(layout, lock, id, error);
    throw error;
  } finally {
    log.close();
    if (!lock.lost.aborted) await emptyTrashQuietly(layout, inherit, onEvent);
  }
}

/**
 * What a sync would do, found out without a lock and without changing anything.
 *
 * @throws MirrorlatchError, also when the shrink guard would refuse it: then the plan is in its
 *   details.
 */
export async function planSync(options: SyncOptions): Promise<PlannedSync> {
  const startedAt = performance.now();
  const { signal = new AbortController().signal, onEvent = () => {} } = options;
  await checkRsync();
  const mirror = findMirror(options.root);
  const layout = mirror?.layout ?? layoutOf(realRoot(options.root));
  const settings = mirror?.settings ?? newSettings(settingsOf(options));
  const work = planWork(options, settings, layout);
  const before = mirror && currentId(layout);
  const base = before === undefined ? undefined : layout.snapshot(before);
  // A directory that is not there: everything is new.
  const target = base ?? `${layout.staging}/nothing`;
  const retries = new Retries({
    retries: options.retries ?? 4,
    delayMs: options.retryDelayMs ?? 2_000,
    signal,
    onEvent,
  });
  enterPhase(onEvent, 'planning');
  for (;;) {
    const plan = new Plan(target, keepsOf({ transfer: work.transfer, base }));
    const entries: Entry[] = [];
    const { ending, totals, complaints } = await runRsync({
      args: planArguments(work.transfer, target),
      inherit: [],
      signal,
      onEntry: (entry) => {
        if (plan.add(entry)) entries.push(entry);
      },
      log: () => {},
    });
    plan.figures.source = totals;
    if (ending.kind !== 'clean') {
      await retries.again(ending, complaints);
      continue;
    }
    onEvent({ kind: 'planned', plan: plan.figures });
    return {
      outcome: 'planned',
      current: before ?? null,
      entries,
      source: work.transfer.source.argument,
      strategy: work.strategy,
      plan: plan.figures,
      seconds: (performance.now() - startedAt) / 1000,
    };
  }
}

type Work = Pick<SyncContext, 'transfer' | 'strategy' | 'clone' | 'needsWholePass'>;

/** What is to be transferred, and how, by this call's options and the mirror's memory. */
function planWork(options: SyncOptions, settings: Settings, layout: Layout): Work {
  const { onEvent = () => {}, strategy = 'plan' } = options;
  const sourceText = options.source ?? settings.source;
  if (sourceText === undefined) {
    throw new MirrorlatchError('USAGE', `${layout.root} does not know its source yet`, {
      hint: `Name it once: mirrorlatch sync SRC ${layout.root}`,
    });
  }
  const source = parseSource(sourceText);
  checkPlaces(source, layout.root);
  const given = options.rsyncOptions?.length ? options.rsyncOptions : settings.rsyncOptions;
  const { args, needsWholePass: wholeFor } = parseRsyncOptions(given);
  const without = new Set(options.without);
  if (lstatIfThere(layout.state) && !keepsNanoseconds(layout)) without.add('nanoseconds');
  const needsWholePass = strategy === 'link-dest' || wholeFor !== undefined;
  if (needsWholePass && without.has('delete')) {
    throw new MirrorlatchError(
      'USAGE',
      `--without delete does not go with ${wholeFor ?? '--strategy link-dest'}: a whole pass starts from an empty tree`,
      { hint: 'Leave one of them out.' },
    );
  }
  if (wholeFor !== undefined && strategy === 'plan') {
    onEvent({
      kind: 'notice',
      message: `${wholeFor} needs rsync to see the whole tree: --strategy link-dest`,
    });
  }
  return {
    transfer: { source, without, options: args },
    strategy: needsWholePass && strategy === 'plan' ? 'link-dest' : strategy,
    clone: strategy === 'copy' ? 'copy' : (options.clone ?? 'auto'),
    needsWholePass,
  };
}

function guardOf(
  options: SyncOptions,
  settings: Settings,
  layout: Layout,
  before: string | undefined,
  transfer: Transfer,
): (plan: PlanFigures) => void {
  if (before === undefined || options.allowShrink || transfer.without.has('delete'))
    return () => {};
  const published = publicationOf(readHistory(layout), before);
  const limit = options.maxShrinkPercent ?? settings.maxShrinkPercent;
  return (plan) => {
    const size: TreeSize = {
      files: published?.files ?? plan.source.files - plan.newFiles + plan.deletedFiles,
      bytes: published?.bytes,
    };
    guardAgainstShrinking(plan, size, limit);
  };
}

function chooseId(layout: Layout, wanted: string | undefined, at: Date | undefined): string {
  const isPublished = (id: string) => lstatIfThere(layout.snapshot(id)) !== undefined;
  const fixed = wanted ?? (at && timestampId(at));
  if (fixed === undefined) {
    return freshId(
      new Date(),
      (id) => isPublished(id) || lstatIfThere(layout.log(id)) !== undefined,
    );
  }
  if (!isPublished(fixed)) return fixed;
  throw new MirrorlatchError('USAGE', `there is a snapshot named ${fixed} already`, {
    hint: 'Choose another --id, or see them all with: mirrorlatch list ROOT',
  });
}

async function waitUntil(
  at: Date | undefined,
  signal: AbortSignal | undefined,
  onEvent: OnEvent,
): Promise<void> {
  if (at === undefined || at.getTime() <= Date.now()) return;
  onEvent({ kind: 'phase', phase: 'waiting' });
  onEvent({ kind: 'notice', message: `waiting until ${at.toISOString()}` });
  // The clock may be set meanwhile, and a timer holds at most 24 days: look every minute.
  for (let left = 1; left > 0; left = at.getTime() - Date.now()) {
    await sleep(Math.min(left, 60_000), undefined, { signal }).catch(() =>
      signal?.throwIfAborted(),
    );
  }
}

/** Finds the mirror or makes it, once all that was asked for is known to make sense (I12). */
function prepare(options: SyncOptions): { mirror: Mirror; work: Work } {
  const found = options.source === undefined ? openMirror(options.root) : findMirror(options.root);
  const settings = found?.settings ?? newSettings(settingsOf(options));
  const work = planWork(options, settings, found?.layout ?? layoutOf(realRoot(options.root)));
  return { mirror: found ?? createMirror(options.root, settings), work };
}

/** A mirror that was made without a source gets that of its first sync. */
function rememberSource(options: SyncOptions, { layout, settings }: Mirror): void {
  if (settings.source !== undefined || options.source === undefined) return;
  const { source, rsyncOptions } = settingsOf(options);
  writeSettings(layout, changedSettings(settings, { source, rsyncOptions }));
}

/** What a first sync leaves for those after it. */
function settingsOf({
  source,
  rsyncOptions,
  keepLast,
  keepWithinMs,
  graceMs,
  maxShrinkPercent,
}: SyncOptions): GivenSettings {
  return {
    source: source === undefined ? undefined : parseSource(source).argument,
    rsyncOptions: rsyncOptions && [...parseRsyncOptions(rsyncOptions).args],
    keepLast,
    keepWithinMs,
    graceMs,
    maxShrinkPercent,
  };
}

function realRoot(root: string): string {
  return ifThere(() => realpathSync(root)) ?? resolve(root);
}

async function checkSuperblock(
  layout: Layout,
  unclean: 'warn' | 'refuse' | 'ignore',
  onEvent: OnEvent,
): Promise<void> {
  const complaint = unclean === 'ignore' ? undefined : await complaintOfSuperblock(layout.root);
  if (complaint === undefined) return;
  if (unclean === 'warn') {
    onEvent({ kind: 'warning', message: `${complaint}: check it with e2fsck` });
    return;
  }
  throw new MirrorlatchError('IO', complaint, {
    hint: 'Unmount it and check it with e2fsck, or sync all the same with --unclean warn.',
  });
}

/** Everything there is in the new snapshot now, or not wanted any more. */
function clearStaging(layout: Layout): void {
  for (const name of readdirSync(layout.staging)) {
    const path = join(layout.staging, name);
    if (!lstatIfThere(path)?.isDirectory()) rmSync(path, { force: true });
    else if (readdirSync(path).length === 0) rmdirSync(path);
    else discard(layout, path);
  }
}

/** A snapshot that cannot be removed is no reason to call the sync a failure. */
function pruneAfterwards(
  { prune = true, keepLast, keepWithinMs, graceMs, onEvent = () => {} }: SyncOptions,
  mirror: Mirror,
  lock: SyncLock,
): PruneResult | undefined {
  if (!prune) return undefined;
  enterPhase(onEvent, 'pruning');
  try {
    return pruneUnderLock(mirror, lock, { keepLast, keepWithinMs, graceMs });
  } catch (error) {
    warn(onEvent, error, 'old snapshots could not be removed');
    return undefined;
  }
}

async function emptyTrashQuietly(
  layout: Layout,
  inherit: readonly number[],
  onEvent: OnEvent,
): Promise<void> {
  try {
    await emptyTrash(layout, inherit);
  } catch (error) {
    warn(onEvent, error, 'what is no longer wanted could not be removed');
  }
}

function warn(onEvent: OnEvent, error: unknown, doing: string): void {
  onEvent({ kind: 'warning', message: asMirrorlatchError(error, doing).message });
}

/** Best effort: what went wrong is thrown anyway, and the disk may be full. */
function recordFailure(layout: Layout, lock: SyncLock, id: string, error: unknown): void {
  if (lock.lost.aborted) return;
  const { code, message } = asMirrorlatchError(error);
  try {
    appendHistory(layout, { event: 'failed', at: new Date().toISOString(), id, code, message });
  } catch {
    // Nothing more can be done here.
  }
}

function openLog(layout: Layout, id: string) {
  mkdirSync(layout.logs, { recursive: true });
  const path = layout.log(id);
  const descriptor = openSync(path, 'a', 0o644);
  return {
    write: (bytes: Buffer): void => {
      writeSync(descriptor, bytes);
    },
    close: (): void => closeSync(descriptor),
    remove: (): void => rmSync(path, { force: true }),
  };
}

function enterPhase(onEvent: OnEvent, phase: Phase): void {
  onEvent({ kind: 'phase', phase });
}
