import { type Dirent, readdirSync } from 'node:fs';
import { Turns } from '../../system/event-loop.ts';
import { bytePath } from '../byte-path.ts';
import { readableName } from '../names.ts';

/**
 * The names in a tree that its original does not have, or has as something else than a directory; what
 * lies below them is not looked at. Follows no symlink, and compares no content.
 *
 * @param tree a path without symlinks.
 * @param original the path of the tree that it was cloned from.
 * @returns one character per byte (latin1), relative to the tree.
 */
export async function addedNames(
  tree: string,
  original: string,
  signal: AbortSignal,
): Promise<string[]> {
  const added: string[] = [];
  const turns = new Turns(signal);
  const visit = async (directory: string): Promise<void> => {
    const known = new Map(
      entriesIn(original, directory).map((entry) => [entry.name, entry.isDirectory()]),
    );
    for (const entry of entriesIn(tree, directory)) {
      await turns.step();
      const name = directory === '' ? entry.name : `${directory}/${entry.name}`;
      if (known.get(entry.name) !== entry.isDirectory()) added.push(name);
      else if (entry.isDirectory()) await visit(name);
    }
  };
  await visit('');
  return added;
}

function entriesIn(tree: string, directory: string): Dirent[] {
  return readdirSync(bytePath(tree, directory), { encoding: 'latin1', withFileTypes: true });
}

const MOST_NAMES = 3;

/** A few of them, for people. */
export function describeAdded(added: readonly string[]): string {
  const names = added.slice(0, MOST_NAMES).map((name) => readableName(name).name);
  return added.length > names.length
    ? `${names.join(', ')} and ${added.length - names.length} more`
    : names.join(', ');
}
