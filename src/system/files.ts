import {
  type BigIntStats,
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  type PathLike,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { errnoOf, MirrorlatchError } from '../errors.ts';
import { quoteForSh } from './quote.ts';

/** `lstat(2)` with nanoseconds, or undefined if nothing is there (ENOENT, ENOTDIR, ELOOP). */
export function lstatIfThere(path: PathLike): BigIntStats | undefined {
  return ifThere(() => unlessLoop(() => lstatSync(path, { bigint: true })));
}

/** What tells one state of a file or directory from another; `-` if there is none. */
export function markOf(path: PathLike): string {
  const found = lstatIfThere(path);
  return found === undefined ? '-' : `${found.ino}:${found.size}:${found.mtimeNs}:${found.ctimeNs}`;
}

/** The target of the symlink at `path`, or undefined if there is none. */
export function readlinkIfThere(path: string): string | undefined {
  try {
    return unlessLoop(() => readlinkSync(path));
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EINVAL'].includes(errnoOf(error) ?? '')) return undefined;
    throw error;
  }
}

/** The text of a small file, or undefined if there is none; a fifo in its place reads as empty. */
export function readTextIfThere(path: string): string | undefined {
  // Node passes the number on to open(2), although its types know names only.
  const flag = (constants.O_RDONLY | constants.O_NONBLOCK) as unknown as string;
  try {
    return ifThere(() => readFileSync(path, { encoding: 'utf8', flag }));
  } catch (error) {
    throw errnoOf(error) === 'EISDIR' ? otherThing(path, 'a file') : error;
  }
}

/** The error when one of our own files or directories is something else. */
export function otherThing(path: string, wanted: string): MirrorlatchError {
  return new MirrorlatchError('CONFIGURATION', `${path} is not ${wanted}`, {
    hint: `Nothing is written through it. Move it away with: mv ${quoteForSh(path)} ${quoteForSh(`${path}.old`)}`,
    details: { path },
  });
}

/** What `action` returns, or undefined if it fails for want of a file (ENOENT, ENOTDIR). */
export function ifThere<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return undefined;
    throw error;
  }
}

/** What `action` returns, or undefined if symlinks on its path lead to each other for ever (ELOOP). */
export function unlessLoop<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    if (errnoOf(error) === 'ELOOP') return undefined;
    throw error;
  }
}

/** What `action` returns, or undefined if this user may not do it (EACCES). */
export function ifAllowed<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    if (errnoOf(error) === 'EACCES') return undefined;
    throw error;
  }
}

/**
 * The real path that something has, or will have once it has been made or mounted.
 *
 * @param links how many symlinks to what is missing are followed at most. The kernel follows as many; a
 *   target with `..` may lead back to its own symlink.
 */
export function realPathToBe(path: string, links = 40): string {
  const real = ifThere(() => unlessLoop(() => realpathSync(path)));
  if (real !== undefined || path === dirname(path)) return real ?? path;
  const place = join(realPathToBe(dirname(path), links), basename(path));
  const target = links > 0 ? readlinkIfThere(place) : undefined;
  return target === undefined ? place : realPathToBe(resolve(dirname(place), target), links - 1);
}

/** The directory at `path`, or else the first above it that exists. */
export function nearestDirectory(path: string): string {
  return lstatIfThere(path)?.isDirectory() ? path : nearestDirectory(dirname(path));
}

/** Makes a directory. @returns false if there is one of that name, which is left as it is. */
export function makeDirectory(path: string, mode = 0o777): boolean {
  try {
    mkdirSync(path, { mode });
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Makes a directory of mode 0755, whatever the umask; one that exists is left as it is. */
export function makeOpenDirectory(path: string): void {
  if (makeDirectory(path)) chmodSync(path, 0o755);
}

/**
 * Makes a directory and those above it that are missing. Node's own `recursive` reports a read-only
 * filesystem as ENOENT, and never ends below /proc.
 *
 * @param path absolute.
 * @param make makes each of them.
 */
export function makeDirectories(path: string, make: (path: string) => void): void {
  if (lstatIfThere(path) !== undefined) return;
  makeDirectories(dirname(path), make);
  make(path);
}

/**
 * Makes the entries of a directory durable: a new, renamed or removed entry survives a power cut
 * only after fsync(2) on its directory (fsync(2), DESCRIPTION).
 */
export function syncDirectory(path: string): void {
  const descriptor = openSync(path, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Opens a new file to write it, in the place of what a crash left under this name. What another put
 * there is not written through, be it a symlink, a hard link or a fifo.
 */
export function openNewFile(path: string, mode: number): number {
  ifThere(() => unlinkSync(path));
  return openSync(path, 'wx', mode);
}

/**
 * Replaces a small file in one step: readers see either the old text or the new, even after a power
 * cut. The file has `mode`, whatever the umask.
 */
export function writeWhole(path: string, text: string | Uint8Array, mode = 0o644): void {
  const temporary = `${path}.new`;
  const descriptor = openNewFile(temporary, mode);
  try {
    fchmodSync(descriptor, mode);
    // Not writeSync(), which may write less than it was given.
    writeFileSync(descriptor, text);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  renameSync(temporary, path);
}
