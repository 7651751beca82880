import * as fs from 'node:fs';
import { join } from 'node:path';
import lockfile from 'proper-lockfile';
import { errnoOf } from '../errors.ts';
import { ifThere, lstatIfThere, makeOpenDirectory } from './files.ts';

/** How often a holder renews the modification time of its lock directory; ms. */
export const HEARTBEAT_MS = 5_000;

export interface LockDirectory {
  /** The holder's own directory inside the lock: `<path>/<token>`. */
  readonly inside: string;
  /** Releases the lock; does nothing if somebody else has taken it over. */
  release(): Promise<void>;
}

/**
 * Takes proper-lockfile's lock directory `path`. Returns undefined if somebody holds it.
 *
 * The directory is made under another name, with `<token>/` in it, and renamed into place: rename(2)
 * replaces an empty directory and refuses any other, so a lock always has an owner. To remove a lock
 * or set it aside, its `<token>` is renamed away, which succeeds for one process only, and only for
 * the lock that it means. proper-lockfile itself takes a stale lock by rmdir + mkdir, which two
 * processes can win (its issue 121), and on release removes whatever lock it finds. `stale: Infinity`
 * keeps its heartbeat and leaves staleness to us.
 *
 * @param fill writes the owner's record into the directory that it is given.
 * @param onLost is called once, when the heartbeat finds that the lock is no longer ours.
 * @param withRoom may make room on a full disk, and call its argument again: even to remove the lock,
 *   some filesystems ask for a block (xfs).
 */
export async function takeLockDirectory(
  path: string,
  token: string,
  fill: (directory: string) => void,
  onLost: (cause: Error) => void,
  withRoom: WithRoom = (action) => action(),
): Promise<LockDirectory | undefined> {
  try {
    const release = await lockfile.lock(path, {
      lockfilePath: path,
      realpath: false,
      stale: Number.POSITIVE_INFINITY,
      update: HEARTBEAT_MS,
      // A new object for each lock: proper-lockfile caches the filesystem's clock precision on it.
      fs: lockingCalls(token, fill, withRoom),
      onCompromised: onLost,
    });
    return {
      inside: join(path, token),
      release: () =>
        release().catch((error: unknown) => {
          // The lock had been lost: there is nothing to release.
          if (!['ENOTACQUIRED', 'ERELEASED'].includes(errnoOf(error) ?? '')) throw error;
        }),
    };
  } catch (error) {
    if (errnoOf(error) === 'ELOCKED') return undefined;
    throw error;
  }
}

/**
 * Sets aside the lock of the holder `token`. Returns false if that lock is gone; of two contenders,
 * only one succeeds.
 */
export function setLockAside(path: string, token: string): boolean {
  const aside = `${path}.${token}.old`;
  try {
    fs.renameSync(join(path, token), aside);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
  fs.rmSync(aside, { recursive: true, force: true });
  return true;
}

/** The token of the holder, or undefined if the lock is free. */
export function lockHolderToken(path: string): string | undefined {
  // Through a symlink, another directory would look like a lock, and be emptied as one.
  return lstatIfThere(path)?.isDirectory() ? ifThere(() => fs.readdirSync(path))?.[0] : undefined;
}

type Callback = (error: NodeJS.ErrnoException | null) => void;

type WithRoom = <Result>(action: () => Result) => Result;

function lockingCalls(token: string, fill: (directory: string) => void, withRoom: WithRoom) {
  const make = (path: string): void => {
    const fresh = `${path}.${token}.new`;
    makeOpenDirectory(fresh);
    try {
      makeOpenDirectory(join(fresh, token));
      fill(join(fresh, token));
      fs.renameSync(fresh, path);
    } catch (error) {
      fs.rmSync(fresh, { recursive: true, force: true });
      // ENOENT: the holder took `fresh` for the remains of a crash, and removed it.
      if (isFull(error) || errnoOf(error) === 'ENOENT') {
        throw Object.assign(new Error(`${path} is held`), { code: 'EEXIST' });
      }
      throw error;
    }
  };
  const remove = (path: string): void => {
    if (!withRoom(() => setLockAside(path, token))) return;
    try {
      fs.rmdirSync(path);
    } catch (error) {
      // Another process has just taken the empty directory over: it is theirs.
      if (!isFull(error) && errnoOf(error) !== 'ENOENT') throw error;
    }
  };
  return {
    ...fs,
    mkdir: (path: string, done: Callback) => done(failureOf(() => make(path))),
    rmdir: (path: string, done: Callback) => done(failureOf(() => remove(path))),
    rmdirSync: remove,
  };
}

/** For a directory that is not empty, ext4 reports ENOTEMPTY and xfs EEXIST (rename(2)). */
function isFull(error: unknown): boolean {
  return errnoOf(error) === 'ENOTEMPTY' || errnoOf(error) === 'EEXIST';
}

function failureOf(action: () => void): NodeJS.ErrnoException | null {
  try {
    action();
    return null;
  } catch (error) {
    return error as NodeJS.ErrnoException;
  }
}
