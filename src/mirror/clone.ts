import { constants, copyFileSync, linkSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { errnoOf, FREE_SPACE, MirrorlatchError } from '../errors.ts';
import { lstatIfThere } from '../system/files.ts';
import { mountOf, refuseMountsWithin } from '../system/mounts.ts';
import { runProgram } from '../system/process.ts';
import { removeTree } from '../system/remove-tree.ts';

/**
 * How a new tree gets the files that did not change:
 * - `btrfs`: a snapshot of the subvolume, in one step whatever its size;
 * - `hardlink`: new directories with hard links to the old files;
 * - `reflink`: new files that share their blocks with the old ones until either is written;
 * - `copy`: new files with blocks of their own.
 */
export const CLONE_METHODS = ['btrfs', 'hardlink', 'reflink', 'copy'] as const;

export type CloneMethod = (typeof CLONE_METHODS)[number];

/** How a tree was made of another, if it was; `recycle`: of an older one, as by `hardlink`, see `recycle.ts`. */
export const MADE_BY = ['none', 'recycle', ...CLONE_METHODS] as const;

export type MadeBy = (typeof MADE_BY)[number];

/** The inode number of a subvolume's root (btrfs-subvolume(8)). */
const SUBVOLUME_INODE = 256n;

export interface CloneOptions {
  /** The methods to try, in this order. */
  methods: readonly CloneMethod[];
  /** Descriptors that the cloning program inherits. */
  inherit: readonly number[];
  signal: AbortSignal;
  /** Called with each method that the filesystem refused, and the reason. */
  onRefused?: (method: CloneMethod, why: string) => void;
}

/**
 * Makes `to` a copy of the tree `from`, by the first method that works.
 *
 * @param from without symlinks on the way to it.
 * @returns the method that worked.
 * @throws MirrorlatchError NO_SPACE when the disk is full, IO when no method works, CONFIGURATION when
 *   something is mounted in `from`, which a clone would hold too.
 */
export async function cloneTree(
  from: string,
  to: string,
  { methods, inherit, signal, onRefused }: CloneOptions,
): Promise<CloneMethod> {
  refuseMountsWithin(from, 'cloned');
  let lastWords = '';
  for (const method of methods) {
    signal.throwIfAborted();
    const [program, ...args] = commandFor(method, from, to);
    const { exitCode, stderr } = await runProgram(program, args, {
      inherit,
      signal,
      endWithParent: true,
    });
    signal.throwIfAborted();
    if (exitCode === 0) return method;
    await removeTree(to, inherit);
    if (/No space left on device|Disk quota exceeded/.test(stderr)) {
      throw new MirrorlatchError(
        'NO_SPACE',
        `there is no space for a clone of ${from}: ${firstLine(stderr)}`,
        { hint: FREE_SPACE },
      );
    }
    lastWords = firstLine(stderr);
    onRefused?.(method, lastWords);
  }
  throw new MirrorlatchError('IO', `${from} cannot be cloned: ${lastWords}`, {
    hint: 'Make a full copy instead, with the option --clone copy of mirrorlatch sync.',
  });
}

/** The methods worth trying for a clone of `from`, the fastest first. */
export function cloneMethodsFor(from: string, preference: CloneMethod | 'auto'): CloneMethod[] {
  if (preference !== 'auto') return [preference];
  const others: CloneMethod[] = ['hardlink', 'reflink', 'copy'];
  return isSubvolume(from) ? ['btrfs', ...others] : others;
}

/** How a filesystem says that it cannot. */
const REFUSALS = ['ENOTSUP', 'EOPNOTSUPP', 'EPERM', 'EXDEV', 'EINVAL', 'ENOSYS'];

/** Whether files in `directory` can share their blocks (ioctl_ficlone(2)). */
export function canReflink(directory: string): boolean {
  return canMakeOf(directory, (from, to) =>
    copyFileSync(from, to, constants.COPYFILE_FICLONE_FORCE),
  );
}

/** Whether a file in `directory` that is this user's own can have two names (link(2)). */
export function canHardlink(directory: string): boolean {
  return canMakeOf(directory, linkSync);
}

function canMakeOf(directory: string, make: (from: string, to: string) => void): boolean {
  const [from, to] = [join(directory, '.probe-from'), join(directory, '.probe-to')];
  const clear = () => {
    for (const path of [from, to]) rmSync(path, { force: true });
  };
  clear();
  try {
    writeFileSync(from, '.', { mode: 0o600, flag: 'wx' });
    make(from, to);
    return true;
  } catch (error) {
    if (REFUSALS.includes(errnoOf(error) ?? '')) {
      return false;
    }
    throw error;
  } finally {
    clear();
  }
}

/** Makes an empty directory for a tree; on btrfs a subvolume, which can be cloned in one step. */
export async function makeEmptyTree(path: string, preference: CloneMethod | 'auto'): Promise<void> {
  if (preference === 'auto' || preference === 'btrfs') {
    if (mountOf(dirname(path))?.type === 'btrfs' && (await createSubvolume(path))) return;
  }
  mkdirSync(path);
}

export function isSubvolume(path: string): boolean {
  return lstatIfThere(path)?.ino === SUBVOLUME_INODE && mountOf(dirname(path))?.type === 'btrfs';
}

async function createSubvolume(path: string): Promise<boolean> {
  try {
    return (await runProgram('btrfs', ['subvolume', 'create', path])).exitCode === 0;
  } catch (error) {
    // Without btrfs-progs, a plain directory works too; its clones are slower.
    if (error instanceof MirrorlatchError && error.code === 'UNAVAILABLE') return false;
    throw error;
  }
}

function commandFor(method: CloneMethod, from: string, to: string): readonly [string, ...string[]] {
  switch (method) {
    case 'btrfs':
      return ['btrfs', 'subvolume', 'snapshot', from, to];
    case 'hardlink':
      return ['cp', '--archive', '--link', '--no-target-directory', '--', from, to];
    case 'reflink':
      return ['cp', '--archive', '--reflink=always', '--no-target-directory', '--', from, to];
    case 'copy':
      return ['cp', '--archive', '--reflink=never', '--no-target-directory', '--', from, to];
  }
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? '';
}
