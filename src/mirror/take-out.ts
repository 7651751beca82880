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
import { setImmediate as nextTurn } from 'node:timers/promises';
import { errnoOf } from '../errors.ts';
import { lstatIfThere } from '../system/files.ts';
import { bytePath, parentOf } from './byte-path.ts';
import type { Removal } from './plan-lists.ts';

/** So many removals between two turns of the event loop: the lock's heartbeat must go on. */
const BATCH = 500;

/** The name of rsync's temporary file for NAME: `.NAME.XXXXXX`. */
const TEMPORARY_NAME = /^\.(.+)\.[A-Za-z0-9]{6}$/s;

/**
 * Takes entries out of a tree in staging. rsync then makes each of them anew, with an inode of its
 * own, and so never touches one that a published snapshot shares (I2). A file that no other tree has
 * may stay, for rsync to replace it by one that is made of its parts.
 *
 * No link is ever followed: where a parent of the entry is not a real directory of the tree (the
 * source may have turned the symlink `a -> /etc` into a directory), there is nothing to take out.
 * Nobody else can enter staging, so what was looked at does not change before it is used.
 *
 * @param partial where half a file that a killed rsync left is kept, for the next one to go on from.
 */
export async function takeOut(
  tree: string,
  removals: Iterable<Removal>,
  partial: string,
  signal: AbortSignal,
): Promise<void> {
  const parents = new RealParents(tree);
  let count = 0;
  for (const { name, unless } of removals) {
    count += 1;
    if (count % BATCH === 0) {
      await nextTurn();
      signal.throwIfAborted();
    }
    if (name === '.' || !parents.leadTo(name)) continue;
    const path = bytePath(tree, name);
    const found = lstatIfThere(path);
    if (found === undefined) continue;
    if (found.isDirectory()) {
      if (unless !== 'directory') withWritableParent(tree, name, () => removeDirectory(path));
      continue;
    }
    // With a second link it is a published snapshot's own file, and rsync writes partial files in
    // place.
    const isOurs = found.isFile() && found.nlink === 1n;
    if (isOurs && unless === 'own file') continue;
    const unfinished = isOurs ? TEMPORARY_NAME.exec(basename(name))?.[1] : undefined;
    withWritableParent(tree, name, () =>
      unfinished === undefined ? unlinkSync(path) : moveFile(path, bytePath(partial, unfinished)),
    );
  }
}

/** Removes a directory with all that is in it, also where directories deny that to their owner. */
function removeDirectory(path: Buffer): void {
  try {
    rmSync(path, { recursive: true });
  } catch (error) {
    if (errnoOf(error) !== 'EACCES') throw error;
    makeWritable(path);
    rmSync(path, { recursive: true });
  }
}

/** Directories only: a file may be a published snapshot's own. */
function makeWritable(directory: Buffer): void {
  chmodSync(directory, 0o700);
  for (const entry of readdirSync(directory, { withFileTypes: true, encoding: 'buffer' })) {
    if (!entry.isDirectory()) continue;
    makeWritable(Buffer.concat([directory, Buffer.from('/'), entry.name]));
  }
}

/** On btrfs a tree is a subvolume of its own, and rename(2) does not lead out of one. */
function moveFile(from: Buffer, to: Buffer): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if (errnoOf(error) !== 'EXDEV') throw error;
    copyFileSync(from, to, constants.COPYFILE_FICLONE);
    unlinkSync(from);
  }
}

/** Tells whether the path to an entry leads through real directories only. */
class RealParents {
  readonly #tree: string;
  /** The answers for the last path, from the deepest parent up: lists come directory by directory. */
  #known = new Map<string, boolean>([['.', true]]);

  constructor(tree: string) {
    this.#tree = tree;
  }

  leadTo(name: string): boolean {
    const parent = parentOf(name);
    const known = this.#known.get(parent);
    if (known !== undefined) return known;
    const isReal =
      this.leadTo(parent) && lstatIfThere(bytePath(this.#tree, parent))?.isDirectory() === true;
    if (this.#known.size > 1000) this.#known = new Map([['.', true]]);
    this.#known.set(parent, isReal);
    return isReal;
  }
}

/**
 * Changes an entry of a directory that may deny that even to its owner, who is not root. rsync sets
 * the directory's mode again: it is on the list of what is transferred.
 */
function withWritableParent(tree: string, name: string, change: () => void): void {
  try {
    change();
  } catch (error) {
    if (errnoOf(error) !== 'EACCES') throw error;
    chmodSync(bytePath(tree, parentOf(name)), 0o700);
    change();
  }
}
