import { asMirrorlatchError, hasCode } from '../errors.ts';
import type { ChangedName } from '../mirror/changes.ts';
import { readHistory, verificationOf } from '../mirror/history/history.ts';
import { LIVE } from '../mirror/layout.ts';
import { foldRecords } from '../mirror/sums/fold-records.ts';
import type { ReceivedSums } from '../mirror/sums/received.ts';
import { recordGone } from '../mirror/sums/record-gone.ts';
import { forgetRecords, recordTree, type TreeOrigin } from '../mirror/sums/record-tree.ts';
import type { Writer } from './writer.ts';

/** What is known of how a tree was made. */
export interface MadeTree {
  /** All names in which it may differ from what is current; undefined if they are not known. */
  changed?: { names: () => Iterable<ChangedName> } | undefined;
  /** What rsync has transferred to make it. */
  received?: ReceivedSums | undefined;
}

/**
 * Records what a tree is, before it is published, so that `verify` can say later whether it is so still. A
 * snapshot without a record is none the worse: on a full disk it is published all the same.
 */
export async function recordContent(
  writer: Writer,
  id: string,
  tree: string,
  made: MadeTree,
): Promise<void> {
  const { layout, lock, inherit, signal } = writer;
  try {
    await recordTree(layout, id, tree, originOf(writer, id, made), { inherit, signal });
  } catch (error) {
    lock.assertHeld();
    signal.throwIfAborted();
    forgetRecords(layout, id, tree);
    const { message } = asMirrorlatchError(error, `${layout.sums} cannot be written`);
    const what = `what ${id} is was not recorded, so verify knows nothing of it`;
    writer.onEvent({ kind: 'problem', message: `${what}: ${message}` });
  }
}

/** What is known of how a tree was made, unless a hook has changed it. */
function originOf(
  { isAltered, before }: Writer,
  id: string,
  { changed, received }: MadeTree,
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
  made: MadeTree,
): Promise<void> {
  if (writer.lock.isHeld && !writer.signal.aborted) await recordContent(writer, id, tree, made);
}

/**
 * Gives up what a tree lacks of its record, and its source lacks, too: `verify` would call it damaged for ever.
 * Call it when all of the source was compared with the tree; it takes a look at all of the tree, if `verify`
 * has found damage before.
 *
 * @param before the id of the tree in which it was found.
 * @param tree the path of the tree `id`, if it is in staging.
 */
export async function giveUpLost(
  writer: Writer,
  before: string | undefined,
  id: string,
  tree = writer.layout.snapshot(id),
): Promise<void> {
  const { layout, lock, inherit, signal } = writer;
  const found = before && verificationOf(readHistory(layout), before);
  if (!found || found.damaged === 0) return;
  try {
    const count = await recordGone(layout, id, tree, { inherit, signal });
    if (count > 0)
      writer.notice(
        `what verify misses in ${before} is gone from the source, too: ${id} is whole without it`,
      );
  } catch (error) {
    lock.assertHeld();
    signal.throwIfAborted();
    // `verify` says itself that the record is damaged.
    if (!hasCode(error, 'DAMAGED'))
      writer.reportProblem(error, `what is gone from ${id} could not be recorded`);
  }
}

/** Keeps the records few. */
export async function tidySums(writer: Writer): Promise<void> {
  const { layout, lock, signal } = writer;
  if (!lock.isHeld) return;
  try {
    await foldRecords(layout, signal);
  } catch (error) {
    // `verify` says which snapshots that is about.
    if (!lock.isHeld || signal.aborted || hasCode(error, 'DAMAGED')) return;
    writer.reportProblem(error, 'the records of what snapshots were could not be put in order');
  }
}
