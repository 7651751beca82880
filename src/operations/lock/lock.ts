import { asMirrorlatchError, type ErrorCode, MirrorlatchError } from '../../errors.ts';
import type { CloneMethod } from '../../mirror/clone.ts';
import {
  type CommandTree,
  ctimeNow,
  forgetCommandTree,
  leftCommandTree,
  makeCommandTree,
} from '../../mirror/command-tree.ts';
import { type DrainOptions, readGate, shutGate } from '../../mirror/gate.ts';
import { appendHistory, publicationOf, readHistory, type SyncFigures } from '../../mirror/history.ts';
import { type Layout, LIVE } from '../../mirror/layout.ts';
import type { PlanFigures } from '../../mirror/plan.ts';
import { currentId, publish, publishInPlace } from '../../mirror/publication.ts';
import { type Finding, recover } from '../../mirror/recovery.ts';
import { guardAgainstShrinking } from '../../mirror/shrink-guard.ts';
import { parseSnapshotId } from '../../mirror/snapshot-id.ts';
import { closeGate, stagedCommandTree } from '../../mirror/staging.ts';
import { acquireSyncLock, type SyncLock } from '../../mirror/sync-lock.ts';
import { compareTrees } from '../../mirror/tree-comparison.ts';
import { placeReader } from '../../reader/script.ts';
import { lstatIfThere, makeOpenDirectory } from '../../system/files.ts';
import { checkProgram, nameOf, runInForeground } from '../../system/foreground.ts';
import type { JobEnd } from '../../system/job.ts';
import { processesHoldingFlock, processesWithVariables, sessionOf } from '../../system/proc.ts';
import type { OnEvent, Phase } from '../../writer/events.ts';
import { refuseWhileWritten, SESSION, STAGING, waitForWriters } from './writers.ts';
import { type Mirror, openMirror } from '../mirror.ts';
import type { PruneResult } from '../prune.ts';
import { chooseId, emptyTrashQuietly, pruneAfterwards, recordFailure, serve } from '../sync/sync.ts';

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
  /** How readers are dealt with that are inside a mirror in place. */
  drainMs?: DrainOptions['drainMs'];
  afterDrain?: DrainOptions['afterDrain'];
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
  | {
      outcome: 'failed';
      end: JobEnd;
      message: string;
      path: string;
      isInPlace: boolean;
      recovered: Finding[];
    }
  /** There was nothing to publish: the lock alone was wanted. */
  | { outcome: 'ended'; end: JobEnd };

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
  if (mirror.settings.mode === 'in-place') refuseForInPlace(options);
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

function refuseForInPlace({ anew, empty, hardLinksAreSafe, id }: LockOptions): void {
  const wrong = [
    ...(anew ? ['--anew'] : []),
    ...(empty ? ['--empty'] : []),
    ...(hardLinksAreSafe ? ['--hard-links-are-safe'] : []),
    ...(id === undefined ? [] : ['--id']),
  ];
  if (wrong.length === 0) return;
  throw new MirrorlatchError('USAGE', `${wrong.join(', ')} does not go with a mirror in place`, {
    hint: 'It has one tree, which the command writes to itself. Leave it out.',
  });
}

/** What the steps of one call share. */
interface Context {
  options: LockOptions;
  mirror: Mirror;
  layout: Layout;
  syncLock: SyncLock;
  /** Aborts when the lock is lost, or the caller wants an end. */
  signal: AbortSignal;
  id: string;
  /** What `current` names. */
  before: string | undefined;
  recovered: Finding[];
  startedAt: number;
  onEvent: OnEvent;
}

async function lockAndPublish(
  options: LockOptions,
  mirror: Mirror,
  syncLock: SyncLock,
  wantedId: string | undefined,
): Promise<LockResult> {
  const startedAt = performance.now();
  const { layout } = mirror;
  const { onEvent = () => {} } = options;
  closeGate(layout);
  const recovered = await recover(layout, syncLock);
  placeReader(layout);
  const isInPlace = mirror.settings.mode === 'in-place';
  const context: Context = {
    options,
    mirror,
    layout,
    syncLock,
    signal: AbortSignal.any([syncLock.lost, ...(options.signal ? [options.signal] : [])]),
    id: isInPlace ? LIVE : chooseId(layout, wantedId, undefined),
    before: currentId(layout),
    recovered,
    startedAt,
    onEvent,
  };
  try {
    return await (isInPlace ? lockInPlace(context) : lockSnapshot(context));
  } catch (error) {
    recordFailure(layout, syncLock, context.id, error);
    throw error;
  } finally {
    if (!syncLock.lost.aborted) await emptyTrashQuietly(layout, [syncLock.descriptor], onEvent);
  }
}

/** Gives the command a tree of its own, which becomes the next snapshot. */
async function lockSnapshot(context: Context): Promise<LockResult> {
  const { options, layout, syncLock, signal, id, before } = context;
  const tree = await makeTree(context);
  const end = await runCommand(options, layout, syncLock, {
    MIRRORLATCH_ROOT: layout.root,
    MIRRORLATCH_ID: id,
    [STAGING]: tree.path,
  });
  if (end.exitCode !== 0) return failure(context, end, tree.path);
  await waitForWriters(tree.path, nameOf(options.command), layout.kernelLock, signal);

  enter(context, 'comparing');
  checkTree(tree.path);
  const base = before === undefined ? undefined : layout.snapshot(before);
  const { isEqual, figures } = await compareTrees(tree.path, { base, since: tree.since, signal });
  if (isEqual && before !== undefined) {
    forgetCommandTree(layout, tree);
    await serve(context.mirror, syncLock, before, signal);
    return unchanged(context, before);
  }
  if (isEmptyTree(figures)) {
    forgetCommandTree(layout, tree);
    throw emptyTree();
  }
  guard(
    context,
    figures,
    `Look at it in ${tree.path}. If that is not right, begin again with --anew`,
  );

  signal.throwIfAborted();
  enter(context, 'publishing');
  await publish(layout, syncLock, id, figuresOf(context, figures, tree.clone), tree.path);
  forgetCommandTree(layout, tree);
  await serve(context.mirror, syncLock, id, signal);
  return published(context, figures, tree.clone);
}

/** Gives the command the one tree that there is, behind a closed gate. */
async function lockInPlace(context: Context): Promise<LockResult> {
  const { options, layout, syncLock, signal, before, onEvent } = context;
  const path = layout.snapshot(LIVE);
  refuseWhileWritten(path, path, 'Wait until it has ended, or end it.');
  const wasWhole = readGate(layout).state === 'open';
  enter(context, 'closing');
  const reopen = await shutGate(layout, syncLock, 'lock', {
    drainMs: options.drainMs,
    afterDrain: options.afterDrain,
    signal,
    onWait: (message) => onEvent({ kind: 'notice', message }),
  });
  let why = 'the lock was left before the command had ended';
  try {
    if (lstatIfThere(path) === undefined) makeOpenDirectory(path);
    const since = ctimeNow(layout);
    const end = await runCommand(options, layout, syncLock, {
      MIRRORLATCH_ROOT: layout.root,
      MIRRORLATCH_ID: LIVE,
      [STAGING]: path,
    });
    if (end.exitCode !== 0) {
      const failed = failure(context, end, path);
      why = `${nameOf(options.command)} ${describeEnd(end)}`;
      return failed;
    }
    await waitForWriters(path, nameOf(options.command), layout.kernelLock, signal);

    enter(context, 'comparing');
    checkTree(path);
    const { figures, touched } = await compareTrees(path, { base: undefined, since, signal });
    if (touched.entries === 0 && wasWhole && before !== undefined) {
      why = '';
      return unchanged(context, before);
    }
    if (isEmptyTree(figures)) throw emptyTree();
    const changes = {
      ...figures,
      newFiles: 0,
      changedFiles: touched.files,
      transferBytes: touched.bytes,
    };
    guard(context, changes, 'If that is not right, fill it again with another lock');

    signal.throwIfAborted();
    enter(context, 'publishing');
    await publishInPlace(layout, syncLock, figuresOf(context, changes, 'none'));
    why = '';
    return published(context, changes, 'none');
  } catch (error) {
    why = asMirrorlatchError(error).message;
    throw error;
  } finally {
    reopen(why === '' ? 'open' : 'dirty', why);
  }
}

async function makeTree(context: Context): Promise<CommandTree> {
  const { options, layout, syncLock, signal, id, before, onEvent } = context;
  const { anew = false, empty = false, hardLinksAreSafe = false } = options;
  const left = anew || empty ? undefined : leftCommandTree(layout, before);
  if (left !== undefined) {
    const tree = stagedCommandTree(layout, left.id);
    refuseWhileWritten(tree, left.path, 'Wait until it has ended, or begin again with --anew');
    onEvent({ kind: 'notice', message: `going on from what an earlier command left: ${left.id}` });
  } else if (before !== undefined && !empty) {
    enter(context, 'cloning');
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
      env: staging === undefined ? env : { ...env, [SESSION]: sessionOf(process.pid) ?? '' },
      signal: syncLock.lost,
      family: () => [
        ...new Set([
          ...processesHoldingFlock(layout.kernelLock),
          ...(staging === undefined ? [] : processesWithVariables({ [STAGING]: staging })),
        ]),
      ],
    });
    syncLock.assertHeld();
    return end;
  } finally {
    onCommand(false);
  }
}

/** @throws MirrorlatchError when the command has put something else in the place of its tree. */
function checkTree(path: string): void {
  if (lstatIfThere(path)?.isDirectory()) return;
  throw new MirrorlatchError('IO', `the command left no directory in ${path}`, {
    hint: 'It has to fill the directory that MIRRORLATCH_STAGING names, and to leave that in its place.',
  });
}

/** The tree itself is an entry. */
function isEmptyTree({ source }: PlanFigures): boolean {
  return source.entries <= 1;
}

function emptyTree(): MirrorlatchError {
  return new MirrorlatchError('SHRUNKEN_SOURCE', 'the tree is empty; nothing was published', {
    hint: 'The command has to fill the directory that MIRRORLATCH_STAGING names.',
  });
}

/** @throws MirrorlatchError SHRUNKEN_SOURCE. */
function guard({ options, mirror, before }: Context, figures: PlanFigures, hint: string): void {
  if (before === undefined || options.allowShrink) return;
  const made = publicationOf(readHistory(mirror.layout), before);
  const { source, newFiles, deletedFiles } = figures;
  const size = {
    files: made?.files ?? source.files - newFiles + deletedFiles,
    bytes: made?.bytes,
  };
  guardAgainstShrinking(
    figures,
    size,
    options.maxShrinkPercent ?? mirror.settings.maxShrinkPercent,
    {
      name: 'tree',
      hint: `${hint}; if it is, publish it with: mirrorlatch lock ROOT --allow-shrink -- true`,
    },
  );
}

function failure(
  { options, layout, id, recovered }: Context,
  end: JobEnd,
  path: string,
): LockResult {
  const { command } = options;
  const code: ErrorCode = 'COMMAND_FAILED';
  const message = `${nameOf(command)} ${describeEnd(end)}`;
  appendHistory(layout, { event: 'failed', at: new Date().toISOString(), id, code, message });
  return { outcome: 'failed', end, message, path, isInPlace: id === LIVE, recovered };
}

function describeEnd({ exitCode, signal }: JobEnd): string {
  return signal === null ? `ended with ${exitCode}` : `was ended by ${signal}`;
}

function unchanged(context: Context, id: string): LockResult {
  const { options, mirror, layout, syncLock, recovered } = context;
  appendHistory(layout, { event: 'unchanged', at: new Date().toISOString(), current: id });
  const pruned = pruneAfterwards(options, mirror, syncLock);
  return { outcome: 'unchanged', id, recovered, pruned, seconds: secondsOf(context) };
}

function published(context: Context, plan: PlanFigures, clone: CloneMethod | 'none'): LockResult {
  const { options, mirror, layout, syncLock, id, before, recovered } = context;
  return {
    outcome: 'published',
    id,
    previous: before ?? null,
    path: layout.snapshot(id),
    clone,
    recovered,
    pruned: pruneAfterwards(options, mirror, syncLock),
    plan,
    seconds: secondsOf(context),
  };
}

function figuresOf(
  context: Context,
  { source, newFiles, changedFiles, transferBytes, deletedFiles }: PlanFigures,
  clone: string,
): SyncFigures {
  return {
    source: nameOf(context.options.command),
    strategy: 'command',
    clone,
    files: source.files,
    bytes: source.bytes,
    newFiles: newFiles + changedFiles,
    newBytes: transferBytes,
    deletedFiles,
    seconds: secondsOf(context),
  };
}

function secondsOf({ startedAt }: Context): number {
  return Math.round((performance.now() - startedAt) / 100) / 10;
}

function enter({ onEvent, syncLock }: Context, phase: Phase): void {
  onEvent({ kind: 'phase', phase });
  syncLock.report({ phase });
}
