import { lutimesSync } from 'node:fs';
import { bytePath } from '../../mirror/byte-path.ts';
import { readNames } from '../../mirror/name-list.ts';
import { takeOut } from '../../mirror/plan/take-out.ts';
import { RealParents } from '../../mirror/trees/real-parents.ts';
import { Turns } from '../../system/event-loop.ts';
import { lstatIfThere } from '../../system/files.ts';
import { namesOfWrong } from '../../writer/checking.ts';
import type { Writer } from '../../writer/writer.ts';
import type { SyncContext } from './context.ts';

/**
 * What a check has found wrong may be mended by its source without a change of its size or its time, so that a look
 * would not find it.
 */

/** Takes what is wrong out of a tree in staging, so that the next look misses it. */
export async function takeOutWrong({ layout, signal }: Writer, tree: string): Promise<void> {
  await takeOut(tree, wrongIn(layout), undefined, signal);
}

/** No file of a source has this time; ms since the epoch. */
const NEVER = new Date(123_456_789_000);

/**
 * Gives what is wrong in the tree of a mirror in place a time that its source has not, so that the next look
 * finds it, and rsync compares its content. Nothing is taken out: what its source lacks may be a person's own.
 */
export async function ageWrong(
  { writer, received }: Pick<SyncContext, 'writer' | 'received'>,
  tree: string,
): Promise<void> {
  const { layout, signal } = writer;
  const parents = new RealParents(tree);
  const turns = new Turns(signal);
  for (const { name } of wrongIn(layout)) {
    await turns.step();
    const path = bytePath(tree, name);
    if (!parents.leadTo(name) || !lstatIfThere(path)?.isFile()) continue;
    lutimesSync(path, NEVER, NEVER);
    received.touch(name);
  }
}

/**
 * Whether the last tree was refused. Then what is current may be what is wrong, if a disk has damaged it: rsync
 * would take a file of the same size and time from there again.
 */
export function isRefused(layout: Writer['layout']): boolean {
  return lstatIfThere(namesOfWrong(layout)) !== undefined;
}

function* wrongIn(layout: Writer['layout']): Generator<{ name: string }> {
  if (!isRefused(layout)) return;
  for (const name of readNames(namesOfWrong(layout))) yield { name };
}
