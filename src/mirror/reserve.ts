import { randomBytes } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf, hasCode } from '../errors.ts';
import { lstatIfThere, syncDirectory } from '../system/files.ts';
import { makeOwnDirectory } from '../system/own-files.ts';
import type { Layout } from './layout.ts';

/**
 * A little of the disk that the mirror keeps for itself, in `.mirrorlatch/reserve`. To make room, a
 * command has to take the lock, point a link elsewhere and write to history. On a full disk it gives
 * up the reserve for that, and fills it again when it has released the lock.
 *
 * Files rather than one file, because inodes may be lacking as well as blocks. xfs(5) asks for much
 * more than it uses when it makes a directory.
 */
const FILES = 8;
const FILE_BYTES = 128 * 1024;

/** Fills the reserve as far as the disk has room. */
export function fillReserve({ reserve }: Layout): void {
  try {
    makeOwnDirectory(reserve, 0o700);
    for (let count = 1; count <= FILES; count += 1) fillFile(join(reserve, String(count)));
  } catch {
    // A smaller reserve has to do.
  }
}

function fillFile(path: string): void {
  if (lstatIfThere(path)?.size === BigInt(FILE_BYTES)) return;
  rmSync(path, { recursive: true, force: true });
  // A filesystem that compresses would keep nothing for zeros.
  writeFileSync(path, randomBytes(FILE_BYTES), { flag: 'wx', mode: 0o600 });
}

/**
 * Gives up the reserve if the disk being full is what failed.
 *
 * @returns whether another try may succeed.
 */
export function spendReserve({ reserve, state }: Layout, error: unknown): boolean {
  if (!isLackOfSpace(error) || lstatIfThere(reserve) === undefined) return false;
  try {
    rmSync(reserve, { recursive: true, force: true });
    // Some filesystems reuse the blocks of a removed file only when its removal is on the disk.
    syncDirectory(state);
    return true;
  } catch {
    // It belongs to another user, for example.
    return false;
  }
}

/** Tries `action` again with the reserve given up, if the disk is full. */
export function withReserve<Result>(layout: Layout, action: () => Result): Result {
  try {
    return action();
  } catch (error) {
    if (!spendReserve(layout, error)) throw error;
    return action();
  }
}

/** Whether an error says that no block, no inode or no quota is left. */
export function isLackOfSpace(error: unknown): boolean {
  return hasCode(error, 'NO_SPACE') || ['ENOSPC', 'EDQUOT'].includes(errnoOf(error) ?? '');
}
