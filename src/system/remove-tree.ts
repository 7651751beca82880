import { MirrorlatchError } from '../errors.ts';
import { lstatIfThere } from './files.ts';
import { runProgram } from './process.ts';

/**
 * Removes a tree of ours, whatever its names and modes; a missing one is no error. It does not
 * descend into another filesystem that is mounted inside.
 *
 * @param inherit descriptors of locks to hold until the removal has ended.
 */
export async function removeTree(path: string, inherit: readonly number[] = []): Promise<void> {
  if (lstatIfThere(path) === undefined) return;
  const remove = () =>
    runProgram('rm', ['--recursive', '--force', '--one-file-system', '--', path], { inherit });
  let { exitCode, stderr } = await remove();
  if (exitCode !== 0) {
    // Only root can empty a directory that is not writable. Files keep their modes, for they may
    // share an inode with a published snapshot. One chmod each, so that find can descend next.
    const closed = ['-type', 'd', '!', '-perm', '-0700'];
    const open = ['-exec', 'chmod', 'u+rwx', '--', '{}', ';'];
    await runProgram('find', [path, ...closed, ...open], { inherit });
    ({ exitCode, stderr } = await remove());
  }
  if (exitCode !== 0) {
    throw new MirrorlatchError('IO', `${path} cannot be removed: ${stderr.split('\n', 1)[0]}`, {
      hint: 'See what holds it (a mount inside, another owner), then run: mirrorlatch prune ROOT',
    });
  }
}

/** Removes every directory of this name below `tree`. */
export async function removeDirectoriesNamed(
  name: string,
  tree: string,
  inherit: readonly number[],
): Promise<void> {
  const remove = ['-exec', 'rm', '--recursive', '--force', '--', '{}', '+'];
  const which = ['-type', 'd', '-name', name, '-prune'];
  const { exitCode, stderr } = await runProgram('find', [tree, ...which, ...remove], { inherit });
  if (exitCode === 0) return;
  throw new MirrorlatchError('IO', `${name} cannot be removed: ${stderr.split('\n', 1)[0]}`);
}
