import { randomUUID } from 'node:crypto';
import { chmodSync, mkdirSync, readdirSync, renameSync } from 'node:fs';
import { basename, join } from 'node:path';
import { errnoOf } from '../errors.ts';
import { ifThere, lstatIfThere } from '../system/files.ts';
import { removeTree } from '../system/remove-tree.ts';
import type { Layout } from './layout.ts';

/** Takes a tree out of sight in one rename; `emptyTrash` removes it. */
export function discard(layout: Layout, path: string): void {
  mkdirSync(layout.trash, { recursive: true, mode: 0o700 });
  moveTree(path, join(layout.trash, `${basename(path)}.${randomUUID()}`));
}

/**
 * Removes all that can be removed.
 *
 * @param inherit descriptors of locks that must hold until the removal has ended.
 * @throws the first failure, when the rest is gone.
 */
export async function emptyTrash(layout: Layout, inherit: readonly number[]): Promise<void> {
  const failures: unknown[] = [];
  for (const name of trashed(layout)) {
    await removeTree(join(layout.trash, name), inherit).catch((error) => failures.push(error));
  }
  if (failures.length > 0) throw failures[0];
}

export function trashed(layout: Layout): string[] {
  return ifThere(() => readdirSync(layout.trash)) ?? [];
}

/**
 * Moves a directory to another parent. That changes its `..`, for which rename(2) wants write
 * permission on the directory itself of everybody but root: its mode is put back at once.
 */
export function moveTree(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    const found = lstatIfThere(from);
    if (errnoOf(error) !== 'EACCES' || !found?.isDirectory()) throw error;
    const mode = Number(found.mode & 0o7777n);
    chmodSync(from, mode | 0o200);
    try {
      renameSync(from, to);
    } catch (again) {
      chmodSync(from, mode);
      throw again;
    }
    chmodSync(to, mode);
  }
}
