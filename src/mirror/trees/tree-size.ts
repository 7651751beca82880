import { readdirSync } from 'node:fs';
import { MirrorlatchError } from '../../errors.ts';
import { ifThere, lstatIfThere } from '../../system/files.ts';
import { failureOf, find } from '../../system/find.ts';
import type { ChildOptions } from '../../system/process.ts';
import { bytePath } from '../byte-path.ts';

/** The regular files of a tree, or of a directory in it, and their bytes. */
export interface TreeSize {
  files: number;
  bytes: number;
}

/** The size of a tree, and those of directories in it, relative to it, in UTF-8. */
export interface TreeSizes {
  tree: TreeSize;
  within: ReadonlyMap<string, TreeSize>;
}

/**
 * Whether a tree has this directory, with no symlink on the way to it.
 *
 * @param tree a path without symlinks.
 * @param directory relative to it, in UTF-8; empty for the tree itself.
 */
export function hasDirectory(tree: string, directory: string): boolean {
  const parts = Buffer.from(directory).toString('latin1').split('/');
  return parts.every((_, at) =>
    lstatIfThere(bytePath(tree, parts.slice(0, at + 1).join('/')))?.isDirectory(),
  );
}

/**
 * Counts the regular files below a directory, and their bytes. Follows no symlink, neither on the way
 * to the directory nor in it. The parameters are those of `hasDirectory`.
 */
export function sizeBelow(tree: string, directory: string): TreeSize {
  const size = { files: 0, bytes: 0 };
  const visit = (path: string): void => {
    const found = lstatIfThere(bytePath(tree, path));
    if (found?.isFile()) {
      size.files += 1;
      size.bytes += Number(found.size);
    }
    if (!found?.isDirectory()) return;
    const names = ifThere(() => readdirSync(bytePath(tree, path), { encoding: 'latin1' })) ?? [];
    for (const name of names) visit(`${path}/${name}`);
  };
  if (hasDirectory(tree, directory)) visit(Buffer.from(directory).toString('latin1'));
  return size;
}

/**
 * Counts the same for a tree and for directories in it, in one search. What this user may not look into does
 * not count.
 *
 * @param isCounted whether a file does; its name is one character per byte (latin1).
 * @param options what `find` inherits, and what ends it.
 * @throws MirrorlatchError IO when the search fails.
 */
export async function treeSizes(
  tree: string,
  directories: readonly string[],
  isCounted: (name: string) => boolean,
  options: Pick<ChildOptions, 'inherit' | 'signal'>,
): Promise<TreeSizes> {
  const sizes = { tree: { files: 0, bytes: 0 }, within: new Map<string, TreeSize>() };
  const counts = [{ within: '', size: sizes.tree }];
  for (const directory of directories) {
    const size = { files: 0, bytes: 0 };
    sizes.within.set(directory, size);
    counts.push({ within: `${Buffer.from(directory).toString('latin1')}/`, size });
  }
  const files = ['-type', 'f', '-printf', '%s %P\\0'];
  // Not -xdev: a Btrfs subvolume is a part of the tree, too.
  const result = await find([tree, ...files], options, (file) => {
    const [, bytes, name = ''] = /^(\d+) (.*)$/s.exec(file) ?? [];
    if (!isCounted(name)) return;
    for (const { within, size } of counts) {
      if (!name.startsWith(within)) continue;
      size.files += 1;
      size.bytes += Number(bytes);
    }
  });
  options.signal?.throwIfAborted();
  const failure = failureOf(result);
  if (failure !== undefined)
    throw new MirrorlatchError('IO', `${tree} cannot be measured: ${failure}`);
  return sizes;
}
