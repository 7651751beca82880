import {
  chmodSync,
  constants,
  copyFileSync,
  readdirSync,
  renameSync,
  rmSync,
  unlinkSync,
} from 'node:fs';
import { basename } from 'node:path';
import { errnoOf } from '../../errors.ts';
import { Turns } from '../../system/event-loop.ts';
import { lstatIfThere } from '../../system/files.ts';
import { refuseMountsWithin } from '../../system/mounts.ts';
import { bytePath, parentOf } from '../byte-path.ts';
import { RealParents } from '../trees/real-parents.ts';
import type { Removal } from './plan-lists.ts';

/** Matches the name of rsync's temporary file for NAME: `.NAME.XXXXXX`. No file is called `.` or `..`. */
const TEMPORARY_NAME = /^\.(?!\.{1,2}\.\w+$)(.+)\.[A-Za-z0-9]{6}$/s;

/**
 * Takes entries out of a tree in staging. rsync then makes each of them again with a new inode, so
 * it never touches an inode that a published snapshot shares (I2). A file that no other tree shares
 * may stay; rsync takes unchanged parts from it and then replaces it.
 *
 * No symlink is followed. If a parent of the entry is not a real directory in the tree, there is
 * nothing to take out: the source may have replaced the symlink `a -> /etc` with a directory. No
 * other user can enter staging, so a path does not change between the check and its use.
 *
 * @param tree without symlinks on the way to it.
 * @param partial the directory for partial files of a killed rsync, with which the next continues; undefined
 *   if that does not use them, so that they free their room.
 * @throws MirrorlatchError CONFIGURATION when something is mounted in the tree.
 */
export async function takeOut(
  tree: string,
  removals: Iterable<Removal>,
  partial: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  refuseMountsWithin(tree, 'written');
  const parents = new RealParents(tree);
  const turns = new Turns(signal);
  for (const { name, unless, isBasis } of removals) {
    await turns.step();
    if (name === '.' || !parents.leadTo(name)) continue;
    const path = bytePath(tree, name);
    const found = lstatIfThere(path);
    if (found === undefined) continue;
    if (found.isDirectory()) {
      if (unless !== 'directory') withWritableParent(tree, name, () => removeDirectory(path));
      continue;
    }
    // A second link may belong to a published snapshot, and rsync writes into partial files.
    const isOurs = found.isFile() && found.nlink === 1n;
    if (isOurs && unless === 'own file') continue;
    const unfinished = TEMPORARY_NAME.exec(basename(name))?.[1];
    const kept = isOurs && isBasis ? basename(name) : isOurs ? unfinished : undefined;
    withWritableParent(tree, name, () => {
      if (kept === undefined || partial === undefined) unlinkSync(path);
      else moveFile(path, bytePath(partial, kept));
    });
  }
}

/** Removes a directory and its content, even if modes deny that to their owner. */
export function removeDirectory(path: Buffer): void {
  try {
    rmSync(path, { recursive: true });
  } catch (error) {
    if (errnoOf(error) !== 'EACCES') throw error;
    makeWritable(path);
    rmSync(path, { recursive: true });
  }
}

/** Changes directories only: files may be shared with a published snapshot. */
function makeWritable(directory: Buffer): void {
  chmodSync(directory, 0o700);
  for (const entry of readdirSync(directory, { withFileTypes: true, encoding: 'buffer' })) {
    if (!entry.isDirectory()) continue;
    makeWritable(Buffer.concat([directory, Buffer.from('/'), entry.name]));
  }
}

/** On btrfs each tree is a subvolume, and rename(2) cannot cross its boundary. */
function moveFile(from: Buffer, to: Buffer): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if (errnoOf(error) !== 'EXDEV') throw error;
    copyFileSync(from, to, constants.COPYFILE_FICLONE);
    unlinkSync(from);
  }
}

/** Changes an entry of a directory whose mode may deny that even to its owner. */
export function withWritableParent(tree: string, name: string, change: () => void): void {
  try {
    change();
  } catch (error) {
    const parent = bytePath(tree, parentOf(name));
    const mode = lstatIfThere(parent)?.mode;
    if (errnoOf(error) !== 'EACCES' || mode === undefined) throw error;
    chmodSync(parent, 0o700);
    try {
      change();
    } finally {
      chmodSync(parent, Number(mode & 0o7777n));
    }
  }
}
