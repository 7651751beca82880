import { MirrorlatchError } from '../../errors.ts';
import {
  type CommandTree,
  forgetCommandTree,
  leftCommandTree,
  makeCommandTree,
  type ResumeObstacle,
} from '../../mirror/command-tree.ts';
import { stagedCommandTree } from '../../mirror/staging.ts';
import { compareTrees } from '../../mirror/trees/tree-comparison.ts';
import { programName } from '../../system/foreground.ts';
import { confirmCurrent } from '../../writer/confirming.ts';
import { figuresOf } from '../../writer/figures.ts';
import { warnOfWritable } from '../../writer/modes.ts';
import { publishNew } from '../../writer/publishing.ts';
import { makingRoom } from '../../writer/room.ts';
import type { Writer } from '../../writer/writer.ts';
import { commandFailed, emptyTree, runLocked } from './command.ts';
import {
  type Filled,
  type LockOptions,
  madeBy,
  mendByCommand,
  publishByHand,
  treeGuard,
} from './work.ts';
import { refuseWhileWritten, STAGING, waitForWriters } from './writers.ts';

/** Gives the command a tree of its own, which becomes the snapshot `id`. */
export async function fillSnapshot(
  options: LockOptions,
  writer: Writer,
  id: string,
): Promise<Filled> {
  const { layout, lock, signal, before } = writer;
  const tree = await makingRoom(writer, id, () => makeTree(options, writer, id));
  const end = await runLocked(options, lock, layout.kernelLock, {
    MIRRORLATCH_ROOT: layout.root,
    MIRRORLATCH_ID: id,
    [STAGING]: tree.path,
  });
  if (end.exitCode !== 0) throw commandFailed(options.command, end, tree.path);
  const watched = { tree: tree.path, kernelLock: layout.kernelLock, before: new Set<string>() };
  await waitForWriters(watched, programName(options.command), publishByHand(layout.root), signal);

  writer.enter('comparing');
  const base = before === undefined ? undefined : layout.snapshot(before);
  const { isEqual, isEmpty, figures } = await compareTrees(tree.path, {
    base,
    since: tree.since,
    watched: Object.keys(writer.policy.shrink.maxPercentIn),
    signal,
  });
  if (isEqual && before !== undefined) {
    forgetCommandTree(layout, tree);
    const unchanged = await confirmCurrent(writer, before);
    return { ...unchanged, seconds: writer.seconds };
  }
  if (isEmpty) {
    forgetCommandTree(layout, tree);
    throw emptyTree();
  }
  const lookFirst = `Look at it in ${tree.path}. If that is not right, run the command again`;
  treeGuard(writer, lookFirst, publishByHand(layout.root, '--allow-shrink'))(figures);
  warnOfWritable(writer, figures, mendByCommand(writer));
  const { clone } = tree;
  const made = figuresOf(writer, figures, madeBy(options, clone));
  const tidy = () => forgetCommandTree(layout, tree);
  const published = await publishNew(writer, id, made, { tidy, tree: tree.path });
  return { ...published, clone, plan: figures, seconds: writer.seconds };
}

async function makeTree(
  { resume = false, empty = false, hardLinksAreSafe = false }: LockOptions,
  writer: Writer,
  id: string,
): Promise<CommandTree> {
  const { layout, inherit, signal, before } = writer;
  const found = leftCommandTree(layout, before);
  const obstacle = found?.obstacle;
  if (resume && obstacle?.kind === 'other current') throw notResumed(obstacle);
  const left = resume && obstacle === undefined ? found : undefined;
  if (left !== undefined) {
    const tree = stagedCommandTree(layout, left.id);
    await refuseWhileWritten(
      tree,
      left.path,
      'Wait until they have ended, or begin again without --resume.',
    );
    writer.notice(`going on from what an earlier command left: ${left.id}`);
  } else if (found !== undefined) {
    const why = resume && obstacle !== undefined ? `, because ${obstacle.why}` : '';
    writer.notice(`what an earlier command left is discarded: ${found.id}${why}`);
  } else if (resume) {
    writer.notice('no command has left a tree to go on from: it begins again');
  }
  if (left === undefined && before !== undefined && !empty) writer.enter('cloning');
  return makeCommandTree(layout, id, left, {
    base: before,
    hardLinksAreSafe,
    isEmpty: empty,
    inherit,
    signal,
    onRefused: (method, why) => writer.reportRefusedClone(method, why),
  });
}

/** The tree stays: that another snapshot is current may be a slip, and it may be the only copy of much work. */
function notResumed({ why, wayOut }: ResumeObstacle): MirrorlatchError {
  const message = `a command cannot go on from the tree that an earlier one left: ${why}`;
  return new MirrorlatchError('UNAVAILABLE', message, {
    hint: `The tree is kept, and a lock without --resume, or a sync, discards it; ${wayOut}`,
  });
}
