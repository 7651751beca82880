import { type BigIntStats, chmodSync, linkSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, MirrorlatchError } from '../errors.ts';
import { Turns } from '../system/event-loop.ts';
import { lstatIfThere } from '../system/files.ts';
import { failureOf, find } from '../system/find.ts';
import { InParallel } from '../system/in-parallel.ts';
import { refuseMountsWithin } from '../system/mounts.ts';
import { runProgram } from '../system/process.ts';
import { bytePath, parentOf } from './byte-path.ts';
import type { Chain, ChangedName } from './changes.ts';
import type { Layout } from './layout.ts';
import { NameWriter } from './name-list.ts';
import { NO_ENTRY } from './plan/plan-lists.ts';
import { removeDirectory } from './plan/take-out.ts';
import { RealParents } from './trees/real-parents.ts';

/**
 * Whether a directory has changed in a tree that nobody is to change, as when somebody has removed a file by
 * hand. No record knows of that. A file itself is shared with what is current, as in any clone.
 *
 * @param since when the tree was whole; ms since the epoch.
 * @param where a top directory that has been moved since has another ctime for that alone.
 */
export async function hasChangedSince(
  tree: string,
  since: number,
  where: 'anywhere' | 'below the top',
  options: Pick<RecycleOptions, 'inherit' | 'signal'>,
): Promise<boolean> {
  // A number of milliseconds is rounded.
  const later = ['-newerct', `@${((since + 1) / 1000).toFixed(3)}`];
  const below = where === 'anywhere' ? [] : ['-mindepth', '1'];
  let isChanged = false;
  const changed = ['-type', 'd', '(', ...later, '-print0', '-quit', '-o', ...LEAF, '-prune', ')'];
  const result = await find([tree, ...below, ...changed], options, () => {
    isChanged = true;
  });
  return isChanged || failureOf(result) !== undefined;
}

/**
 * A directory without directories, which need not be read: these filesystems count each directory in it, and
 * its own two names, as links.
 */
const LEAF = ['-links', '2', '(', '-fstype', 'ext4', '-o', '-fstype', 'xfs', ')'];

/** What `recycle` needs. */
export interface RecycleOptions {
  /** From what the tree was to what it is to equal. */
  chain: Chain;
  /** Descriptors that rsync inherits. */
  inherit: readonly number[];
  signal: AbortSignal;
}

/**
 * Brings an old snapshot, which is nobody's any longer, to equal another one, as if it were a new clone
 * of that by hard links:
 *
 * 1. What lies under each changed name is taken out, unless the other tree has the same inode there.
 * 2. What the other tree has of each changed name is linked from there; directories are made.
 * 3. The directories get the attributes of the others, the times in nanoseconds.
 *
 * No inode of a file is written (I2), and no symlink is followed, in either tree.
 *
 * @param tree in staging, without symlinks on the way to it.
 * @param model a published snapshot.
 * @throws whatever prevents it; the tree is of no use then.
 */
export async function recycle(
  layout: Layout,
  tree: string,
  model: string,
  { chain, inherit, signal }: RecycleOptions,
): Promise<void> {
  refuseMountsWithin(tree, 'written');
  refuseMountsWithin(model, 'cloned');
  const list = join(layout.staging, '.directories');
  const directories = new NameWriter(list);
  try {
    const recycling = new Recycling(tree, model, directories, signal);
    try {
      for await (const changed of chain.names()) await recycling.takeOut(changed);
    } finally {
      await recycling.endTakingOut();
    }
    for await (const { name } of chain.names()) await recycling.bring(name);
  } finally {
    directories.close();
  }
  await copyAttributes(list, model, tree, { inherit, signal });
  rmSync(list);
}

/** Whether what a tree has under a changed name has to go, by what the model has there. */
function hasToGo(
  { isTakenOut }: Pick<ChangedName, 'isTakenOut'>,
  found: BigIntStats,
  wanted: BigIntStats | undefined,
): boolean {
  // Of a directory that has gone and come back, no name tells what of its old content is in the new one.
  if (found.isDirectory()) return isTakenOut || wanted?.isDirectory() !== true;
  return !isSameInode(found, wanted);
}

function isSameInode(one: BigIntStats, other: BigIntStats | undefined): boolean {
  return one.ino === other?.ino && one.dev === other.dev;
}

class Recycling {
  readonly #tree: string;
  readonly #model: string;
  readonly #directories: NameWriter;
  readonly #turns: Turns;
  readonly #unlinks = new InParallel(8);
  readonly #oldParents: RealParents;
  readonly #modelParents: RealParents;
  /** Directories that the tree has by now, which are few at a time, as names come directory by directory. */
  #made = new Set<string>(['.']);
  #lastListed = '';

  constructor(tree: string, model: string, directories: NameWriter, signal: AbortSignal) {
    this.#tree = tree;
    this.#model = model;
    this.#directories = directories;
    directories.write(`./${NO_ENTRY}`);
    this.#turns = new Turns(signal);
    this.#oldParents = new RealParents(tree);
    this.#modelParents = new RealParents(model);
  }

  async takeOut(changed: ChangedName): Promise<void> {
    const { name } = changed;
    await this.#turns.step();
    if (name === '.' || !this.#oldParents.leadTo(name)) return;
    const path = bytePath(this.#tree, name);
    const found = lstatIfThere(path);
    if (found === undefined || !hasToGo(changed, found, this.#wanted(name))) return;
    if (found.isDirectory()) {
      await this.#unlinks.end();
      this.#inParent(name, () => removeDirectory(path));
    } else {
      await this.#unlinks.start(() => this.#unlink(name));
    }
  }

  endTakingOut(): Promise<void> {
    return this.#unlinks.end();
  }

  /** With its last name a file itself goes, for which the disk takes its time. */
  async #unlink(name: string): Promise<void> {
    const path = bytePath(this.#tree, name);
    try {
      await unlink(path);
    } catch (error) {
      // A name that is listed twice.
      if (errnoOf(error) === 'ENOENT') return;
      if (errnoOf(error) !== 'EACCES') throw error;
      this.#openParent(name);
      await unlink(path);
    }
  }

  async bring(name: string): Promise<void> {
    await this.#turns.step();
    if (name === '.' || !this.#modelParents.leadTo(name)) return;
    const parent = parentOf(name);
    await this.#bringDirectory(parent);
    this.#list(parent);
    const wanted = this.#wanted(name);
    if (wanted?.isDirectory()) {
      await this.#bringDirectory(name);
      this.#list(name);
    } else if (wanted !== undefined) {
      this.#link(name, wanted);
    }
  }

  /** Makes a directory that is missing, with all that it has. */
  async #bringDirectory(name: string): Promise<void> {
    if (this.#made.has(name)) return;
    await this.#bringDirectory(parentOf(name));
    if (lstatIfThere(bytePath(this.#tree, name)) === undefined) {
      this.#inParent(name, () => mkdirSync(bytePath(this.#tree, name), 0o700));
      await this.#fill(name);
    } else if (!lstatIfThere(bytePath(this.#tree, name))?.isDirectory()) {
      throw differs(this.#tree, name);
    }
    if (this.#made.size > 1000) this.#made = new Set(['.']);
    this.#made.add(name);
  }

  async #fill(directory: string): Promise<void> {
    this.#list(directory);
    for (const entry of readdirSync(bytePath(this.#model, directory), { encoding: 'latin1' })) {
      await this.#turns.step();
      const name = `${directory}/${entry}`;
      const wanted = lstatIfThere(bytePath(this.#model, name));
      if (wanted?.isDirectory()) {
        mkdirSync(bytePath(this.#tree, name), 0o700);
        await this.#fill(name);
      } else if (wanted !== undefined) {
        this.#link(name, wanted);
      }
    }
  }

  #link(name: string, wanted: BigIntStats): void {
    const found = lstatIfThere(bytePath(this.#tree, name));
    if (found !== undefined && isSameInode(found, wanted)) return;
    if (found !== undefined) throw differs(this.#tree, name);
    this.#inParent(name, () => linkSync(bytePath(this.#model, name), bytePath(this.#tree, name)));
  }

  #wanted(name: string): BigIntStats | undefined {
    return this.#modelParents.leadTo(name) ? lstatIfThere(bytePath(this.#model, name)) : undefined;
  }

  /** Changes an entry of a directory, whose mode may deny that even to its owner, and is set at the end. */
  #inParent(name: string, change: () => void): void {
    try {
      change();
    } catch (error) {
      if (errnoOf(error) !== 'EACCES') throw error;
      this.#openParent(name);
      change();
    }
  }

  #openParent(name: string): void {
    chmodSync(bytePath(this.#tree, parentOf(name)), 0o700);
  }

  /** Lists a directory for its attributes. */
  #list(name: string): void {
    if (name === '.' || name === this.#lastListed) return;
    this.#lastListed = name;
    this.#directories.write(`./${name}`);
  }
}

function differs(tree: string, name: string): MirrorlatchError {
  return new MirrorlatchError('IO', `${tree} has something else under a changed name: ${name}`);
}

/**
 * Gives directories of `to`, the top one included, the attributes that they have in `from`. rsync alone
 * does: Node's utimes() rounds a time to less than it is.
 *
 * @param list a file with their names, for `--files-from --from0`.
 */
async function copyAttributes(
  list: string,
  from: string,
  to: string,
  options: Pick<RecycleOptions, 'inherit' | 'signal'>,
): Promise<void> {
  const args = [
    ...['--perms', '--owner', '--group', '--numeric-ids', '--times', '--modify-window=-1'],
    ...['--dirs', '--no-recursive', '--from0', `--files-from=${list}`],
    // For the one that keeps the list from being empty: the top directory is implied by any name alone.
    '--ignore-missing-args',
    ...['--', `${from}/`, `${to}/`],
  ];
  let { exitCode, stderr } = await runProgram('rsync', ['--acls', '--xattrs', ...args], options);
  // This rsync, or the filesystem, has no such attributes.
  if (exitCode !== 0) ({ exitCode, stderr } = await runProgram('rsync', args, options));
  if (exitCode === 0) return;
  throw new MirrorlatchError('IO', `rsync cannot set the attributes of ${to}: ${stderr.trim()}`);
}
