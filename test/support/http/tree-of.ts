import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { scratchDirectory } from '../scratch.ts';

/**
 * Makes a tree of files, called `tree`, in a scratch directory of its own.
 *
 * @param files contents by name; a name that ends with a slash is that of a directory.
 */
export function treeOf(files: Readonly<Record<string, string | Buffer>>): string {
  const tree = join(scratchDirectory(), 'tree');
  mkdirSync(tree);
  for (const [name, content] of Object.entries(files)) {
    const path = join(tree, name);
    mkdirSync(name.endsWith('/') ? path : dirname(path), { recursive: true });
    if (!name.endsWith('/')) writeFileSync(path, content);
  }
  return tree;
}
