import { accessSync, constants, opendirSync } from 'node:fs';
import { errnoOf } from '../../errors.ts';
import { bytePath } from '../../mirror/byte-path.ts';
import { ifThere } from '../../system/files.ts';
import { userName } from '../../system/proc.ts';

/** How many entries of a tree are looked at, and how many of one directory. */
const MOST = 64;
const MOST_OF_ONE = 16;

/**
 * Looks whether this user may read files of a tree: a few of the first that are found. One that may be read is enough, since a
 * source may have some that are private.
 *
 * @param tree absolute.
 * @returns why not, a sentence without a full stop; undefined if it may, or there is no file.
 */
export function whyUnreadable(tree: string): string | undefined {
  const waiting = [''];
  let refusedFile: Buffer | undefined;
  let refusedDirectory: Buffer | undefined;
  for (let looked = 0; looked < MOST; looked += 1) {
    const name = waiting.pop();
    if (name === undefined) break;
    const path = bytePath(tree, name);
    const isDirectory = name === '' || name.endsWith('/');
    const isAllowed = mayRead(path, isDirectory);
    if (isAllowed && !isDirectory) return undefined;
    if (isAllowed) waiting.push(...firstEntries(path, name));
    else if (isDirectory) refusedDirectory ??= path;
    else refusedFile ??= path;
  }
  const hasSeenAll = waiting.length === 0;
  const refused = refusedFile ?? (hasSeenAll ? refusedDirectory : undefined);
  return refused && `the user ${userName(process.geteuid?.() ?? 0)} may not read ${refused}`;
}

/** What has gone meanwhile is not refused. */
function mayRead(path: Buffer, isDirectory: boolean): boolean {
  try {
    accessSync(path, isDirectory ? constants.R_OK | constants.X_OK : constants.R_OK);
    return true;
  } catch (error) {
    return errnoOf(error) !== 'EACCES';
  }
}

/** Files last, so that they are looked at first. @returns names below the tree, those of directories with a slash. */
function firstEntries(path: Buffer, above: string): string[] {
  const options = { encoding: 'latin1', bufferSize: MOST_OF_ONE } as const;
  const directory = ifThere(() => opendirSync(path, options));
  if (directory === undefined) return [];
  try {
    const directories: string[] = [];
    const files: string[] = [];
    for (let count = 0; count < MOST_OF_ONE; count += 1) {
      const entry = directory.readSync();
      if (entry === null) break;
      if (entry.isDirectory()) directories.push(`${above}${entry.name}/`);
      else if (entry.isFile()) files.push(`${above}${entry.name}`);
    }
    return [...directories, ...files];
  } finally {
    directory.closeSync();
  }
}
