import {
  appendFileSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import fc from 'fast-check';

/** What happens to one file, or to several of one sort. */
export interface Damage {
  readonly what: keyof typeof WAYS;
  /** Chooses the file, and what else there is to choose. */
  readonly at: number;
  readonly more: number;
}

/** Where a damage happens. */
interface Place {
  tree: string;
  name: string;
  path: string;
  /** The same repository in its other states. */
  others: readonly string[];
  /** A number of its own in the tree, for new names. */
  number: number;
  more: number;
}

type Way = (place: Place) => void;

const ends: Way = ({ path, more }) =>
  truncateSync(path, Math.floor((statSync(path).size * (more % 97)) / 97));

const WAYS = {
  missing: ({ path }) => rmSync(path),
  'cut off': ends,
  empty: ({ path }) => truncateSync(path, 0),
  'a flipped bit': ({ path, more }) => {
    const content = readFileSync(path);
    if (content.length === 0) return;
    const at = more % content.length;
    content[at] = (content[at] ?? 0) ^ (1 << (more % 8));
    writeFileSync(path, content);
  },
  zeros: ({ path }) => writeFileSync(path, Buffer.alloc(statSync(path).size)),
  'more at its end': ({ path }) => appendFileSync(path, '\nmore\n'),
  'another file of the tree': ({ tree, name, path, more }) => {
    const files = filesIn(tree).filter((one) => one !== name);
    const size = statSync(path).size;
    const same = files.filter((one) => statSync(join(tree, one)).size === size);
    const from = same.length > 0 ? same : files;
    copyFileSync(join(tree, from[more % from.length] ?? name), `${path}.new`);
    renameSync(`${path}.new`, path);
  },
  'as it was in another state': ({ name, path, others, more }) => putBack(name, path, others, more),
  'all of its sort as they were in another state': ({ tree, name, others, more }) => {
    const other = others[more % others.length] ?? '';
    const isOfSort = (one: string) => sortOf(one) === sortOf(name);
    const names = new Set([...filesIn(tree), ...filesIn(other)].filter(isOfSort));
    for (const one of names) putBack(one, join(tree, one), [other], 0);
  },
  'half of its directory missing': ({ path, more }) => {
    const names = readdirSync(dirname(path)).sort();
    const gone = names.filter((_, at) => at % 2 === more % 2);
    for (const one of gone) rmSync(join(dirname(path), one), { recursive: true });
  },
  'another file beside it': ({ path, number }) =>
    writeFileSync(join(dirname(path), `extra-${number}`), 'extra'),
  'another time': ({ path, more }) => utimesSync(path, more, more),
  'a symlink within the tree': ({ tree, path, number }) => {
    const kept = join(tree, `kept-${number}`);
    renameSync(path, kept);
    symlinkSync(relative(dirname(path), kept), path);
  },
  'a symlink out of the tree': ({ tree, path, number }) => {
    const kept = `${tree}-kept-${number}`;
    renameSync(path, kept);
    symlinkSync(relative(dirname(path), kept), path);
  },
  'a symlink to nothing': ({ path }) => {
    rmSync(path);
    symlinkSync('nothing', path);
  },
  'a symlink to itself': ({ path }) => {
    rmSync(path);
    symlinkSync(basename(path), path);
  },
  'a directory': ({ path }) => {
    rmSync(path);
    mkdirSync(path);
  },
} satisfies Record<string, Way>;

/** Some damages, of which several may hit one file. */
export const damages: fc.Arbitrary<Damage[]> = fc.array(
  fc.record({
    what: fc.constantFrom(...(Object.keys(WAYS) as Damage['what'][])),
    at: fc.nat(),
    more: fc.nat(),
  }),
  { maxLength: 4 },
);

/** Each way alone, done to a package. */
export const eachToAPackage: readonly Damage[][] = (Object.keys(WAYS) as Damage['what'][]).map(
  (what) => [{ what, at: 1, more: 40 }],
);

/** @param others the same repository in its other states. */
export function damage(tree: string, others: readonly string[], all: readonly Damage[]): void {
  for (const [number, { what, at, more }] of all.entries()) {
    const files = filesIn(tree);
    // Packages first, see `eachToAPackage`.
    const isPackage = (one: string) => sortOf(one) === 'package';
    const names = [...files.filter(isPackage), ...files.filter((one) => !isPackage(one))];
    const name = names[at % names.length];
    if (name === undefined) return;
    const ways: Readonly<Record<Damage['what'], Way>> = WAYS;
    ways[what]({ tree, name, path: join(tree, name), others, number, more });
  }
}

function putBack(name: string, path: string, others: readonly string[], more: number): void {
  const before = join(others[more % others.length] ?? '', name);
  rmSync(path, { recursive: true, force: true });
  if (!existsSync(before)) return;
  mkdirSync(dirname(path), { recursive: true });
  copyFileSync(before, path);
}

const TOPS = [
  /(^|\/)((In)?Release(\.gpg)?|repomd\.xml(\.asc)?|SHA256SUMS|APKINDEX\.tar\.gz|\.verdaccio-db\.json)$/,
  /\.(db|files)(\.tar(\.gz)?)?(\.sig)?$/,
  /(^|\/)simple\/index\.\w+$/,
  /^index\.html$/,
];

const INDEXES = [
  /(^|\/)(dists|repodata)\//,
  /\/index\.\w+$/,
  /\/package\.json$/,
  /\.(sig|metadata)$/,
];

/** What is usually updated in one step. */
function sortOf(name: string): string {
  if (TOPS.some((one) => one.test(name))) return 'top';
  return INDEXES.some((one) => one.test(name)) ? 'index' : 'package';
}

/** The names of the regular files of a tree, and of symlinks to them, sorted. */
function filesIn(tree: string): string[] {
  return readdirSync(tree, { recursive: true, withFileTypes: true })
    .map((entry) => ({ entry, path: join(entry.parentPath, entry.name) }))
    .filter(
      ({ entry, path }) => entry.isFile() || (entry.isSymbolicLink() && leadsToFile(tree, path)),
    )
    .map(({ path }) => relative(tree, path))
    .sort();
}

function leadsToFile(tree: string, path: string): boolean {
  try {
    const real = realpathSync(path);
    return real.startsWith(`${realpathSync(tree)}/`) && lstatSync(real).isFile();
  } catch {
    return false;
  }
}
