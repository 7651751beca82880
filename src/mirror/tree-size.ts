import { readdirSync } from 'node:fs';
import { ifThere, lstatIfThere } from '../system/files.ts';
import { bytePath } from './byte-path.ts';

/**
 * The regular files below a directory, and their bytes. Follows no symlink, neither on the way to the
 * directory nor in it.
 *
 * @param tree a path without symlinks.
 * @param directory relative to it, in UTF-8.
 */
export function sizeBelow(tree: string, directory: string): { files: number; bytes: number } {
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
  const path = Buffer.from(directory).toString('latin1');
  const above = path.split('/').map((_, at, parts) => parts.slice(0, at + 1).join('/'));
  const isReal = above.every((part) => lstatIfThere(bytePath(tree, part))?.isDirectory());
  if (isReal) visit(path);
  return size;
}
