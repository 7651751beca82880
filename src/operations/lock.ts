import { setTimeout as sleep } from 'node:timers/promises';
import { asMirrorlatchError, type ErrorCode, MirrorlatchError } from '../errors.ts';
import type { CloneMethod } from '../mirror/clone.ts';
import {
  type CommandTree,
  forgetCommandTree,
  leftCommandTree,
  makeCommandTree,
} from '../mirror/command-tree.ts';
import { appendHistory, publicationOf, readHistory } from '../mirror/history.ts';
import type { Layout } from '../mirror/layout.ts';
import type { NamedProcess } from '../mirror/lock-state.ts';
import type { PlanFigures } from '../mirror/plan.ts';
import { currentId, publish } from '../mirror/publication.ts';
import { type Finding, recover } from '../mirror/recovery.ts';
import { guardAgainstShrinking } from '../mirror/shrink-guard.ts';
import { parseSnapshotId } from '../mirror/snapshot-id.ts';
import { closeGate, stagedCommandTree } from '../mirror/staging.ts';
import { acquireSyncLock, type SyncLock } from '../mirror/sync-lock.ts';
import { compareTrees } from '../mirror/tree-comparison.ts';
import { placeReader } from '../reader/script.ts';
import { lstatIfThere } from '../system/files.ts';
import { checkProgram, nameOf, runInForeground } from '../system/foreground.ts';
import type { JobEnd } from '../system/job.ts';
import { processesHoldingFlock, processesWithVariable, processName } from '../system/proc.ts';
import type { OnEvent } from './events.ts';
import { type Mirror, openMirror } from './mirror.ts';
import type { PruneResult } from './prune.ts';
import { chooseId, emptyTrashQuietly, pruneAfterwards, recordFailure } from './sync.ts';

export interface LockOptions {
  root: string;
  /** The program and its arguments, byte for byte. */
  command: readonly Buffer[];
  /** Nothing but the lock. */
  lockOnly?: boolean | undefined;
  /** Do not go on from what an earlier command left. */
  anew?: boolean | undefined;
  /** Begin with an empty tree. */
  empty?: boolean | undefined;
  /** The command never writes to a file in place, nor sets its attributes: the tree may share files. */
  hardLinksAreSafe?: boolean | undefined;
  /** Share of files or bytes that may vanish; percent. By default the mirror's setting. */
  maxShrinkPercent?: number | undefined;
  allowShrink?: boolean | undefined;
  /** The new snapshot's name. */
  id?: string | undefined;
  /** How long to wait for another writer; ms. */
  waitMs?: number | undefined;
  /** After how long without a heartbeat another host's lock is taken over; ms. */
  staleAfterMs?: number | undefined;
  /** Remove old snapshots at the end; by default true. */
  prune?: boolean | undefined;
  keepLast?: number | undefined;
  keepWithinMs?: number | undefined;
  graceMs?: number | undefined;
  /** Ends it before and after the command; while that runs, signals are for the command. */
  signal?: AbortSignal | undefined;
  /** Told before the command starts and after it has ended. */
  onCommand?: ((isRunning: boolean) => void) | undefined;
  onEvent?: OnEvent | undefined;
}

export type LockResult =
  | {
      outcome: 'published';
      id: string;
      previous: string | null;
      path: string;
      clone: CloneMethod | 'none';
      recovered: Finding[];
      pruned: PruneResult | undefined;
      plan: PlanFigures;
      seconds: number;
    }
  /** The command changed nothing; `id` is what `current` names. */
  | {
      outcome: 'unchanged';
      id: string;
      recovered: Finding[];
      pruned: PruneResult | undefined;
      seconds: number;
    }
  /** The command failed: nothing is published, and its tree is kept for the next. */
  | { outcome: 'failed'; end: JobEnd; name: string; path: string; recovered: Finding[] }
  /** There was nothing to publish: the lock alone was wanted. */
  | { outcome: 'ended'; end: JobEnd };

/** The variable by which a command finds its tree, and we find what it has left running. */
const STAGING = 'MIRRORLATCH_STAGING';

/** How long what a command started may take to end after it. */
const LINGER_MS = 5_000;
const POLL_MS = 100;

/**
 * Runs a command as the writer of a mirror: with its lock, and with a tree of its own behind the
 * gate, which is published when the command ends with 0 and the guards agree.
 *
 * @throws MirrorlatchError; nothing is published then, and the command's tree is kept.
 */
export async function lock(options: LockOptions): Promise<LockResult> {
  const { signal, onEvent = () => {} } = options;
  const mirror = openMirror(options.root);
  const { layout } = mirror;
  const wantedId = options.id === undefined ? undefined : parseSnapshotId(options.id);
  checkProgram(options.command[0] ?? Buffer.alloc(0));
  const syncLock = await acquireSyncLock(layout, {
    command: 'lock',
    waitMs: options.waitMs,
    staleAfterMs: options.staleAfterMs,
    signal,
    onWait: ({ message }) => onEvent({ kind: 'notice', message: `waiting: ${message}` }),
  });
  try {
    if (!options.lockOnly) return await lockAndPublish(options, mirror, syncLock, wantedId);
    const end = await runCommand(options, layout, syncLock, { MIRRORLATCH_ROOT: layout.root });
    return { outcome: 'ended', end };
  } catch (error) {
    throw asMirrorlatchError(syncLock.causeOf(error), `the lock of ${layout.root} failed`);
  } finally {
    await syncLock.release();
  }
}

async function lockAndPublish(
  options: LockOptions,
  mirror: Mirror,
  syncLock: SyncLock,
  wantedId: string | undefined,
): Promise<LockResult> {
  const startedAt = performance.now();
  const { layout } = mirror;
  const { command, onEvent = () => {} } = options;
  const signal = AbortSignal.any([syncLock.lost, ...(options.signal ? [options.signal] : [])]);
  const secondsUntilNow = () => Math.round((performance.now() - startedAt) / 100) / 10;

  closeGate(layout);
  const recovered = await recover(layout, syncLock);
  placeReader(layout);
  const before = currentId(layout);
  const id = chooseId(layout, wantedId, undefined);
  try {
    const tree = await makeTree(options, layout, syncLock, id, before, signal);
    const end = await runCommand(options, layout, syncLock, {
      MIRRORLATCH_ROOT: layout.root,
      MIRRORLATCH_ID: id,
      [STAGING]: tree.path,
    });
    if (end.exitCode !== 0) {
      recordEnd(layout, id, command, end);
      return { outcome: 'failed', end, name: nameOf(command), path: tree.path, recovered };
    }
    await checkNobodyWrites(layout, tree, command, signal);

    onEvent({ kind: 'phase', phase: 'comparing' });
    syncLock.report({ phase: 'comparing' });
    checkTree(tree);
    const base = before === undefined ? undefined : layout.snapshot(before);
    const { isEqual, figures } = await compareTrees(tree.path, { base, since: tree.since, signal });
    if (isEqual && before !== undefined) {
      forgetCommandTree(layout, tree);
      appendHistory(layout, { event: 'unchanged', at: new Date().toISOString(), current: before });
      const pruned = pruneAfterwards(options, mirror, syncLock);
      return { outcome: 'unchanged', id: before, recovered, pruned, seconds: secondsUntilNow() };
    }
    // The tree itself is an entry.
    if (figures.source.entries <= 1) {
      forgetCommandTree(layout, tree);
      throw new MirrorlatchError('SHRUNKEN_SOURCE', 'the tree is empty; nothing was published', {
        hint: 'The command has to fill the directory that MIRRORLATCH_STAGING names.',
      });
    }
    guard(options, mirror, before, figures, tree);

    signal.throwIfAborted();
    onEvent({ kind: 'phase', phase: 'publishing' });
    syncLock.report({ phase: 'publishing' });
    const { source, newFiles, changedFiles, transferBytes, deletedFiles } = figures;
    await publish(
      layout,
      syncLock,
      id,
      {
        source: nameOf(command),
        strategy: 'command',
        clone: tree.clone,
        files: source.files,
        bytes: source.bytes,
        newFiles: newFiles + changedFiles,
        newBytes: transferBytes,
        deletedFiles,
        seconds: secondsUntilNow(),
      },
      tree.path,
    );
    forgetCommandTree(layout, tree);
    const pruned = pruneAfterwards(options, mirror, syncLock);
    return {
      outcome: 'published',
      id,
      previous: before ?? null,
      path: layout.snapshot(id),
      clone: tree.clone,
      recovered,
      pruned,
      plan: figures,
      seconds: secondsUntilNow(),
    };
  } catch (error) {
    recordFailure(layout, syncLock, id, error);
    throw error;
  } finally {
    if (!syncLock.lost.aborted) await emptyTrashQuietly(layout, [syncLock.descriptor], onEvent);
  }
}

async function makeTree(
  { anew = false, empty = false, hardLinksAreSafe = false, onEvent = () => {} }: LockOptions,
  layout: Layout,
  syncLock: SyncLock,
  id: string,
  before: string | undefined,
  signal: AbortSignal,
): Promise<CommandTree> {
  const left = anew || empty ? undefined : leftCommandTree(layout, before);
  if (left !== undefined) {
    const writers = processesOf(stagedCommandTree(layout, left.id));
    if (writers.length > 0) {
      throw new MirrorlatchError(
        'BUSY',
        `what an earlier command left running could still write to ${left.path}: ${describe(writers)}`,
        { hint: 'Wait until it has ended, or end it; or begin without that tree: --anew' },
      );
    }
    onEvent({ kind: 'notice', message: `going on from what an earlier command left: ${left.id}` });
  } else if (before !== undefined && !empty) {
    onEvent({ kind: 'phase', phase: 'cloning' });
    syncLock.report({ phase: 'cloning' });
  }
  return makeCommandTree(layout, id, left, {
    base: before,
    hardLinksAreSafe,
    isEmpty: empty,
    inherit: [syncLock.descriptor],
    signal,
    onRefused: (method, why) =>
      onEvent({ kind: 'notice', message: `no ${method} clone on this filesystem: ${why}` }),
  });
}

/** Runs the command with the lock in its hands, and ends it when the lock is lost. */
async function runCommand(
  { command, onCommand = () => {} }: LockOptions,
  layout: Layout,
  syncLock: SyncLock,
  env: Readonly<Record<string, string>>,
): Promise<JobEnd> {
  syncLock.report({ phase: `running ${nameOf(command)}` });
  const staging = env[STAGING];
  onCommand(true);
  try {
    const end = await runInForeground(command, {
      inherit: [syncLock.descriptor],
      env,
      signal: syncLock.lost,
      family: () => [
        ...new Set([
          ...processesHoldingFlock(layout.kernelLock),
          ...(staging === undefined ? [] : processesWithVariable(STAGING, staging)),
        ]),
      ],
    });
    syncLock.assertHeld();
    return end;
  } finally {
    onCommand(false);
  }
}

/** @throws MirrorlatchError when something that the command has started goes on without it. */
async function checkNobodyWrites(
  layout: Layout,
  { path }: CommandTree,
  command: readonly Buffer[],
  signal: AbortSignal,
): Promise<void> {
  const look = () => processesOf(path, layout.kernelLock);
  const deadline = performance.now() + LINGER_MS;
  let left = look();
  while (left.length > 0 && performance.now() < deadline) {
    await sleep(POLL_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
    left = look();
  }
  signal.throwIfAborted();
  if (left.length === 0) return;
  throw new MirrorlatchError(
    'UNAVAILABLE',
    `${nameOf(command)} left something running that could still write: ${describe(left)}; nothing was published`,
    {
      hint: 'Let the command wait for what it starts. Once that has ended, publish what is there with: mirrorlatch lock ROOT -- true',
      details: { processes: left },
    },
  );
}

/** What was started with that tree in its environment, or with that lock in its hands. */
function processesOf(tree: string, kernelLock?: string): NamedProcess[] {
  const pids = new Set([
    ...processesWithVariable(STAGING, tree),
    ...(kernelLock === undefined ? [] : processesHoldingFlock(kernelLock)),
  ]);
  return [...pids].map((pid) => ({ pid, name: processName(pid) ?? '?' }));
}

function describe(processes: readonly NamedProcess[]): string {
  return processes.map(({ pid, name }) => `${name} (pid ${pid})`).join(', ');
}

/** @throws MirrorlatchError when the command has put something else in the place of its tree. */
function checkTree({ path }: CommandTree): void {
  if (lstatIfThere(path)?.isDirectory()) return;
  throw new MirrorlatchError('IO', `the command left no directory in ${path}`, {
    hint: 'It has to fill the directory that MIRRORLATCH_STAGING names, and to leave that in its place.',
  });
}

/** @throws MirrorlatchError SHRUNKEN_SOURCE. */
function guard(
  { allowShrink = false, maxShrinkPercent }: LockOptions,
  { layout, settings }: Mirror,
  before: string | undefined,
  figures: PlanFigures,
  { path }: CommandTree,
): void {
  const hint = `Look at it in ${path}. If that is right, publish it with: mirrorlatch lock ROOT --allow-shrink -- true; if not, begin again with --anew`;
  if (before === undefined || allowShrink) return;
  const published = publicationOf(readHistory(layout), before);
  const { source, newFiles, deletedFiles } = figures;
  const size = {
    files: published?.files ?? source.files - newFiles + deletedFiles,
    bytes: published?.bytes,
  };
  const limit = maxShrinkPercent ?? settings.maxShrinkPercent;
  guardAgainstShrinking(figures, size, limit, { name: 'tree', hint });
}

function recordEnd(
  layout: Layout,
  id: string,
  command: readonly Buffer[],
  { exitCode, signal }: JobEnd,
): void {
  const code: ErrorCode = 'COMMAND_FAILED';
  const how = signal === null ? `ended with ${exitCode}` : `was ended by ${signal}`;
  const message = `${nameOf(command)} ${how}`;
  appendHistory(layout, { event: 'failed', at: new Date().toISOString(), id, code, message });
}
