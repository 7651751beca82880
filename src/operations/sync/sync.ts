import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { asMirrorlatchError, MirrorlatchError } from '../../errors.ts';
import { refuseHalfAdopted } from '../../mirror/adoption.ts';
import type { CloneMethod } from '../../mirror/clone.ts';
import type { DrainOptions } from '../../mirror/gate.ts';
import { appendHistory, type SyncFigures } from '../../mirror/history.ts';
import { type Layout, LIVE } from '../../mirror/layout.ts';
import type { PlanFigures } from '../../mirror/plan.ts';
import { checkRsync, complaintOfSuperblock } from '../../mirror/preflight.ts';
import { currentId, publish } from '../../mirror/publication.ts';
import { type Finding, recover } from '../../mirror/recovery.ts';
import { serveDirectory } from '../../mirror/served-directory.ts';
import { freshId, timestampId } from '../../mirror/snapshot-id.ts';
import { closeGate } from '../../mirror/staging.ts';
import { acquireSyncLock, type SyncLock } from '../../mirror/sync-lock.ts';
import { discard, emptyTrash } from '../../mirror/trash.ts';
import { placeReader } from '../../reader/script.ts';
import { nameOf } from '../../rsync/source.ts';
import { lstatIfThere } from '../../system/files.ts';
import { buildTree, enter, type SyncContext } from './build-tree.ts';
import type { OnEvent, Phase } from '../../writer/events.ts';
import { createMirror, type Mirror } from '../mirror.ts';
import { type PruneResult, pruneUnderLock } from '../prune.ts';
import { Retries } from '../../rsync/retries.ts';
import { syncInPlace } from './in-place.ts';
import {
  guardOf,
  prepareSync,
  rememberSource,
  type SyncOptions,
  type SyncSummary,
  type Work,
} from './work.ts';

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

/**
 * Brings a mirror up to its source: makes a whole new snapshot behind the gate and publishes it in
 * one step, or finds that nothing has changed.
 *
 * @throws MirrorlatchError; nothing is published then, and what was transferred is kept.
 */
export async function sync(options: SyncOptions): Promise<SyncResult> {
  const { signal, onEvent = () => {} } = options;
  await checkRsync();
  const { mirror, work, isNew, id } = prepareSync(options);
  if (isNew) createMirror(options.root, mirror.settings);
  await waitUntil(options.at, signal, onEvent);
  const lock = await acquireSyncLock(mirror.layout, {
    command: options.pushed === undefined ? 'sync' : `push from ${options.pushed.name}`,
    waitMs: options.waitMs,
    staleAfterMs: options.staleAfterMs,
    signal,
    onWait: ({ message }) => onEvent({ kind: 'notice', message: `waiting: ${message}` }),
  });
  try {
    return await syncUnderLock(options, mirror, work, lock, id);
  } catch (error) {
    throw asMirrorlatchError(lock.causeOf(error), `the sync of ${mirror.layout.root} failed`);
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
  const { layout } = mirror;
  const { onEvent = () => {} } = options;
  const inherit = [lock.descriptor];
  const signal = AbortSignal.any([lock.lost, ...(options.signal ? [options.signal] : [])]);

  closeGate(layout);
  const recovered = await recover(layout, lock);
  refuseHalfAdopted(layout);
  placeReader(layout);
  rememberSource(options, mirror);
  const superblock = checkSuperblock(layout, options.unclean ?? 'warn', onEvent);
  if (options.unclean === 'refuse') await superblock;
  // A warning can come beside the plan; what goes wrong with it is heard where it is awaited.
  superblock.catch(() => {});
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
    guard: guardOf(options, mirror, work, before),
    onEvent,
    report: (phase, done) => lock.report({ phase, ...(done === undefined ? {} : { done }) }),
    log: log.write,
  };
  const summary = (plan: PlanFigures): SyncSummary => ({
    source: nameOf(work.transfer.source),
    strategy: work.strategy,
    plan,
    seconds: (performance.now() - startedAt) / 1000,
  });

  try {
    const figuresOf = (plan: PlanFigures, clone: string): SyncFigures => ({
      source: nameOf(work.transfer.source),
      strategy: work.strategy,
      clone,
      files: plan.source.files,
      bytes: plan.source.bytes,
      newFiles: plan.newFiles + plan.changedFiles,
      newBytes: plan.transferBytes,
      deletedFiles: plan.deletedFiles,
      seconds: Math.round((performance.now() - startedAt) / 100) / 10,
    });
    const isInPlace = mirror.settings.mode === 'in-place';
    const built = isInPlace
      ? await syncInPlace(context, lock, drainOf(options, signal), figuresOf)
      : await buildTree(context, id);
    await superblock;
    if (!built.isChanged && before !== undefined) {
      log.remove();
      clearStaging(layout, lock);
      await serve(mirror, lock, before, signal);
      appendHistory(layout, { event: 'unchanged', at: new Date().toISOString(), current: before });
      const pruned = pruneAfterwards(options, mirror, lock);
      return { outcome: 'unchanged', id: before, recovered, pruned, ...summary(built.plan) };
    }
    const { clone, plan } = built;
    if (!isInPlace) {
      await context.confirm?.();
      enter(context, 'publishing');
      await publish(layout, lock, id, figuresOf(plan, clone));
    }
    clearStaging(layout, lock);
    if (!isInPlace) await serve(mirror, lock, id, signal);
    const pruned = pruneAfterwards(options, mirror, lock);
    const published = isInPlace ? LIVE : id;
    return {
      outcome: 'published',
      id: published,
      previous: before ?? null,
      path: layout.snapshot(published),
      clone,
      recovered,
      pruned,
      ...summary(plan),
    };
  } catch (error) {
    recordFailure(layout, lock, id, error);
    throw withLog(error, layout.log(id));
  } finally {
    log.close();
    if (!lock.lost.aborted) await emptyTrashQuietly(layout, inherit, onEvent);
  }
}

function drainOf(options: SyncOptions, signal: AbortSignal): DrainOptions {
  const { drainMs, afterDrain, onEvent } = options;
  return {
    drainMs,
    afterDrain,
    signal,
    onWait: (message) => onEvent?.({ kind: 'notice', message }),
  };
}

export function chooseId(layout: Layout, wanted: string | undefined, at: Date | undefined): string {
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
function clearStaging(layout: Layout, lock: SyncLock): void {
  lock.assertHeld();
  for (const name of readdirSync(layout.staging)) {
    const path = join(layout.staging, name);
    if (!lstatIfThere(path)?.isDirectory()) rmSync(path, { force: true });
    else if (readdirSync(path).length === 0) rmdirSync(path);
    else discard(layout, path);
  }
}

/** Brings the served directory, where the mirror has one, up to what is current. */
export async function serve(
  { layout, settings }: Mirror,
  lock: SyncLock,
  id: string,
  signal: AbortSignal,
): Promise<void> {
  if (settings.serveAt !== undefined) {
    await serveDirectory(layout, lock, settings.serveAt, id, signal);
  }
}

/** A snapshot that cannot be removed is no reason to call the sync a failure. */
export function pruneAfterwards(
  {
    prune = true,
    keepLast,
    keepWithinMs,
    graceMs,
    onEvent = () => {},
  }: Pick<SyncOptions, 'prune' | 'keepLast' | 'keepWithinMs' | 'graceMs' | 'onEvent'>,
  mirror: Mirror,
  lock: SyncLock,
): PruneResult | undefined {
  if (!prune || mirror.settings.mode === 'in-place') return undefined;
  enterPhase(onEvent, 'pruning');
  lock.report({ phase: 'pruning' });
  try {
    return pruneUnderLock(mirror, lock, { keepLast, keepWithinMs, graceMs });
  } catch (error) {
    warn(onEvent, error, 'old snapshots could not be removed');
    return undefined;
  }
}

export async function emptyTrashQuietly(
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
export function recordFailure(layout: Layout, lock: SyncLock, id: string, error: unknown): void {
  const { code, message } = asMirrorlatchError(lock.causeOf(error));
  if (code === 'LOCK_LOST') return;
  try {
    appendHistory(layout, { event: 'failed', at: new Date().toISOString(), id, code, message });
  } catch {
    // Nothing more can be done here.
  }
}

/** Tells where all of it can be read, when it was rsync that failed. */
function withLog(error: unknown, log: string): unknown {
  if (!(error instanceof MirrorlatchError) || !('rsync' in error.details)) return error;
  const { code, message, hint, cause, details } = error;
  return new MirrorlatchError(code, message, {
    hint: `${hint === undefined ? '' : `${hint} `}All that rsync said is in ${log}`,
    cause,
    details: { ...details, log },
  });
}

function openLog(layout: Layout, id: string) {
  mkdirSync(layout.logs, { recursive: true });
  const path = layout.log(id);
  // The names that rsync tells may lie in directories that others cannot enter.
  const descriptor = openSync(path, 'a', 0o600);
  return {
    write: (bytes: Buffer): void => writeFileSync(descriptor, bytes),
    close: (): void => closeSync(descriptor),
    remove: (): void => rmSync(path, { force: true }),
  };
}

function enterPhase(onEvent: OnEvent, phase: Phase): void {
  onEvent({ kind: 'phase', phase });
}
