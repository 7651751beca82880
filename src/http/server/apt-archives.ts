import { closeSync, constants, openSync, readdirSync, readSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { ifAllowed, ifThere } from '../../system/files.ts';

/** A suite of packages as its Release file describes it (https://wiki.debian.org/DebianRepository/Format). */
export interface Archive {
  /** The directory with `dists` below what is current: empty, or with a slash at its end. */
  readonly place: string;
  readonly origin: string | undefined;
  readonly label: string | undefined;
  /** Whether it names a server of its snapshots. */
  readonly namesSnapshots: boolean;
}

/** The archives in what is current of a mirror, at its top or in its directories. Symlinks are not followed. */
export function archivesIn(root: string): Archive[] {
  const tree = ifAllowed(() => ifThere(() => realpathSync(join(root, 'current'))));
  return tree === undefined ? [] : placesIn(tree).flatMap((place) => suitesAt(tree, place));
}

function placesIn(tree: string): string[] {
  const directories = directoriesIn(tree);
  if (directories.includes(DISTS)) return [''];
  return directories
    .filter((name) => directoriesIn(join(tree, name)).includes(DISTS))
    .map((name) => `${name}/`);
}

const DISTS = 'dists';

/** A suite may be called `NAME/updates`. */
function suitesAt(tree: string, place: string): Archive[] {
  const dists = join(tree, place, DISTS);
  return directoriesIn(dists)
    .flatMap((suite) => [
      suite,
      ...directoriesIn(join(dists, suite)).map((name) => join(suite, name)),
    ])
    .flatMap((suite) => {
      const release = releaseIn(join(dists, suite));
      return release === undefined ? [] : [{ place, ...describedBy(release) }];
    });
}

/** Pure. @param release the text of a Release file, or its beginning; signed or not. */
function describedBy(release: string): Omit<Archive, 'place'> {
  const [fields = ''] = release.split(/^(?:MD5Sum|SHA\d+):/im, 1);
  const field = (name: string) => new RegExp(`^${name}:[ \t]*(.*\\S)`, 'im').exec(fields)?.[1];
  return {
    origin: field('Origin'),
    label: field('Label'),
    namesSnapshots: field('Snapshots') !== undefined,
  };
}

function releaseIn(directory: string): string | undefined {
  return beginningOf(join(directory, 'InRelease')) ?? beginningOf(join(directory, 'Release'));
}

/** Its fields come before its sums. */
const LONG_ENOUGH = 16_384;

function beginningOf(file: string): string | undefined {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  let descriptor: number | undefined;
  try {
    descriptor = openSync(file, flags);
    const buffer = Buffer.alloc(LONG_ENOUGH);
    return buffer.toString('utf8', 0, readSync(descriptor, buffer));
  } catch {
    // What cannot be read describes nothing.
    return undefined;
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** The names of directories that need no escape in a URL; none of what cannot be read. */
function directoriesIn(path: string): string[] {
  const entries = ifAllowed(() => ifThere(() => readdirSync(path, { withFileTypes: true }))) ?? [];
  return entries.flatMap((entry) =>
    entry.isDirectory() && /^[\w.~+-]+$/.test(entry.name) ? [entry.name] : [],
  );
}
