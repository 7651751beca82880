import { chmodSync, constants, fchmodSync, fstatSync, openSync } from 'node:fs';
import { errnoOf } from '../../errors.ts';
import { lstatIfThere } from '../../system/files.ts';
import { refuseOtherThanFile } from '../../system/own-files.ts';
import type { Layout } from '../layout.ts';

const MODE = 0o600;

/**
 * Opens a lock file that only the mirror's owner and root may open: flock(2) needs no more than an
 * open file, so any other user could hold the lock forever. An older version made such files readable
 * to all; they are closed here.
 *
 * A file that is not the owner's own, or has a second name, is left as it is: it may be a hard link to
 * a file elsewhere.
 */
export function openOwnersLock(path: string, { state }: Layout): number {
  const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR } = constants;
  const owner = lstatIfThere(state);
  try {
    const descriptor = openSync(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, MODE);
    // Whatever the umask, which may leave no bit.
    fchmodSync(descriptor, MODE);
    return descriptor;
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
  }
  refuseOtherThanFile(path);
  letOwnerOpen(path);
  const descriptor = openSync(path, O_RDWR | O_NOFOLLOW);
  const file = fstatSync(descriptor);
  const isOwners = file.isFile() && file.nlink === 1 && BigInt(file.uid) === owner?.uid;
  const mayChange = [0, file.uid].includes(process.geteuid?.() ?? -1);
  if (isOwners && mayChange && (file.mode & 0o777) !== MODE) fchmodSync(descriptor, MODE);
  return descriptor;
}

/** A file that a process made and was killed before it set the mode may be closed to its owner. */
function letOwnerOpen(path: string): void {
  const found = lstatIfThere(path);
  if (!found?.isFile() || found.nlink !== 1n || (found.mode & 0o600n) === 0o600n) return;
  if (Number(found.uid) === process.geteuid?.()) chmodSync(path, MODE);
}
