import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * Publishes a tree as a program that keeps `current` itself: writes its files, and then replaces the symlink.
 *
 * @param tree its path, from the root on or absolute.
 * @param files contents by name.
 */
export function publishTree(
  root: string,
  tree: string,
  files: Readonly<Record<string, string>>,
): void {
  for (const [name, content] of Object.entries(files)) {
    const path = tree.startsWith('/') ? join(tree, name) : join(root, tree, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
  }
  symlinkSync(tree, join(root, 'next'));
  renameSync(join(root, 'next'), join(root, 'current'));
}
