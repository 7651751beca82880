import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { type BytePath, below } from './byte-path.ts';
import type { FileWork } from './file-work.ts';

/** The few names that entries have, so that they go and come back as something else. */
const NAMES: readonly BytePath[] = [
  ...['a', 'b', 'c', 'd', 'e', 'with space', '-dash', '#hash', '.hidden'],
  ...['new\nline', '\xff\xfe no UTF-8', '\xc3\xa9 UTF-8', 'back\\slash'],
];

/** Nothing is deeper. */
const DEPTH = 4;

/** Random choices. */
export interface Chance {
  whole(from: number, to: number): number;
  pick<T>(values: readonly T[]): T;
}

/** All entries of a tree, without its top directory, each directory before what it has. */
function entriesOf(root: string): BytePath[] {
  const found: BytePath[] = [];
  const visit = (directory: BytePath) => {
    for (const entry of readdirSync(below(root, directory), { encoding: 'latin1' }).sort()) {
      const name = directory === '.' ? entry : `${directory}/${entry}`;
      found.push(name);
      if (lstatSync(below(root, name)).isDirectory()) visit(name);
    }
  };
  visit('.');
  return found;
}

/**
 * Makes one random change to a tree, of a kind that an upstream makes: an entry comes, goes, becomes something
 * else, gets another name, a second one, other content, another mode or time.
 *
 * @param onChange called with each name before it, or what is below it, changes. Nothing is ever changed in
 *   place, so that the files may be shared with another tree.
 */
export function changeAtRandom(
  work: FileWork,
  { whole, pick }: Chance,
  onChange: (name: BytePath) => void = () => {},
): void {
  const { root } = work;
  const all = entriesOf(root);
  const isDirectory = (name: BytePath) => lstatSync(below(root, name)).isDirectory();
  const directories = ['.', ...all.filter(isDirectory)];
  const inner = directories.filter((name) => name === '.' || name.split('/').length < DEPTH);
  const files = all.filter((name) => lstatSync(below(root, name)).isFile());
  const parent = pick(inner);
  const entry = pick(NAMES);
  const name = parent === '.' ? entry : `${parent}/${entry}`;
  const replace = (path: BytePath, make: () => void) => {
    onChange(path);
    open(work, parentOf(path));
    work.remove(path);
    make();
  };
  const time = () => `15${whole(10_000_000, 99_999_999)}.${whole(100_000_000, 999_999_999)}`;
  const content = () => 'x'.repeat(whole(0, 40)) + whole(0, 9);
  const kinds: (() => void)[] = [
    () => replace(name, () => work.write(name, content(), pick([0o644, 0o600, 0o755, 0o444]))),
    () =>
      replace(name, () => {
        work.directory(name);
        for (const file of NAMES.slice(0, whole(0, 4))) work.write(`${name}/${file}`, content());
        work.mode(name, pick([0o755, 0o755, 0o700, 0o555, 0o2775]));
      }),
    () => replace(name, () => work.symlink(name, pick([...NAMES, '.', 'a/b']))),
    () => {
      if (all.length > 0) replace(pick(all), () => {});
    },
    () => {
      const from = all.length > 0 ? pick(all) : undefined;
      const isBelow = (one: BytePath, other: BytePath) => `${one}/`.startsWith(`${other}/`);
      if (from === undefined || isBelow(name, from) || isBelow(from, name)) return;
      onChange(from);
      open(work, parentOf(from));
      if (isDirectory(from)) work.mode(from, 0o755);
      replace(name, () => work.rename(from, name));
    },
    () => {
      const existing = files.length > 0 ? pick(files) : name;
      const goes = `${existing}/`.startsWith(`${name}/`);
      if (!goes) replace(name, () => work.link(name, existing));
    },
    () => {
      const directory = pick(directories);
      onChange(directory);
      if (directory !== '.') work.mode(directory, pick([0o755, 0o711, 0o555, 0o700, 0o3777]));
      work.mtime(directory, time());
    },
    () => {
      if (files.length === 0) return;
      const file = pick(files);
      replace(file, () => {
        work.write(file, content());
        work.mtime(file, time());
      });
    },
    () => {
      if (files.length > 0) changeMode(work, pick(files), pick([0o600, 0o640, 0o755]), replace);
    },
  ];
  pick([...kinds, ...kinds.slice(0, 2)])();
}

/** Gives all names of a file one with another mode, which differs in nothing else. */
function changeMode(
  work: FileWork,
  file: BytePath,
  mode: number,
  replace: (name: BytePath, make: () => void) => void,
): void {
  const at = (name: BytePath) => below(work.root, name);
  const old = lstatSync(at(file), { bigint: true });
  const content = readFileSync(at(file));
  const isSame = (name: BytePath) => lstatSync(at(name), { bigint: true }).ino === old.ino;
  const others = entriesOf(work.root).filter((name) => name !== file && isSame(name));
  replace(file, () => work.write(file, content, mode));
  const nanoseconds = String(old.mtimeNs % 1_000_000_000n).padStart(9, '0');
  work.mtime(file, `${old.mtimeNs / 1_000_000_000n}.${nanoseconds}`);
  for (const other of others) replace(other, () => work.link(other, file));
}

/** A user other than root has to open a directory before its entries change. */
function open(work: FileWork, directory: BytePath): void {
  if ((lstatSync(below(work.root, directory)).mode & 0o700) !== 0o700) work.mode(directory, 0o755);
}

function parentOf(path: BytePath): BytePath {
  const slash = path.lastIndexOf('/');
  return slash === -1 ? '.' : path.slice(0, slash);
}

/**
 * What a clone by hard links has in common with its model: the names, the inodes of all that is no
 * directory, and the attributes of directories, the times in nanoseconds. By path.
 */
export function describeClone(root: string): Map<BytePath, string> {
  const described = new Map<BytePath, string>();
  for (const name of ['.', ...entriesOf(root)]) {
    const found = lstatSync(below(root, name), { bigint: true });
    const attributes = `${found.mode.toString(8)} ${found.uid}:${found.gid} ${found.mtimeNs} ns`;
    described.set(name, found.isDirectory() ? attributes : `inode ${found.ino}`);
  }
  return described;
}

/** The differences between two such descriptions, one sentence each. */
export function differenceOfClones(
  model: ReadonlyMap<BytePath, string>,
  clone: ReadonlyMap<BytePath, string>,
): string[] {
  return [...new Set([...model.keys(), ...clone.keys()])]
    .filter((name) => model.get(name) !== clone.get(name))
    .map((name) => `${JSON.stringify(name)}: ${clone.get(name)} instead of ${model.get(name)}`);
}
