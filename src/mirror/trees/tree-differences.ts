import { type BigIntStats, constants, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { MirrorlatchError } from '../../errors.ts';
import type { Entry } from '../../rsync/itemize.ts';
import { Turns } from '../../system/event-loop.ts';
import { lstatIfThere } from '../../system/files.ts';
import { countForbidden, failureOf, findSlowly } from '../../system/find.ts';
import { listsInodeNumbers } from '../../system/inode-numbers.ts';
import { bytePath } from '../byte-path.ts';
import { eachName, NameRecords } from '../name-records.ts';
import { Spool } from '../spool.ts';
import { findLinesApart, linesOfOutput } from './lines-apart.ts';
import { hasSameContent } from './same-content.ts';

/** What of an entry differs although it has the same content. */
type Attribute = 'mode' | 'owner' | 'group' | 'mtime';

/** An entry in which one tree differs from another. */
export interface Difference {
  change: Entry['change'];
  /** In the newer tree, or in the older one if it is deleted. */
  type: Entry['type'];
  /** If it was of another type. */
  typeBefore?: Entry['type'];
  /** As in `Entry`. */
  name: string;
  /** Of a regular file, in the newer tree and in the older one; bytes. */
  size: number | null;
  sizeBefore: number | null;
  /** What differs, if `change` is `attributes`. */
  attributes?: Attribute[];
  /** Tells a new or deleted file from all others, if it has other names. */
  inode?: string;
}

/** Two trees to compare: their paths, without symlinks on the way to them. */
export interface TwoTrees {
  before: string;
  after: string;
}

export interface DifferencesOptions {
  /** Where files are made. */
  directory: string;
  /** Unless one was made without sharing files with the other: then it is less work not to look for that. */
  mayShare: boolean;
  /** The content is compared, too, of files that agree in all else. */
  checksum: boolean;
  signal: AbortSignal;
  /** Called with the number of directories that this user may not look into. */
  onForbidden: (count: number) => void;
}

/**
 * The entries in which a tree differs from another, in the order of their names. A name that leads to the same
 * inode in both is unchanged, and a file with the same size and time has the same content, unless `checksum`
 * says to look. Follows no symlink.
 *
 * @throws MirrorlatchError IO when a tree cannot be read.
 */
export async function* differencesOf(
  trees: TwoTrees,
  options: DifferencesOptions,
): AsyncGenerator<Difference> {
  const { directory, signal } = options;
  const session = { inherit: [], signal };
  const names = await namesApart(trees, options);
  const found = new Spool<Suspect>();
  try {
    await eachName([names], directory, session, (name, records) => {
      if (isSameOnBothSides(records)) return;
      const has = (side: string) => records.some((record) => record.startsWith(side));
      // A tree that does not list a name may have a symlink on the way to it.
      found.add(judge(unescapeTabs(name), trees, { old: has('old'), new: has('new') }));
    });
    const turns = new Turns(signal);
    for (const { known, byContent } of found) {
      await turns.step();
      let difference = known;
      if (byContent !== undefined && options.checksum) {
        const { name } = byContent;
        const [one, other] = [bytePath(trees.before, name), bytePath(trees.after, name)];
        if (!(await hasSameContent(one, other, turns))) difference = byContent;
      }
      if (difference !== undefined) yield difference;
    }
  } finally {
    found.discard();
  }
}

/** What is known of an entry without its content, and what is so if that differs. */
interface Suspect {
  known?: Difference | undefined;
  byContent?: Difference;
}

/** A line that has moved, in a directory that lists its names in another order. */
function isSameOnBothSides(records: readonly string[]): boolean {
  const [one = '', other = ''] = records;
  return records.length === 2 && one.slice('new'.length) === other.slice('old'.length);
}

/**
 * What find(1) prints of a tree: lines that are equal in two trees only if the entries are. `inode` needs no
 * lstat(2) of anything but directories, which no two trees share.
 */
const PRINTED = {
  inode: [
    ...['-type', 'd', '-printf', 'd:%m:%U:%G:%T@:%D %P\\0'],
    ...['-o', '-printf', '%y:%i %P\\0'],
  ],
  status: [
    ...['-type', 'd', '-printf', 'd:%m:%U:%G:%T@ %P\\0'],
    ...['-o', '-type', 'f', '-printf', 'f:%s:%T@:%m:%U:%G %P\\0'],
    ...['-o', '-printf', '%y:%D:%i %P\\0'],
  ],
  // Without the content, only the same inode is known to be equal.
  doubt: [
    ...['-type', 'd', '-printf', 'd:%m:%U:%G:%T@ %P\\0'],
    ...['-o', '-printf', '%y:%D:%i %P\\0'],
  ],
};

/** Where a directory line of `PRINTED.inode` has the device, after so many colons. */
const DEVICE_FIELD = 5;

/** The names whose lines are not the same in both trees, or not in the same place. */
async function namesApart(trees: TwoTrees, options: DifferencesOptions): Promise<NameRecords> {
  const { before, after } = trees;
  const devices = [before, after].map((tree) => lstatIfThere(tree)?.dev);
  const [device] = devices;
  const areListed = device === devices[1] && listsInodeNumbers(before) && listsInodeNumbers(after);
  if (areListed) {
    // On another filesystem the numbers of inodes mean other files.
    let isMixed = false;
    const names = await compareLists(trees, 'inode', options, (fact) => {
      if (fact.startsWith('d:') && fact.split(':')[DEVICE_FIELD] !== String(device)) isMixed = true;
    });
    if (!isMixed) return names;
  }
  return compareLists(trees, options.checksum ? 'doubt' : 'status', options, () => {});
}

async function compareLists(
  { before, after }: TwoTrees,
  form: keyof typeof PRINTED,
  { directory, signal, onForbidden }: DifferencesOptions,
  onFact: (fact: string) => void,
): Promise<NameRecords> {
  const names = new NameRecords(join(directory, form));
  const stop = new AbortController();
  const outputs: Readable[] = [];
  const searches = Promise.all(
    [before, after].map((tree) =>
      findSlowly(
        [tree, ...PRINTED[form]],
        { signal: AbortSignal.any([signal, stop.signal]) },
        (output) => outputs.push(output),
      ),
    ),
  );
  try {
    const [older, newer] = outputs;
    if (older !== undefined && newer !== undefined) {
      const [one, other] = [linesOfOutput(older), linesOfOutput(newer)];
      await findLinesApart(one, other, signal, ({ side, line }) => {
        const end = line.indexOf(' ');
        const [fact, name] = [line.slice(0, end), line.slice(end + 1)];
        onFact(fact);
        names.add(escapeTabs(name || '.'), `${side}${fact}`);
      });
    }
    const results = await searches;
    signal.throwIfAborted();
    for (const [at, result] of results.entries()) {
      const failure = failureOf(result);
      if (failure === undefined) continue;
      throw new MirrorlatchError('IO', `${[before, after][at]} cannot be read: ${failure}`);
    }
    onForbidden(Math.max(...results.map(countForbidden)));
  } finally {
    names.close();
    stop.abort();
    for (const output of outputs) output.destroy();
    await searches.catch(() => {});
  }
  return names;
}

/** No tab may be in a name of `NameRecords`, but in a name of a file. */
function escapeTabs(name: string): string {
  return name.replaceAll('%', '%25').replaceAll('\t', '%09');
}

function unescapeTabs(name: string): string {
  return name.replaceAll('%09', '\t').replaceAll('%25', '%');
}

/** @param has which trees have the name. */
function judge(name: string, trees: TwoTrees, has: { old: boolean; new: boolean }): Suspect {
  const paths = { before: bytePath(trees.before, name), after: bytePath(trees.after, name) };
  const before = has.old ? lstatIfThere(paths.before) : undefined;
  const after = has.new ? lstatIfThere(paths.after) : undefined;
  if (after === undefined)
    return { known: before && { change: 'deleted', ...ofOne(name, before, 'before') } };
  if (before === undefined) return { known: { change: 'new', ...ofOne(name, after, 'after') } };
  if (before.ino === after.ino && before.dev === after.dev) return {};
  const type = typeOf(after);
  const found = { type, name, size: sizeOf(after), sizeBefore: sizeOf(before) };
  if (typeOf(before) !== type)
    return { known: { change: 'changed', ...found, typeBefore: typeOf(before) } };
  const changed: Difference = { change: 'changed', ...found };
  const isChanged =
    (after.isFile() && (before.size !== after.size || before.mtimeNs !== after.mtimeNs)) ||
    (after.isSymbolicLink() && targetOf(paths.before) !== targetOf(paths.after)) ||
    before.rdev !== after.rdev ||
    kindOf(before) !== kindOf(after);
  if (isChanged) return { known: changed };
  const attributes = attributesApart(before, after);
  return {
    ...(attributes.length > 0 ? { known: { change: 'attributes', ...found, attributes } } : {}),
    ...(after.isFile() ? { byContent: changed } : {}),
  };
}

function ofOne(
  name: string,
  status: BigIntStats,
  side: 'before' | 'after',
): Omit<Difference, 'change'> {
  const size = sizeOf(status);
  return {
    type: typeOf(status),
    name,
    size: side === 'after' ? size : null,
    sizeBefore: side === 'before' ? size : null,
    ...(status.isFile() && status.nlink > 1n ? { inode: `${status.dev}:${status.ino}` } : {}),
  };
}

function attributesApart(before: BigIntStats, after: BigIntStats): Attribute[] {
  const attributes: Attribute[] = [];
  if (before.mode !== after.mode) attributes.push('mode');
  if (before.uid !== after.uid) attributes.push('owner');
  if (before.gid !== after.gid) attributes.push('group');
  if (before.mtimeNs !== after.mtimeNs) attributes.push('mtime');
  return attributes;
}

function sizeOf(status: BigIntStats): number | null {
  return status.isFile() ? Number(status.size) : null;
}

function typeOf(status: BigIntStats): Entry['type'] {
  if (status.isFile()) return 'file';
  if (status.isDirectory()) return 'directory';
  if (status.isSymbolicLink()) return 'symlink';
  return status.isBlockDevice() || status.isCharacterDevice() ? 'device' : 'special';
}

/** The file type bits of st_mode (inode(7)). */
function kindOf({ mode }: BigIntStats): bigint {
  return mode & BigInt(constants.S_IFMT);
}

function targetOf(path: Buffer): string {
  return readlinkSync(path, { encoding: 'latin1' });
}
