import { errnoOf, MirrorlatchError } from '../errors.ts';

/**
 * Reads what /proc always has: facts about the kernel and this process.
 *
 * @throws MirrorlatchError UNAVAILABLE if it is not mounted.
 */
export function fromProc<Result>(read: () => Result): Result {
  try {
    return read();
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    throw new MirrorlatchError('UNAVAILABLE', '/proc is not mounted', {
      hint: 'Without it, nobody can say which processes use a mirror. Mount it with: mount -t proc proc /proc',
      cause: error,
    });
  }
}
