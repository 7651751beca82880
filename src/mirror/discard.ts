import { randomUUID } from 'node:crypto';
import { chmodSync, readdirSync, renameSync } from 'node:fs';
import { basename, join } from 'node:path';
import { errnoOf } from '../errors.ts';
import { ifThere, lstatIfThere } from '../system/files.ts';
import { makeOwnDirectory } from '../system/own-files.ts';
import type { Layout } from './layout.ts';
import { withReserve } from './reserve.ts';

/** Moves a tree to the trash in one rename. `emptyTrash` removes it later. */
export function discard(layout: Layout, path: string): void {
  withReserve(layout, () => {
    makeOwnDirectory(layout.trash, 0o700);
    moveTree(path, join(layout.trash, `${basename(path)}.${randomUUID()}`));
  });
}

/** The names of the trees in the trash. */
export function discardedNames(layout: Layout): string[] {
  return ifThere(() => readdirSync(layout.trash)) ?? [];
}

/**
 * Moves a directory to another parent. This changes its `..` entry, and rename(2) therefore needs
 * write permission on the directory itself, except for root. So its mode is widened for a moment.
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
