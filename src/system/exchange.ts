import { createRequire } from 'node:module';
import { errnoOf, MirrorlatchError } from '../errors.ts';

/** The part of fs-native-extensions that is used here: Node itself has no renameat2(2). */
interface NativeExtensions {
  swapSync: (one: string, other: string) => void;
}

/**
 * Exchanges what lies at two paths, a directory and a symlink say, in one system call: nobody ever
 * finds nothing at either (renameat2(2), RENAME_EXCHANGE).
 *
 * @throws MirrorlatchError UNAVAILABLE when the kernel, the filesystem or this platform cannot.
 */
export function exchange(one: string, other: string): void {
  try {
    loadExtensions().swapSync(one, other);
  } catch (error) {
    if (!['EINVAL', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP'].includes(errnoOf(error) ?? '')) throw error;
    throw cannotExchange(`the filesystem of ${one} cannot exchange two names`, error);
  }
}

function loadExtensions(): NativeExtensions {
  try {
    return createRequire(import.meta.url)('fs-native-extensions') as NativeExtensions;
  } catch (error) {
    throw cannotExchange('fs-native-extensions, by which names are exchanged, is not there', error);
  }
}

function cannotExchange(what: string, cause: unknown): MirrorlatchError {
  return new MirrorlatchError('UNAVAILABLE', what, {
    hint: 'It needs renameat2(2) with RENAME_EXCHANGE: ext4, xfs, btrfs and tmpfs have it.',
    cause,
  });
}
