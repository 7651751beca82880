import { asMirrorlatchError, MirrorlatchError } from '../../errors.ts';
import { publicationOf, readHistory } from '../../mirror/history/history.ts';
import { type Layout, LIVE } from '../../mirror/layout.ts';
import { behindGate, isFilledByOthers, mayHaveRemains, readGate } from '../../mirror/locks/gate.ts';
import { commandThatFills } from '../../mirror/locks/obstacle.ts';
import { lossBetween } from '../../mirror/plan/losses.ts';
import { forgetSizes, recordSizes } from '../../mirror/plan/sizes-before.ts';
import { removeRemains } from '../../mirror/remains.ts';
import type { GateRecord } from '../../mirror/settings/records.ts';
import { ctimeNow } from '../../mirror/staging.ts';
import { compareTrees } from '../../mirror/trees/tree-comparison.ts';
import { treeSizes } from '../../mirror/trees/tree-size.ts';
import { isTemporary } from '../../rsync/temporary-names.ts';
import { lstatIfThere, makeOpenDirectory } from '../../system/files.ts';
import { programName } from '../../system/foreground.ts';
import { confirmCurrent } from '../../writer/confirming.ts';
import { figuresOf } from '../../writer/figures.ts';
import { warnOfWritable } from '../../writer/modes.ts';
import { publishLive } from '../../writer/publishing.ts';
import type { Writer } from '../../writer/writer.ts';
import { commandFailed, emptyTree, runLocked } from './command.ts';
import {
  type Filled,
  type LockOptions,
  madeBy,
  mendByCommand,
  publishInPlaceByHand,
  treeGuard,
} from './work.ts';
import { refuseWhileWrittenInPlace, STAGING, usersOf, waitForWriters } from './writers.ts';

/** Gives the command the one tree of the mirror, behind a closed gate. */
export async function fillInPlace(options: LockOptions, writer: Writer): Promise<Filled> {
  const { layout, lock, policy, signal } = writer;
  const path = layout.snapshot(LIVE);
  refuseWhileWrittenInPlace(path, 'Wait until they have ended, or end them.');
  const gate = readGate(layout);
  if (!options.allowDirty) refuseUnfinished(layout, gate);
  const wasWhole = gate.state === 'open';
  const hasRemains = mayHaveRemains(layout);
  writer.enter('closing');
  const closing = {
    by: 'lock',
    drain: policy.drain,
    describeFailure: (error: unknown) => asMirrorlatchError(error).message,
    signal,
    onWait: (message: string) => writer.notice(message),
  };
  return behindGate(layout, lock, closing, async () => {
    makeTreeIfMissing(path);
    const remains = hasRemains ? await removeRemains(writer, writer.inherit, signal) : undefined;
    if (remains !== undefined)
      writer.onEvent({ kind: 'warning', message: `in ${path}, ${remains}` });
    try {
      return await fill(options, writer, path, wasWhole);
    } finally {
      makeTreeIfMissing(path);
    }
  });
}

/** Without its tree, of which `current` is the name, the mirror would be broken for every command. */
function makeTreeIfMissing(path: string): void {
  if (lstatIfThere(path) === undefined) makeOpenDirectory(path);
}

/**
 * What a sync has left half written is a mix, whatever a command does to it. A command that failed is
 * made good by the next one that succeeds.
 */
function refuseUnfinished(layout: Layout, gate: GateRecord): void {
  if (gate.state !== 'dirty' || isFilledByOthers(gate)) return;
  throw new MirrorlatchError(
    'UNAVAILABLE',
    `${layout.root} is not whole: its last sync did not finish`,
    {
      hint: `Finish it with: ${commandThatFills(layout, gate.by)}. If the command itself makes the tree whole, add --allow-dirty.`,
    },
  );
}

/**
 * Without a second tree, nobody knows which of the touched files are new, nor how many others are gone:
 * these are the fewest that the totals allow.
 */
function countsBetween({ layout, before }: Writer, now: number, touched: number) {
  const earlier = before === undefined ? 0 : publicationOf(readHistory(layout), before)?.files;
  const more = now - (earlier ?? now);
  const newFiles = Math.min(touched, Math.max(0, more));
  return { newFiles, changedFiles: touched - newFiles, deletedFiles: Math.max(0, -more) };
}

function isNotTemporary(name: string): boolean {
  return !isTemporary({ name, type: 'file' });
}

async function fill(
  options: LockOptions,
  writer: Writer,
  path: string,
  wasWhole: boolean,
): Promise<Filled> {
  const { layout, lock, policy, signal } = writer;
  const since = ctimeNow(layout);
  const before = usersOf(path);
  const guarded = Object.keys(policy.shrink.maxPercentIn);
  const measure = () =>
    treeSizes(path, guarded, isNotTemporary, { inherit: writer.inherit, signal });
  const { tree, within } = await measure();
  // What a sync has left is not what there was.
  const sizes = recordSizes(layout, wasWhole, wasWhole ? { tree, within } : { within });
  const end = await runLocked(options, lock, layout.kernelLock, {
    MIRRORLATCH_ROOT: layout.root,
    MIRRORLATCH_ID: LIVE,
    [STAGING]: path,
  });
  if (end.exitCode !== 0) throw commandFailed(options.command, end, path);
  const watched = { tree: path, kernelLock: layout.kernelLock, before };
  const publish = publishInPlaceByHand(layout.root);
  await waitForWriters(watched, programName(options.command), publish, signal);

  writer.enter('comparing');
  const { figures, touched, isEmpty } = await compareTrees(path, {
    base: undefined,
    since,
    watched: [],
    signal,
  });
  if (touched.entries === 0 && wasWhole && writer.before !== undefined) {
    forgetSizes(layout);
    const unchanged = await confirmCurrent(writer, writer.before);
    return { ...unchanged, seconds: writer.seconds };
  }
  if (isEmpty) throw emptyTree();
  const after = await measure();
  const losses = guarded.flatMap((directory) => {
    const [size, left] = [sizes.within.get(directory), after.within.get(directory)];
    return size && left ? [[directory, lossBetween(size, left)] as const] : [];
  });
  const changes = {
    ...figures,
    lost: { ...figures.lost, ...Object.fromEntries(losses) },
    ...countsBetween(writer, figures.source.files, touched.files),
    transferBytes: touched.bytes,
  };
  const lookFirst = 'If that is not right, fill it again with another lock';
  const allow = publishInPlaceByHand(layout.root, '--allow-shrink');
  treeGuard(writer, lookFirst, allow, sizes)(changes);
  warnOfWritable(writer, changes, mendByCommand(writer));
  const made = figuresOf(writer, changes, madeBy(options, 'none'));
  const published = await publishLive(writer, made);
  return { ...published, clone: 'none', plan: changes, seconds: writer.seconds };
}
