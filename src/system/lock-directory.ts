import * as fs from 'node:fs';
import { join } from 'node:path';
import lockfile from 'proper-lockfile';
import { errnoOf } from '../errors.ts';
import { ifThere, makeOpenDirectory } from './files.ts';

/** How often a holder renews the modification time of its lock directory, in ms. */
export const HEARTBEAT_MS = 5_000;

export interface LockDirectory {
  /** The holder's own directory inside the lock: `<path>/<token>`. */
  readonly inside: string;
  /** Gives the lock back; does nothing when somebody else has taken it meanwhile. */
  release(): Promise<void>;
}

/**
 * Takes proper-lockfile's lock directory `path`, or gives undefined when somebody holds it.
 *
 * The directory is made whole under another name, with `<token>/` in it, and renamed into place:
 * rename(2) replaces an empty directory and refuses a full one, so there is never a lock without
 * an owner. Whoever removes or sets aside a lock does so by renaming that `<token>` away, which
 * only one can do, and only to the lock that it means. That is what proper-lockfile lacks: it
 * takes a stale lock by rmdir + mkdir, which two can win (its issue 121), and it removes on release
 * whatever lock it finds. `stale: Infinity` leaves staleness to us and its heartbeat on.
 *
 * @param fill puts the owner's record into the directory that it is given.
 * @param onLost is called once when the heartbeat finds that the lock is no longer ours.
 */
export async function takeLockDirectory(
  path: string,
  token: string,
  fill: (directory: string) => void,
  onLost: (cause: Error) => void,
): Promise<LockDirectory | undefined> {
  try {
    const release = await lockfile.lock(path, {
      lockfilePath: path,
      realpath: false,
      stale: Number.POSITIVE_INFINITY,
      update: HEARTBEAT_MS,
      // A fresh object for each lock: proper-lockfile keeps the clock precision of the
      // filesystem on it.
      fs: lockingCalls(token, fill),
      onCompromised: onLost,
    });
    return {
      inside: join(path, token),
      release: () =>
        release().catch((error: unknown) => {
          // Its words for a lock that was lost before: there is nothing left to release.
          if (!['ENOTACQUIRED', 'ERELEASED'].includes(errnoOf(error) ?? '')) throw error;
        }),
    };
  } catch (error) {
    if (errnoOf(error) === 'ELOCKED') return undefined;
    throw error;
  }
}

/**
 * Sets the lock of the holder `token` aside; false when that holder's lock is gone already.
 * Of two contenders only one succeeds.
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

/** The token of the present holder, or undefined when the lock is free. */
export function lockHolderToken(path: string): string | undefined {
  return ifThere(() => fs.readdirSync(path))?.[0];
}

type Callback = (error: NodeJS.ErrnoException | null) => void;

function lockingCalls(token: string, fill: (directory: string) => void) {
  const make = (path: string): void => {
    const fresh = `${path}.${token}.new`;
    makeOpenDirectory(fresh);
    try {
      makeOpenDirectory(join(fresh, token));
      fill(join(fresh, token));
      fs.renameSync(fresh, path);
    } catch (error) {
      fs.rmSync(fresh, { recursive: true, force: true });
      // ENOENT: the holder cleared away what it took for a crash's remains.
      if (isFull(error) || errnoOf(error) === 'ENOENT') {
        throw Object.assign(new Error(`${path} is held`), { code: 'EEXIST' });
      }
      throw error;
    }
  };
  const remove = (path: string): void => {
    if (!setLockAside(path, token)) return;
    try {
      fs.rmdirSync(path);
    } catch (error) {
      // Another has taken the empty directory over in this very moment: it is theirs now.
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

/** ext4 says ENOTEMPTY, xfs EEXIST: rename(2) allows both. */
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
