import { createRequire } from 'node:module';
import { errnoOf, MirrorlatchError } from '../errors.ts';

/** The part of fs-native-extensions that is used: Node itself has no renameat2(2). */
interface NativeExtensions {
  swapSync: (one: string, other: string) => void;
}

/**
 * Exchanges what lies at two paths, such as a directory and a symlink, in one system call: neither
 * path is ever missing (renameat2(2), RENAME_EXCHANGE).
 *
 * @throws MirrorlatchError UNAVAILABLE if the kernel, the filesystem or the platform cannot do it.
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
    throw cannotExchange('fs-native-extensions, which exchanges names, is not installed', error);
  }
}

function cannotExchange(what: string, cause: unknown): MirrorlatchError {
  return new MirrorlatchError('UNAVAILABLE', what, {
    hint: 'This needs RENAME_EXCHANGE of renameat2(2), which ext4, xfs, btrfs and tmpfs support.',
    cause,
  });
}
