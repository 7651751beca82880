import { refuseUnverifiable } from '../checks/signature.ts';
import { asMirrorlatchError, MirrorlatchError, NOTHING_PUBLISHED } from '../errors.ts';
import { type ChangedName, forgetChanges } from '../mirror/changes.ts';
import { appendHistory, readHistory, type SyncFigures } from '../mirror/history/history.ts';
import { indexOf } from '../mirror/history/history-index.ts';
import type { LeftOutRecord, LookFigures } from '../mirror/history/history-line.ts';
import { LIVE } from '../mirror/layout.ts';
import { refuseClosedByHand } from '../mirror/locks/gate.ts';
import type { PlanFigures } from '../mirror/plan/plan.ts';
import { forgetSizes } from '../mirror/plan/sizes-before.ts';
import { publish, publishInPlace, republish, syncFilesystem } from '../mirror/publication.ts';
import { isLackOfSpace } from '../mirror/reserve.ts';
import { changeMark, markNew } from '../mirror/retention/marks.ts';
import {
  refuseUnreplaceable,
  serveDirectory,
  servedDirectory,
} from '../mirror/served/served-directory.ts';
import { idleKeyring, isCheckWanted } from '../mirror/settings/policy.ts';
import { describeHold } from '../mirror/settings/settings.ts';
import { freshId, timestampId } from '../mirror/snapshot-id.ts';
import { stagedTree } from '../mirror/staging.ts';
import type { ReceivedSums } from '../mirror/sums/received.ts';
import type { TreeOrigin } from '../mirror/sums/record-tree.ts';
import { emptyTrash } from '../mirror/trash.ts';
import { lstatIfThere } from '../system/files.ts';
import { refuseMountsWithin } from '../system/mounts.ts';
import { quoteForSh } from '../system/quote.ts';
import { failureBefore, recordFailure } from './failures.ts';
import type { HookSubject } from './hooks.ts';
import { prove } from './proving.ts';
import { pruneQuietly } from './pruning.ts';
import { giveUpLost, recordContent } from './sums.ts';
import { commandToCheck, wasNeverChecked } from './unchecked.ts';
import type { Writer } from './writer.ts';

/** What a new snapshot is to be called; by default the time of its start. */
export interface WantedName {
  id?: string | undefined;
  /** The time that names it; see `timestampId`. */
  at?: Date | undefined;
}

/** A tree that has become current. */
export interface Published {
  outcome: 'published';
  id: string;
  /** What was current before. */
  previous: string | null;
  path: string;
}

/** Nothing was to be published: `id` is what `current` names. */
export interface Unchanged {
  outcome: 'unchanged';
  id: string;
}

/**
 * Runs `make`, which makes the snapshot `id`, and records in history why it failed if it does.
 *
 * @throws MirrorlatchError HELD while a person holds the mirror, BUSY while one keeps its gate closed, USAGE when there is a snapshot of the
 *   wanted name already, CONFIGURATION when something is mounted in the tree that would be cloned or
 *   written; else what `make` throws.
 */
export async function makingSnapshot<Result>(
  writer: Writer,
  wanted: WantedName,
  make: (id: string) => Promise<Result>,
): Promise<Result> {
  const { hooks } = writer;
  refuseWhileStopped(writer);
  const id = chooseId(writer, wanted);
  const failed = hooks.has('on-recovery') ? failureBefore(writer) : undefined;
  try {
    refuseMounts(writer);
    const { check } = writer.policy;
    if (isCheckWanted(check)) refuseUnverifiable(check);
    for (const message of idleKeyring(check)) writer.onEvent({ kind: 'problem', message });
    await hooks.before(
      'before-sync',
      { ...subjectOf(writer, id), tree: treeBefore(writer) },
      writer,
    );
    const made = await make(id);
    if (failed !== undefined) hooks.afterRecovery(failed);
    return made;
  } catch (error) {
    recordFailure(writer, id, asMirrorlatchError(writer.lock.causeOf(error), writer.failure));
    throw error;
  }
}

/** What hooks are told of a snapshot that is to become current. */
function subjectOf(
  { layout, settings, before }: Writer,
  name: string,
  figures?: SyncFigures,
): HookSubject {
  const id = settings.mode === 'in-place' ? LIVE : name;
  return { channel: 'current', id, previous: before ?? null, tree: layout.snapshot(id), figures };
}

function treeBefore({ layout, before }: Writer): string | null {
  return before === undefined ? null : layout.snapshot(before);
}

/** The error of whatever would publish a new snapshot; undefined unless a person holds the mirror. */
function heldError({
  layout: { root },
  settings: { hold },
}: Pick<Writer, 'layout' | 'settings'>): MirrorlatchError<'HELD'> | undefined {
  if (hold === undefined) return undefined;
  return new MirrorlatchError('HELD', `${root} is ${describeHold(hold)}; nothing was published`, {
    hint: `To follow the source again: mirrorlatch rollback ${quoteForSh(root)} --release`,
  });
}

/**
 * Heeds a person who has stopped the mirror.
 *
 * @throws MirrorlatchError HELD for a hold, BUSY for a gate that was closed by hand.
 */
export function refuseWhileStopped(mirror: Pick<Writer, 'layout' | 'settings'>): void {
  const held = heldError(mirror);
  if (held !== undefined) throw held;
  if (mirror.settings.mode === 'in-place') refuseClosedByHand(mirror.layout);
}

/** Looks at what the new tree is made from. */
export function refuseMounts({
  layout,
  settings,
  before,
}: Pick<Writer, 'layout' | 'settings' | 'before'>): void {
  if (settings.mode === 'in-place') refuseMountsWithin(layout.gate, 'written');
  else if (before !== undefined) refuseMountsWithin(layout.snapshot(before), 'cloned');
}

/** A finished tree, and what is known of how it was made. */
export interface FinishedTree {
  /**
   * Removes from staging what the snapshot has now, before the served directory is made: should that fail,
   * nothing outdated is left for the next sync to go on from.
   */
  tidy: () => void;
  /** By default `staging/<id>`. */
  tree?: string;
  /** All names in which it may differ from what is current; undefined if they are not known. */
  changed?: { names: () => Iterable<ChangedName> } | undefined;
  /** What rsync has transferred to make it. */
  received?: ReceivedSums | undefined;
  /** All of its source was compared with it. */
  isCompared?: boolean;
  /** Asked when all else is done; throws to publish nothing. */
  confirm?: (() => Promise<void>) | undefined;
}

/** Publishes the finished tree of a new snapshot, and then brings the served directory up to it. */
export async function publishNew(
  writer: Writer,
  id: string,
  figures: SyncFigures,
  finished: FinishedTree,
): Promise<Published> {
  const { tidy, tree = stagedTree(writer.layout, id), changed, received, isCompared } = finished;
  const subject = { ...subjectOf(writer, id), id, tree };
  const made = await prove(writer, subject, figures, received);
  beginPublishing(writer);
  // What is known of how the tree was made does not lead to it any more.
  if (writer.isAltered) forgetChanges(writer.layout, id);
  await finished.confirm?.();
  await recordContent(writer, id, tree, originOf(writer, id, { changed, received }));
  if (isCompared) await giveUpLost(writer, writer.before, id, tree);
  // Before the flip: what is to be kept is so from its first moment on.
  markNew(writer.layout, id, writer.tags);
  writer.recordPublication(await publish(writer.layout, writer.lock, id, made, tree));
  writer.hooks.after('after-publish', subjectOf(writer, id, made));
  tidy();
  await serve(writer, id);
  return published(writer, id);
}

/** What is known of how the tree of a mirror in place was written. */
type LiveTree = Pick<FinishedTree, 'changed' | 'received' | 'isCompared' | 'confirm'>;

/**
 * Publishes the tree of an in-place mirror, which has just been written whole.
 *
 * @param content with `changed`, all names that were written to are among these or those that were received.
 */
export async function publishLive(
  writer: Writer,
  figures: SyncFigures,
  { isCompared, confirm, ...content }: LiveTree = {},
): Promise<Published> {
  const tree = writer.layout.snapshot(LIVE);
  const subject = { ...subjectOf(writer, LIVE), id: LIVE, tree };
  const made = await prove(writer, subject, figures, content.received);
  beginPublishing(writer);
  await confirm?.();
  await recordContent(writer, LIVE, tree, originOf(writer, LIVE, content));
  if (isCompared) await giveUpLost(writer, writer.before, LIVE);
  writer.recordPublication(await publishInPlace(writer.layout, writer.lock, made));
  writer.hooks.after('after-publish', subjectOf(writer, LIVE, made));
  forgetSizes(writer.layout);
  return published(writer, LIVE);
}

/** What is known of how a tree was made, unless a hook has changed it. */
function originOf(
  { isAltered, before }: Writer,
  id: string,
  { changed, received }: Pick<FinishedTree, 'changed' | 'received'>,
): TreeOrigin {
  const names = isAltered
    ? undefined
    : changed && { [Symbol.iterator]: () => changed.names()[Symbol.iterator]() };
  return { received, changed: names, base: id !== LIVE ? before : names && LIVE };
}

/**
 * Records what a tree is that was made whole, and is not published. The next sync goes on from that, and would know
 * nothing of the content of what it does not transfer itself.
 */
export async function recordUnpublished(
  writer: Writer,
  id: string,
  tree: string,
  made: Pick<FinishedTree, 'changed' | 'received'>,
): Promise<void> {
  if (writer.lock.isHeld && !writer.signal.aborted)
    await recordContent(writer, id, tree, originOf(writer, id, made));
}

function published({ layout, before }: Writer, id: string): Published {
  return { outcome: 'published', id, previous: before ?? null, path: layout.snapshot(id) };
}

/**
 * Finds out whether `publishAgain` may publish a snapshot that was published before; call it before anything is
 * changed for that.
 *
 * @throws MirrorlatchError CONFIGURATION when the served directory cannot be replaced; HOOK_FAILED.
 */
export async function mayPublishAgain(writer: Writer, id: string): Promise<void> {
  await refuseUnreplaceable(writer.layout, id, writer.signal);
  if (id !== writer.before)
    await writer.hooks.before('before-publish', subjectOf(writer, id), writer);
}

/** Points `current` at a snapshot that was published before. Call `mayPublishAgain` first. */
export async function publishAgain(writer: Writer, id: string): Promise<void> {
  if (id !== writer.before) {
    beginPublishing(writer);
    writer.recordPublication(republish(writer.layout, writer.lock, id));
    writer.hooks.after('after-publish', subjectOf(writer, id));
  }
  // Before the user repeats that, a sync may change what is current.
  await serve(writer, id, id);
}

/**
 * Records that `id`, which is current, needs no successor.
 *
 * @param how a sync has found that.
 */
export async function confirmCurrent(
  writer: Writer,
  id: string,
  how: Partial<LookFigures> = {},
): Promise<Unchanged> {
  await refuseUnreplaceable(writer.layout, id, writer.signal);
  await serve(writer, id);
  writer.lock.assertHeld();
  addTags(writer, id);
  const { leftOut = [], ...others } = how;
  const isUnchecked = noticeUnchecked(writer, id) ? { isUnchecked: true } : {};
  const entry = { event: 'unchanged', at: now(), current: id, ...isUnchecked, ...others } as const;
  appendHistory(writer.layout, { ...entry, ...ifAny(leftOut) });
  return { outcome: 'unchanged', id };
}

/** Says once that nothing has checked what is current as is wanted now. @returns whether that is so. */
function noticeUnchecked(writer: Writer, id: string): boolean {
  const { layout, settings, policy } = writer;
  if (!isCheckWanted(policy.check)) return false;
  const { publications, lastSync } = indexOf(readHistory(layout));
  if (!wasNeverChecked(publications.get(id)?.checked, policy.check)) return false;
  if (lastSync?.event !== 'unchanged' || !lastSync.isUnchecked) {
    const command = commandToCheck(layout.root, settings, policy.check);
    writer.notice(
      `nothing is new, so nothing is checked; what is current was published without that. To check it: ${command}`,
    );
  }
  return true;
}

/** The state of the source that was to be tagged is that of the snapshot that is there. */
function addTags({ layout, tags }: Writer, id: string): void {
  if (tags.length === 0) return;
  changeMark(layout, id, (mark) => ({ ...mark, tags: [...new Set([...mark.tags, ...tags])] }));
}

function ifAny(leftOut: readonly LeftOutRecord[]): { leftOut?: LeftOutRecord[] } {
  return leftOut.length > 0 ? { leftOut: [...leftOut] } : {};
}

function beginPublishing(writer: Writer): void {
  writer.signal.throwIfAborted();
  writer.enter('publishing');
}

/** What history keeps of the making of a snapshot. */
export function figuresOf(
  { seconds }: Writer,
  plan: PlanFigures,
  how: Pick<SyncFigures, 'source' | 'strategy' | 'clone' | 'rsyncOptions' | 'without' | 'log'> & {
    /** By default what was planned. */
    newBytes?: number;
  },
): SyncFigures {
  const { source, newFiles, changedFiles, transferBytes, deletedFiles, leftOut } = plan;
  return {
    newBytes: transferBytes,
    ...how,
    files: source.files,
    bytes: source.bytes,
    newFiles: newFiles + changedFiles,
    deletedFiles,
    seconds,
    ...ifAny(leftOut),
  };
}

/**
 * Does other work while a finished tree is flushed to disk. A publication flushes it anyway, but then
 * readers wait for it.
 */
export async function whileFlushing<Result>(
  { layout, lock }: Writer,
  work: () => Promise<Result>,
): Promise<Result> {
  const flush = syncFilesystem(layout, lock);
  // Should both fail, the disk is the cause that counts.
  flush.catch(() => {});
  try {
    return await work();
  } finally {
    await flush;
  }
}

/**
 * Brings the served directory, where the mirror has one, up to the snapshot that is current. If that
 * fails time and again, old snapshots go all the same; on a full disk they may make the room for it.
 *
 * @param name what the user gives to `rollback` to bring the directory up later.
 */
async function serve(writer: Writer, id: string, name = 'current'): Promise<void> {
  const { layout, lock, policy, signal } = writer;
  if (id === LIVE) return;
  const { graceMs } = policy.retention;
  const bringUp = () => serveDirectory(layout, lock, id, { graceMs, signal });
  try {
    const kept = await bringUp().catch(async (error: unknown) => {
      if (writer.mayPrune && lock.isHeld) pruneQuietly(writer);
      if (!isLackOfSpace(error)) throw error;
      await emptyTrash(layout, lock).catch(() => {});
      return await bringUp();
    });
    for (const message of kept) writer.onEvent({ kind: 'problem', message });
  } catch (error) {
    throw notServed(writer, id, name, error);
  }
}

/** The error when `current` names a snapshot that the served directory does not hold. */
function notServed(writer: Writer, id: string, name: string, cause: unknown): MirrorlatchError {
  const { layout, lock, failure, signal } = writer;
  const error = asMirrorlatchError(lock.causeOf(cause), failure);
  const served = servedDirectory(layout);
  if (error.code === 'LOCK_LOST' || served === undefined || served.id === id) return error;
  const { code, message, hint, details } = error;
  const other = served.id === null ? 'does not hold it' : `still serves ${served.id}`;
  const again = `mirrorlatch rollback ${[layout.root, name].map(quoteForSh).join(' ')}`;
  const why = message.replace(NOTHING_PUBLISHED, '');
  // What the transfer of an interrupted sync left is of no use here.
  const more = hint === undefined || signal.aborted ? '' : `. ${hint}`;
  return new MirrorlatchError(code, `${id} is current, but ${served.path} ${other}: ${why}`, {
    hint: `Once that is mended, run: ${again}${more}`,
    cause,
    details,
  });
}

function chooseId({ layout, settings }: Writer, { id, at }: WantedName): string {
  const isPublished = (name: string) => lstatIfThere(layout.snapshot(name)) !== undefined;
  const wanted = id ?? (at && timestampId(at));
  if (wanted === undefined) {
    const isTaken = (name: string) =>
      isPublished(name) || lstatIfThere(layout.log(name)) !== undefined;
    return freshId(new Date(), isTaken);
  }
  if (settings.mode === 'in-place' || !isPublished(wanted)) return wanted;
  throw new MirrorlatchError('USAGE', `a snapshot named ${wanted} already exists`, {
    hint: `Choose another --id, or see them all with: mirrorlatch list ${quoteForSh(layout.root)}`,
  });
}

function now(): string {
  return new Date().toISOString();
}
