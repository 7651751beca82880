import { accessSync, constants, copyFileSync, linkSync, mkdirSync, opendirSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf } from '../../errors.ts';
import type { Entry } from '../../rsync/itemize.ts';
import { Turns } from '../../system/event-loop.ts';
import { ifAllowed, ifThere, lstatIfThere } from '../../system/files.ts';
import { find } from '../../system/find.ts';
import type { ChildOptions } from '../../system/process.ts';
import { removeTree } from '../../system/remove-tree.ts';
import { bytePath, parentOf } from '../byte-path.ts';
import type { Layout } from '../layout.ts';
import { NameWriter, readNames } from '../name-list.ts';
import { RealParents } from '../trees/real-parents.ts';
import { VersionSearch } from '../versions.ts';
import type { Removal } from './plan-lists.ts';

/** Of a smaller file there is not enough to save; bytes. */
const SMALLEST = 16 * 1024;

/** So many new names of one directory are looked for at once. */
const MOST_AT_ONCE = 20_000;

/** The new files of a plan of which an earlier version may save rsync most of the transfer. */
export class NewFiles {
  readonly #path: string;
  #isKept: boolean;
  /** Opened for the first one: most plans have none. */
  #list: NameWriter | undefined;

  /** @param isKept whether anybody asks for them. */
  constructor({ staging }: Layout, isKept: boolean) {
    this.#path = join(staging, '.new-files');
    this.#isKept = isKept;
  }

  add({ change, type, name, size, isHardLink }: Entry): void {
    if (!this.#isKept || change !== 'new' || type !== 'file' || isHardLink || size < SMALLEST)
      return;
    this.#keep(() => {
      this.#list ??= new NameWriter(this.#path);
      this.#list.write(`${size} ${name}`);
    });
  }

  close(): void {
    this.#keep(() => this.#list?.close());
  }

  /** Those of one directory after the other; valid after `close`. */
  *groups(): Generator<{ directory: string; sizes: Map<string, number> }> {
    if (!this.#isKept || this.#list === undefined) return;
    let [directory, sizes] = ['', new Map<string, number>()];
    for (const line of readNames(this.#path)) {
      const space = line.indexOf(' ');
      const name = line.slice(space + 1);
      const parent = parentOf(name);
      if (parent !== directory || sizes.size >= MOST_AT_ONCE) {
        if (sizes.size > 0) yield { directory, sizes };
        [directory, sizes] = [parent, new Map()];
      }
      sizes.set(name.slice(name.lastIndexOf('/') + 1), Number(line.slice(0, space)));
    }
    if (sizes.size > 0) yield { directory, sizes };
  }

  /** The disk may be full. Then there is no list, which a transfer can do without. */
  #keep(action: () => void): void {
    this.#isKept &&= succeeds(action);
  }
}

/**
 * Makes a directory that has, under the names of new files, earlier versions of them: rsync takes what
 * has not changed from there. Every other file there costs it a look only.
 *
 * rsync would take a file of the same size and time for the new one itself (rsync(1), --link-dest). So
 * none of the same size is offered; see also `sizedAsBasis`.
 *
 * @param base the tree that has the earlier versions.
 * @returns its path; undefined if there are none, or this filesystem cannot share files.
 */
export async function makeBasis(
  layout: Layout,
  base: string,
  newFiles: NewFiles,
  signal: AbortSignal,
): Promise<string | undefined> {
  await removeBasis(layout);
  const parents = new RealParents(base);
  const turns = new Turns(signal);
  let isMade = false;
  for (const { directory, sizes } of newFiles.groups()) {
    const within = (name: string) => (directory === '.' ? name : `${directory}/${name}`);
    const old = new VersionSearch(sizes.keys());
    if (old.isEmpty || !parents.leadTo(`${directory}/`)) continue;
    for (const name of namesIn(bytePath(base, directory))) {
      await turns.step();
      old.add(name);
    }
    for (const [name, size] of sizes) {
      await turns.step();
      if (lstatIfThere(bytePath(base, within(name))) !== undefined) continue;
      const version = old.versionsOf(name).find((candidate) => {
        const found = lstatIfThere(bytePath(base, within(candidate)));
        return found?.isFile() && found.size >= SMALLEST && found.size !== BigInt(size);
      });
      if (version === undefined) continue;
      const [from, to] = [bytePath(base, within(version)), bytePath(layout.basis, within(name))];
      isMade = share(from, to) || isMade;
    }
  }
  return isMade ? layout.basis : undefined;
}

/** Removes what `makeBasis` has made, in this run or in an earlier one. */
export async function removeBasis(
  { basis }: Layout,
  inherit: readonly number[] = [],
): Promise<void> {
  await removeTree(basis, inherit);
}

/**
 * Finds what has come with the size of its basis, though the source had another size when that was
 * offered, and all other names of the same files: rsync may have taken the basis for the file.
 *
 * @param tree what rsync has written.
 */
export async function sizedAsBasis(
  { basis }: Layout,
  tree: string,
  options: Pick<ChildOptions, 'inherit' | 'signal'>,
): Promise<Removal[]> {
  const inodes = new Set<string>();
  for (const name of filesBelow(basis, '')) {
    const offered = lstatIfThere(bytePath(basis, name));
    const found = lstatIfThere(bytePath(tree, name));
    if (found?.isFile() && found.size === offered?.size) inodes.add(String(found.ino));
  }
  if (inodes.size === 0) return [];
  const removals: Removal[] = [];
  await find([tree, '-xdev', '-type', 'f', '-printf', '%i %P\\0'], options, (file) => {
    const space = file.indexOf(' ');
    if (inodes.has(file.slice(0, space))) removals.push({ name: file.slice(space + 1) });
  });
  return removals;
}

function* filesBelow(top: string, directory: string): Generator<string> {
  const inside = directory === '' ? top : bytePath(top, directory);
  for (const entry of namesIn(inside)) {
    const name = directory === '' ? entry : `${directory}/${entry}`;
    if (lstatIfThere(bytePath(top, name))?.isDirectory()) yield* filesBelow(top, name);
    else yield name;
  }
}

/** Reads a directory without holding all its names; there are none in one that does not exist. */
function* namesIn(path: string | Buffer): Generator<string> {
  const directory = ifAllowed(() =>
    ifThere(() => opendirSync(path, { encoding: 'latin1', bufferSize: 1024 })),
  );
  if (directory === undefined) return;
  try {
    for (let entry = directory.readSync(); entry !== null; entry = directory.readSync())
      yield entry.name;
  } finally {
    directory.closeSync();
  }
}

/** Makes a link, or a file with the same blocks: btrfs links nothing across the boundary of a subvolume. */
function share(from: Buffer, to: Buffer): boolean {
  // rsync ends with an error if it cannot read a basis.
  const isReadable = succeeds(() => accessSync(from, constants.R_OK));
  const directory = to.subarray(0, to.lastIndexOf('/'));
  return (
    isReadable &&
    succeeds(() => mkdirSync(directory, { recursive: true, mode: 0o700 })) &&
    (succeeds(() => linkSync(from, to)) ||
      succeeds(() => copyFileSync(from, to, constants.COPYFILE_FICLONE_FORCE)))
  );
}

/** A basis is of use, but not needed: a transfer without it only takes longer. */
function succeeds(action: () => void): boolean {
  try {
    action();
    return true;
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return false;
  }
}
