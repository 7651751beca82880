import { forgetChanges } from '../mirror/changes.ts';
import type { SyncFigures } from '../mirror/history/history.ts';
import type { CheckedRecord } from '../mirror/history/history-line.ts';
import { LIVE } from '../mirror/layout.ts';
import { forgetSizes } from '../mirror/plan/sizes-before.ts';
import { publish, publishInPlace, republish, syncFilesystem } from '../mirror/publication.ts';
import { markNew } from '../mirror/retention/marks.ts';
import { refuseUnreplaceable } from '../mirror/served/served-directory.ts';
import { stagedTree } from '../mirror/staging.ts';
import { subjectOf } from './making.ts';
import { prove } from './proving.ts';
import { serve } from './serving.ts';
import { giveUpLost, type MadeTree, recordContent } from './sums.ts';
import type { Writer } from './writer.ts';

/** A tree that has become current. */
export interface Published {
  outcome: 'published';
  id: string;
  /** What was current before. */
  previous: string | null;
  path: string;
  /** How it was checked; not there if it was not. */
  checked?: CheckedRecord;
}

/** A finished tree, and what is known of how it was made. */
export interface FinishedTree extends MadeTree {
  /**
   * Removes from staging what the snapshot has now, before the served directory is made: should that fail,
   * nothing outdated is left for the next sync to go on from.
   */
  tidy: () => void;
  /** By default `staging/<id>`. */
  tree?: string;
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
  await recordContent(writer, id, tree, { changed, received });
  if (isCompared) await giveUpLost(writer, writer.before, id, tree);
  // Before the flip: what is to be kept is so from its first moment on.
  markNew(writer.layout, id, writer.tags);
  writer.recordPublication(await publish(writer.layout, writer.lock, id, made, tree));
  writer.hooks.after('after-publish', subjectOf(writer, id, made));
  tidy();
  await serve(writer, id);
  return published(writer, id, made);
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
  await recordContent(writer, LIVE, tree, content);
  if (isCompared) await giveUpLost(writer, writer.before, LIVE);
  writer.recordPublication(await publishInPlace(writer.layout, writer.lock, made));
  writer.hooks.after('after-publish', subjectOf(writer, LIVE, made));
  forgetSizes(writer.layout);
  return published(writer, LIVE, made);
}

function published({ layout, before }: Writer, id: string, { checked }: SyncFigures): Published {
  const tree = { id, previous: before ?? null, path: layout.snapshot(id) };
  return { outcome: 'published', ...tree, ...(checked === undefined ? {} : { checked }) };
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

function beginPublishing(writer: Writer): void {
  writer.signal.throwIfAborted();
  writer.enter('publishing');
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
