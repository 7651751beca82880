import type { BigIntStats } from 'node:fs';
import { Turns } from '../../system/event-loop.ts';
import { lstatIfThere } from '../../system/files.ts';
import { find } from '../../system/find.ts';
import { bytePath } from '../byte-path.ts';
import type { WritableByAll } from '../history/history-line.ts';
import { nameInLine, readableName } from '../names.ts';
import { RealParents } from './real-parents.ts';

const MOST_NAMES = 3;

/** @param name one character per byte (latin1); `.` is the top directory. */
export function noteWritable(found: WritableByAll, name: string): void {
  found.count += 1;
  if (found.names.length < MOST_NAMES) found.names.push(readableName(name).name);
}

/**
 * Finds the files and directories of a tree to which every user may write, unchanged ones too: what a
 * clone has of the snapshot before is in no plan.
 *
 * @param options what `find` inherits, and what ends it.
 */
export async function findWritable(
  tree: string,
  options: { inherit: readonly number[]; signal: AbortSignal },
): Promise<WritableByAll> {
  const found: WritableByAll = { count: 0, names: [] };
  const which = ['-type', 'f,d', '-perm', '-0002', '-printf', '%P\\0'];
  // What may not be looked into stays unknown: that is no reason to publish nothing.
  await find([tree, '-xdev', ...which], options, (name) => noteWritable(found, name || '.'));
  options.signal.throwIfAborted();
  return found;
}

/**
 * Whether every user may write to one of these files and directories of a tree, or to its top directory.
 *
 * @param names each one character per byte (latin1).
 */
export async function isAnyWritable(
  tree: string,
  names: Iterable<{ name: string }>,
  signal: AbortSignal,
): Promise<boolean> {
  const turns = new Turns(signal);
  const parents = new RealParents(tree);
  const isWritable = (found: BigIntStats | undefined) =>
    found !== undefined && !found.isSymbolicLink() && (found.mode & 0o002n) !== 0n;
  if (isWritable(lstatIfThere(tree))) return true;
  for (const { name } of names) {
    await turns.step();
    if (parents.leadTo(name) && isWritable(lstatIfThere(bytePath(tree, name)))) return true;
  }
  return false;
}

/** `every user may write to a, b, c and 3 more` */
export function describeWritable({ count, names }: WritableByAll): string {
  const more = count > names.length ? ` and ${count - names.length} more` : '';
  const shown = names.map((name) =>
    name === '.' ? 'the top directory of the tree' : nameInLine(name),
  );
  return `every user may write to ${shown.join(', ')}${more}`;
}
