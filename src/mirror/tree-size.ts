import { readdirSync } from 'node:fs';
import { ifThere, lstatIfThere } from '../system/files.ts';
import { bytePath } from './byte-path.ts';

/** The regular files of a tree, or of a directory in it, and their bytes. */
export interface TreeSize {
  files: number;
  bytes: number;
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
