import { randomUUID } from 'node:crypto';
import { chmodSync, readdirSync, renameSync } from 'node:fs';
import { basename, join } from 'node:path';
import { errnoOf } from '../errors.ts';
import { exchange } from '../system/exchange.ts';
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
  withWritable([from, to], () => renameSync(from, to));
}

/**
 * Exchanges what lies at two paths. For the same reason, the modes of directories are widened for a
 * moment.
 *
 * @throws MirrorlatchError as `exchange`.
 */
export function exchangeTrees(one: string, other: string): void {
  withWritable([one, other], () => exchange(one, other));
}

/** @param move moves what lies at one of the paths to the other. */
function withWritable([one, other]: readonly [string, string], move: () => void): void {
  try {
    move();
  } catch (error) {
    if (errnoOf(error) !== 'EACCES') throw error;
    const [ofOne, ofOther] = [widen(one), widen(other)];
    let hasMoved = false;
    try {
      move();
      hasMoved = true;
    } finally {
      restore(hasMoved ? other : one, ofOne);
      restore(hasMoved ? one : other, ofOther);
    }
  }
}

/** @returns the mode of a directory of this user before; undefined for all else, which stays as it is. */
function widen(path: string): number | undefined {
  const found = lstatIfThere(path);
  if (!found?.isDirectory() || Number(found.uid) !== process.geteuid?.()) return undefined;
  const mode = Number(found.mode & 0o7777n);
  chmodSync(path, mode | 0o200);
  return mode;
}

function restore(path: string, mode: number | undefined): void {
  if (mode !== undefined) chmodSync(path, mode);
}
