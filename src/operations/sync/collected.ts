import { basename } from 'node:path';
import { takeOut } from '../../mirror/plan/take-out.ts';
import { DELAYED, isDelayed, mayBeMadeFor } from '../../rsync/temporary-names.ts';
import { find } from '../../system/find.ts';
import type { PlanContext } from './context.ts';

/**
 * What killed passes of rsync have collected in a tree that is written in place, from which the next one goes
 * on: it takes a collected file for its basis, and writes into that. Names are relative to the tree, one
 * character per byte (latin1).
 */
export interface Collected {
  /** The directories of `--delay-updates`. */
  directories: readonly string[];
  /** The files in them, by the names that they are to get. */
  files: ReadonlyMap<string, { name: string; bytes: number }>;
  /** What rsync must not write into: it has another name as well, or is no file. */
  others: readonly string[];
}

/**
 * Finds that in a tree that a sync may have left unfinished.
 *
 * @returns undefined where such names are content of the source.
 */
export async function findCollected(
  { isRemains, inherit, signal }: PlanContext,
  tree: string,
): Promise<Collected | undefined> {
  if (!isRemains({ name: DELAYED, type: 'directory' })) return undefined;
  const directories: string[] = [];
  const files = new Map<string, { name: string; bytes: number }>();
  const others: string[] = [];
  const which = ['(', '-name', DELAYED, '-o', '-path', `*/${DELAYED}/*`, ')'];
  await find([tree, ...which, '-printf', '%y %n %b %P\\0'], { inherit, signal }, (entry) => {
    const [, kind, names, blocks, name = ''] = /^(.) (\d+) (\d+) (.*)$/s.exec(entry) ?? [];
    const type = kind === 'd' ? 'directory' : 'file';
    // The tree itself may lie in a directory of that name.
    if (!isDelayed({ type, name })) return;
    const [original = name] = mayBeMadeFor(name);
    if (basename(name) === DELAYED) directories.push(name);
    else if (kind !== 'f' || names !== '1') others.push(name);
    else files.set(original, { name, bytes: Number(blocks) * 512 });
  });
  return { directories, files, others };
}

/** Removes the directories, whatever the modes of what they lie in. */
export async function removeCollected(context: PlanContext, tree: string): Promise<void> {
  const { directories = [] } = (await findCollected(context, tree)) ?? {};
  const removals = directories.map((name) => ({ name }));
  await takeOut(tree, removals, undefined, context.signal);
}
