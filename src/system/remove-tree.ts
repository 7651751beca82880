import { MirrorlatchError } from '../errors.ts';
import { lstatIfThere } from './files.ts';
import { refuseMountsWithin } from './mounts.ts';
import { runProgram } from './process.ts';

/**
 * Removes a tree of ours, whatever its names and modes; a missing one is no error. A tree in which
 * something is mounted stays as it is. Of what is mounted after that look, only another filesystem
 * is left alone: so the tree should lie where nobody mounts anything any more.
 *
 * @param path without symlinks.
 * @param inherit descriptors of locks to hold until the removal has ended.
 * @throws MirrorlatchError CONFIGURATION when something is mounted in the tree, IO when it cannot be
 *   removed.
 */
export async function removeTree(path: string, inherit: readonly number[] = []): Promise<void> {
  if (lstatIfThere(path) === undefined) return;
  refuseMountsWithin(path, 'removed');
  const remove = () =>
    runProgram('rm', ['--recursive', '--force', '--one-file-system', '--', path], { inherit });
  let { exitCode, stderr } = await remove();
  if (exitCode !== 0) {
    // Only root can empty a directory that is not writable. Files keep their modes, for they may
    // share an inode with a published snapshot. One chmod each, so that find can descend next.
    const closed = ['-type', 'd', '!', '-perm', '-0700'];
    const open = ['-exec', 'chmod', 'u+rwx', '--', '{}', ';'];
    await runProgram('find', [path, '-xdev', ...closed, ...open], { inherit });
    ({ exitCode, stderr } = await remove());
  }
  if (exitCode !== 0) {
    throw new MirrorlatchError('IO', `${path} cannot be removed: ${stderr.split('\n', 1)[0]}`, {
      hint: 'It may belong to another user, or be immutable: see ls -l and lsattr.',
    });
  }
}
