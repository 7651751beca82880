import { closeSync, constants, fstatSync, openSync, readdirSync, readSync } from 'node:fs';
import { ifThere, lstatIfThere } from '../../system/files.ts';
import { quoteForSh } from '../../system/quote.ts';
import { bytePath } from '../byte-path.ts';
import { RealParents } from '../trees/real-parents.ts';

/**
 * Stamps: files that an upstream rewrites whenever it changes anything else, such as Debian's
 * `project/trace/…`. Names are relative to the tree, one character per byte (latin1).
 */

/** Among the stamps that a user names: the well-known ones that a tree has. */
const AUTO = 'auto';

/** A directory and what the names of stamps in it are like. */
type Place = readonly [directory: string, name: RegExp];

/** Those that stand for a whole tree. */
const OF_TREES: readonly (readonly Place[])[] = [
  // ftpsync(1): each mirror on the way from the archive writes one when it has finished.
  [['project/trace', /./]],
  // Arch Linux: the time of the last sync changes each time, although nothing else may have.
  [
    ['.', /^lastupdate$/],
    ['.', /^lastsync$/],
  ],
  // Fedora, EPEL, Rocky Linux: a list of all files, by create-filelist.
  [['.', /^fullfiletimelist-/]],
];

/** Those of indexes, which name all packages of one repository by their hashes. */
const OF_INDEXES: readonly (readonly Place[])[] = [
  [
    ['dists/*', /^InRelease$/],
    ['dists/*', /^Release$/],
  ],
  [['repodata', /^repomd\.xml$/]],
];

/** More are no cheap look. */
const MOST_KNOWN = 100;

/** The stamps that a user means. */
export interface WantedStamps {
  /** Without repetition. */
  names: readonly string[];
  /** How many well-known ones the tree has, if that is none or too many, and the user asked for them. */
  unfit: number | undefined;
}

/**
 * Finds out which files of a tree are to be its stamps.
 *
 * @param paths as in `ProbePolicy`.
 * @param tree undefined if there is none yet.
 */
export function wantedStamps(paths: readonly string[], tree: string | undefined): WantedStamps {
  const named = paths
    .filter((path) => path !== AUTO)
    .map((path) => Buffer.from(path).toString('latin1'));
  if (!paths.includes(AUTO)) return { names: [...new Set(named)], unfit: undefined };
  const known = tree === undefined ? [] : knownStamps(tree);
  const isFit = known.length > 0 && known.length <= MOST_KNOWN;
  const names = new Set([...named, ...(isFit ? known : [])]);
  return { names: [...names], unfit: isFit ? undefined : known.length };
}

/** One of an index says nothing of what lies beside it, so it counts where no other does. */
function knownStamps(tree: string): string[] {
  const ofTree = OF_TREES.flatMap((places) => firstFound(tree, places));
  return ofTree.length > 0 ? ofTree : OF_INDEXES.flatMap((places) => firstFound(tree, places));
}

function firstFound(tree: string, places: readonly Place[]): string[] {
  for (const place of places) {
    const found = filesAt(tree, place);
    if (found.length > 0) return found;
  }
  return [];
}

function filesAt(tree: string, [directory, name]: Place): string[] {
  const directories = directory.endsWith('/*')
    ? namesIn(tree, directory.slice(0, -2)).map((one) => directory.replace('*', one))
    : [directory];
  return directories
    .flatMap((one) =>
      namesIn(tree, one)
        .filter((entry) => name.test(entry))
        .map((entry) => (one === '.' ? entry : `${one}/${entry}`)),
    )
    .filter((found) => isStampIn(tree, found));
}

function namesIn(tree: string, directory: string): string[] {
  if (!new RealParents(tree).leadTo(`${directory}/`)) return [];
  return ifThere(() => readdirSync(bytePath(tree, directory), { encoding: 'latin1' })) ?? [];
}

/** What of `ProbePolicy.paths` saves no look at everything, because the tree does not have it; for people. */
export function idleStamps(tree: string, paths: readonly string[]): string[] {
  const { names, unfit } = wantedStamps(paths, tree);
  const missing = names
    .filter((name) => !isStampIn(tree, name))
    .map((name) => {
      const path = quoteForSh(Buffer.from(name, 'latin1').toString());
      return `--probe ${path} saves nothing: there is no such file in ${tree}`;
    });
  const none = `--probe ${AUTO} saves nothing: there is no well-known stamp in ${tree}`;
  return unfit === 0 ? [...missing, none] : missing;
}

/** Whether a tree has a regular file of that name, which no symlink leads to. */
export function isStampIn(tree: string, name: string): boolean {
  return (
    new RealParents(tree).leadTo(name) && lstatIfThere(bytePath(tree, name))?.isFile() === true
  );
}

/** Whether two trees have the same bytes in a stamp that both of them have. */
export function isSameStamp(one: string, other: string, name: string): boolean {
  const [first, second] = [openStamp(one, name), openStamp(other, name)];
  try {
    return hasSameBytes(first, second);
  } finally {
    closeSync(first);
    closeSync(second);
  }
}

function openStamp(tree: string, name: string): number {
  return openSync(bytePath(tree, name), constants.O_RDONLY | constants.O_NOFOLLOW);
}

const CHUNK = 256 * 1024;

function hasSameBytes(one: number, other: number): boolean {
  if (fstatSync(one).size !== fstatSync(other).size) return false;
  const [first, second] = [Buffer.alloc(CHUNK), Buffer.alloc(CHUNK)];
  for (;;) {
    const read = readSync(one, first);
    if (read === 0) return readSync(other, second) === 0;
    for (let at = 0; at < read; ) {
      const more = readSync(other, second, at, read - at, null);
      if (more === 0) return false;
      at += more;
    }
    if (first.compare(second, 0, read, 0, read) !== 0) return false;
  }
}
