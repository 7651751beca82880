import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
} from 'node:fs';
import { errnoOf, MirrorlatchError } from '../errors.ts';
import { lstatIfThere, otherThing, writeWhole } from './files.ts';
import { quoteForSh } from './quote.ts';

/**
 * The files and directories that a program keeps for itself. Somebody may have put something else in
 * the place of one, and that must not be written through: a symlink, a second name of a file elsewhere,
 * a fifo.
 */

/** The errors of open(2) for a symlink (O_NOFOLLOW), a directory, a socket, and a device. */
const NO_FILE = ['ELOOP', 'EISDIR', 'ENXIO', 'ENODEV'];

/**
 * Opens a file to read it and to append to it. One that is new or empty gets `mode`, whatever the umask.
 *
 * @throws MirrorlatchError CONFIGURATION when something else has its name, or it has a second one.
 */
export function openOwnFile(path: string, mode: number): number {
  const { O_APPEND, O_CREAT, O_NOFOLLOW, O_RDWR } = constants;
  // A fifo that is opened for both does not wait for the other end (fifo(7)).
  const descriptor = openOrExplain(path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW, mode);
  const { size, nlink, ...found } = fstatSync(descriptor);
  const isFile = (found.mode & constants.S_IFMT) === constants.S_IFREG;
  if (isFile && nlink === 1) {
    if (size === 0) fchmodSync(descriptor, mode);
    return descriptor;
  }
  closeSync(descriptor);
  if (!isFile) throw otherThing(path, 'a file');
  const [old, copy] = [quoteForSh(path), quoteForSh(`${path}.copy`)];
  throw new MirrorlatchError('CONFIGURATION', `${path} has a second name (hard link)`, {
    hint: `Writing to it would change a file elsewhere. Give it content of its own with: cp -p ${old} ${copy} && mv ${copy} ${old}`,
    details: { path },
  });
}

/**
 * Gives a file of this user that has a second name content of its own, in one step. It keeps its mode,
 * so that nobody can read it who could not before.
 */
export function separateOwnFile(path: string): void {
  const found = lstatIfThere(path);
  if (!found?.isFile() || found.nlink === 1n || Number(found.uid) !== process.geteuid?.()) return;
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    if (fstatSync(descriptor, { bigint: true }).ino !== found.ino) return;
    writeWhole(path, readFileSync(descriptor), Number(found.mode & 0o777n));
  } finally {
    closeSync(descriptor);
  }
}

function openOrExplain(path: string, flags: number, mode: number): number {
  try {
    return openSync(path, flags, mode);
  } catch (error) {
    throw NO_FILE.includes(errnoOf(error) ?? '') ? otherThing(path, 'a file') : error;
  }
}

/**
 * Makes a directory of this mode, whatever the umask; one that exists is left as it is.
 *
 * @throws MirrorlatchError CONFIGURATION when something else has its name.
 */
export function makeOwnDirectory(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode });
    chmodSync(path, mode);
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
    refuseOtherThanDirectory(path);
  }
}

/** @throws MirrorlatchError CONFIGURATION when `path` exists and is no regular file. */
export function refuseOtherThanFile(path: string): void {
  if (lstatIfThere(path)?.isFile() === false) throw otherThing(path, 'a file');
}

/** @throws MirrorlatchError CONFIGURATION when `path` exists and is no directory. */
export function refuseOtherThanDirectory(path: string): void {
  if (lstatIfThere(path)?.isDirectory() === false) throw otherThing(path, 'a directory');
}
