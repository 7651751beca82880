import { asMirrorlatchError, hasCode } from '../errors.ts';
import { foldRecords } from '../mirror/sums/fold-records.ts';
import { forgetRecords, recordTree, type TreeOrigin } from '../mirror/sums/record-tree.ts';
import type { Writer } from './writer.ts';

/**
 * Records what a tree is, before it is published, so that `verify` can say later whether it is so still. A
 * snapshot without a record is none the worse: on a full disk it is published all the same.
 */
export async function recordContent(
  writer: Writer,
  id: string,
  tree: string,
  origin: TreeOrigin,
): Promise<void> {
  const { layout, lock, inherit, signal } = writer;
  try {
    await recordTree(layout, id, tree, origin, { inherit, signal });
  } catch (error) {
    lock.assertHeld();
    signal.throwIfAborted();
    forgetRecords(layout, id, tree);
    const { message } = asMirrorlatchError(error, `${layout.sums} cannot be written`);
    const what = `what ${id} is was not recorded, so verify knows nothing of it`;
    writer.onEvent({ kind: 'problem', message: `${what}: ${message}` });
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
