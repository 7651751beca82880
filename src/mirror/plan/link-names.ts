import { linkSync, mkdirSync } from 'node:fs';
import { errnoOf, MirrorlatchError } from '../../errors.ts';
import { Turns } from '../../system/event-loop.ts';
import { lstatIfThere } from '../../system/files.ts';
import { bytePath } from '../byte-path.ts';
import { readableName } from '../names.ts';
import { RealParents } from '../trees/real-parents.ts';
import type { HardLink, PlanLists } from './plan-lists.ts';
import { withWritableParent } from './take-out.ts';

/**
 * Makes the hard links of a plan in a tree out of which its entries have been taken. A file that is still
 * there stays as it is, and gets its new names here: rsync sees neither, and touches no inode that a
 * published snapshot shares, whatever the source does meanwhile (I2). So a file also keeps its other
 * names, of which a plan says nothing. What has been taken out comes back by rsync, with all its names.
 *
 * @throws MirrorlatchError IO if a file has as many names as the filesystem allows.
 */
export async function linkNames(
  tree: string,
  lists: PlanLists,
  signal: AbortSignal,
): Promise<void> {
  const turns = new Turns(signal);
  const parents = new RealParents(tree);
  for (const { name, mode } of lists.newDirectories()) {
    await turns.step();
    const path = bytePath(tree, name);
    if (!parents.leadTo(name) || lstatIfThere(path)) continue;
    withWritableParent(tree, name, () => mkdirSync(path, mode));
  }
  await lists.transferAlso(withoutFile(tree, parents, lists.links(), turns));
}

/** Makes the links to what is there. @returns the names for which there is nothing. */
async function* withoutFile(
  tree: string,
  parents: RealParents,
  links: Iterable<HardLink>,
  turns: Turns,
): AsyncGenerator<string> {
  for (const { name, to } of links) {
    await turns.step();
    const [path, file] = [bytePath(tree, name), bytePath(tree, to)];
    const isThere = parents.leadTo(to) && lstatIfThere(file)?.isDirectory() === false;
    if (!isThere || !parents.leadTo(name)) yield name;
    else withWritableParent(tree, name, () => link(file, path));
  }
}

/** Snapshots that share a file with each other share its number of names, too (link(2), EMLINK). */
function link(file: Buffer, path: Buffer): void {
  try {
    linkSync(file, path);
  } catch (error) {
    if (errnoOf(error) !== 'EMLINK') throw error;
    const { name } = readableName(file.toString('latin1'));
    throw new MirrorlatchError('IO', `${name} has as many names as its filesystem allows`, {
      hint: 'Snapshots share them: keep fewer, or make one that shares nothing, with the option --clone copy of mirrorlatch sync.',
      cause: error,
    });
  }
}
