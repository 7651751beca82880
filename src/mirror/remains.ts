import { MirrorlatchError } from '../errors.ts';
import { DELAYED } from '../rsync/temporary-names.ts';
import { lstatIfThere } from '../system/files.ts';
import { refuseOtherThanDirectory } from '../system/own-files.ts';
import { runProgram } from '../system/process.ts';
import { removeDirectoriesNamed } from '../system/remove-tree.ts';
import { publicationOf, readHistory } from './history.ts';
import { type Layout, LIVE } from './layout.ts';

/**
 * Removes from the tree of an in-place mirror what a killed rsync has left there and no reader wants: for
 * a tree that counts as content from now on. A sync needs no such call, it goes on from there (I7).
 *
 * The directories of `--delay-updates` go, as with each pass, unless the last sync was told that they are
 * content. A file that is named like a temporary one goes if it can be nothing else: rsync makes it for
 * its owner alone, and gives it mode and time at the end.
 *
 * @param inherit descriptors of locks to hold until the removal has ended.
 * @throws MirrorlatchError CONFIGURATION when something is mounted in the tree, IO when something cannot
 *   be removed.
 */
export async function removeRemains(layout: Layout, inherit: readonly number[]): Promise<void> {
  refuseOtherThanDirectory(layout.gate);
  const tree = layout.snapshot(LIVE);
  if (lstatIfThere(tree)?.isDirectory() !== true) return;
  const published = publicationOf(readHistory(layout), LIVE);
  if (!published?.without?.includes('temp-excludes')) {
    await removeDirectoriesNamed(DELAYED, tree, inherit);
  }
  if (published === undefined) return;
  const unfinished = ['-type', 'f', '-links', '1', '-name', '.*.??????', '!', '-perm', '/077'];
  const args = [tree, '-xdev', ...unfinished, '-newermt', published.at, '-delete'];
  const { exitCode, stderr } = await runProgram('find', args, { inherit });
  if (exitCode === 0) return;
  throw new MirrorlatchError(
    'IO',
    `what rsync left in ${tree} cannot be removed: ${stderr.split('\n', 1)[0]}`,
  );
}
