import { readdirSync } from 'node:fs';
import type { Entry, LeftOutEntry, LeftOutWhy } from '../../rsync/itemize.ts';
import type { SourceTotals } from '../../rsync/progress.ts';
import { lstatIfThere } from '../../system/files.ts';
import { bytePath } from '../byte-path.ts';
import type { WritableByAll } from '../history/history-line.ts';
import { RealParents } from '../trees/real-parents.ts';
import { noteWritable } from '../trees/writable.ts';
import { type LeftOut, LeftOutTally } from './left-out.ts';
import { bothLosses, LossCount, type Losses, repeatedLosses } from './losses.ts';

/** How much a sync would change. */
export interface PlanFigures {
  newFiles: number;
  changedFiles: number;
  /** Those among the new and the changed files that are only another name of a file. */
  linkedFiles: number;
  /** Entries of which only mode, owner or times change, and changed symlinks and devices. */
  otherChanges: number;
  deletedFiles: number;
  /** The most that would be transferred; bytes. */
  transferBytes: number;
  deletedBytes: number;
  /** Entries that need a new inode. */
  newInodes: number;
  /** The size of the whole source, without what is left out as far as rsync tells its size. */
  source: SourceTotals;
  leftOut: LeftOut[];
  /** What vanishes from the tree and from each directory that is guarded on its own. */
  lost: Losses;
  /** New and changed files and directories to which every user may write, and the first names. */
  writableByAll: WritableByAll;
}

/** The figures of a sync that has nothing to do. */
export function noChanges(): PlanFigures {
  return {
    newFiles: 0,
    changedFiles: 0,
    linkedFiles: 0,
    otherChanges: 0,
    deletedFiles: 0,
    transferBytes: 0,
    deletedBytes: 0,
    newInodes: 0,
    source: { files: 0, directories: 0, entries: 0, bytes: 0 },
    leftOut: [],
    lost: {},
    writableByAll: { count: 0, names: [] },
  };
}

/** The figures of a step that takes nothing from readers: what it deletes was never published. */
export function withoutLosses(figures: PlanFigures): PlanFigures {
  return { ...figures, deletedFiles: 0, deletedBytes: 0, lost: {} };
}

/** What two plans change, one after the other. */
export function bothPlans(one: PlanFigures, next: PlanFigures): PlanFigures {
  const sum = (a: number, b: number) => a + b;
  return { ...combined(one, next, sum), ...deletions(one, next, sum, bothLosses) };
}

/**
 * What is changed by a plan that failed and by the one that goes on from there: the latter repeats what
 * of the former has not been done. That may be anything.
 *
 * @param isAllDeleted nothing that the former deletes is left.
 */
export function repeatedPlan(
  failed: PlanFigures,
  next: PlanFigures,
  isAllDeleted: boolean,
): PlanFigures {
  const once = combined(failed, next, Math.max);
  if (isAllDeleted) return { ...once, ...deletions(failed, next, (a, b) => a + b, bothLosses) };
  return { ...once, ...deletions(failed, next, Math.max, repeatedLosses) };
}

type Deletions = Pick<PlanFigures, 'deletedFiles' | 'deletedBytes' | 'lost'>;
type Combine = (a: number, b: number) => number;

function combined(
  one: PlanFigures,
  next: PlanFigures,
  combine: Combine,
): Omit<PlanFigures, keyof Deletions> {
  return {
    newFiles: combine(one.newFiles, next.newFiles),
    changedFiles: combine(one.changedFiles, next.changedFiles),
    linkedFiles: combine(one.linkedFiles, next.linkedFiles),
    otherChanges: combine(one.otherChanges, next.otherChanges),
    transferBytes: combine(one.transferBytes, next.transferBytes),
    newInodes: combine(one.newInodes, next.newInodes),
    source: next.source,
    leftOut: next.leftOut,
    writableByAll: one.writableByAll,
  };
}

function deletions(
  one: PlanFigures,
  next: PlanFigures,
  combine: Combine,
  combineLosses: typeof bothLosses,
): Deletions {
  return {
    deletedFiles: combine(one.deletedFiles, next.deletedFiles),
    deletedBytes: combine(one.deletedBytes, next.deletedBytes),
    lost: combineLosses(one.lost, next.lost),
  };
}

/** How a plan judges entries beyond what rsync does. */
export interface PlanRules {
  /** Whether an entry stays although the source no longer has it. */
  keeps: (name: string) => boolean;
  /** Why an entry of the source is left out of the tree, if it is. */
  leavesOut: (entry: Entry) => LeftOutWhy | undefined;
  /** Whether an entry of the tree can be nothing but what a killed rsync left, which is no loss. */
  isRemains: (entry: Pick<Entry, 'name' | 'type'>) => boolean;
  /** Files by which one of this name is no loss either, if one of them is to be transferred. */
  mayBeMadeFor: (name: string) => readonly string[];
  /** Whether the tree is as a sync has left it that did not end well: then one that is there is enough. */
  hasRemains: boolean;
  /** Directories below which rsync would delete nothing, although the new tree has nothing there. */
  emptied: readonly string[];
  /** Whether to list what rsync would delete. */
  listsDeletions: boolean;
}

/** Counts what rsync would change in a tree, from its itemized output. */
export class Plan {
  readonly figures = noChanges();
  /** Disk space that is freed as rsync replaces files that no other tree shares; bytes. */
  replacedBytes = 0;
  /**
   * What rsync says that it deletes, if the rules ask for it; without remains and what is left out by
   * its name.
   */
  readonly deletionList: string[] = [];
  /** What is left out and has to be hidden from rsync, which would transfer it, or keep what the tree has. */
  readonly excluded: string[] = [];
  /** What the tree has of names that are left out. */
  readonly leftOutInTree: string[] = [];
  /** Whether rsync tries to delete a directory that stays, because of what a rule keeps in it. */
  hasKeptDirectories = false;
  /** Whether a name is to share a file with one that is left out, of which rsync knows nothing. */
  linksToLeftOut = false;
  /** Whether a name may differ of which rsync says nothing, see `Entry`. */
  hidesLinks = false;
  readonly #tree: string;
  readonly #rules: PlanRules;
  readonly #emptied: Set<string>;
  readonly #leftOut = new LeftOutTally();
  readonly #totalsLeftOut = { files: 0, directories: 0, entries: 0, bytes: 0 };
  readonly #losses: LossCount;
  readonly #realParents: RealParents;
  /** Deleted files that may be remains, and their sizes: a loss unless what they were made for comes. */
  readonly #doubtful = new Map<string, number>();
  /** Their names, by that of each file that they may have been made for. */
  readonly #madeFor = new Map<string, string[]>();
  /** Directories that stay, although rsync is about to list them as deleted. */
  readonly #kept = new Set<string>();
  #isEmpty = true;
  #isExact = true;

  /**
   * @param tree the tree that the source is compared with.
   * @param watched directories whose losses are counted on their own.
   */
  constructor(tree: string, rules: PlanRules, watched: readonly string[]) {
    this.#tree = tree;
    this.#realParents = new RealParents(tree);
    this.#rules = rules;
    this.#emptied = new Set(rules.emptied);
    this.figures.leftOut = this.#leftOut.list;
    this.#losses = new LossCount(watched, lstatIfThere(tree) !== undefined);
    this.figures.lost = this.#losses.losses;
  }

  get isEmpty(): boolean {
    return this.#isEmpty;
  }

  /** Whether the totals are those of the tree, because rsync tells the size of all that is left out. */
  get isExact(): boolean {
    return this.#isExact;
  }

  /** Whether the source says that it is being updated. */
  get isUpdating(): boolean {
    return this.#leftOut.has('update-mark');
  }

  /** @returns what is to change; undefined if the entry stays as it is. */
  add(entry: Entry): Entry | undefined {
    const { change, name, type, size } = entry;
    if (change === 'deleted') {
      if (type === 'directory' && this.#kept.delete(name)) return undefined;
      for (const directory of this.#emptied) {
        if (`${name}/`.startsWith(`${directory}/`)) this.#emptied.delete(directory);
      }
      if (this.#rules.listsDeletions && this.#rules.leavesOut(entry) === undefined)
        this.deletionList.push(name);
      return this.#remove(entry);
    }
    const why = this.#rules.leavesOut(entry);
    if (why !== undefined) {
      this.excluded.push(name);
      return this.leaveOut({ why, names: [name], type, size });
    }
    if (entry.linkTo !== undefined && this.#rules.leavesOut({ ...entry, name: entry.linkTo }))
      this.linksToLeftOut = true;
    if (entry.hidesLinks) this.hidesLinks = true;
    this.#isEmpty = false;
    this.#addChanged(entry);
    return entry;
  }

  /** @param name a directory that holds what a rule keeps. */
  keepDirectory(name: string): void {
    this.hasKeptDirectories = true;
    this.#kept.add(name);
  }

  /** @returns the removal of what the tree has under that name. */
  leaveOut(found: LeftOutEntry): Entry | undefined {
    const { names, type, size } = found;
    const [shortest, ...longer] = names;
    const has = (name: string) => lstatIfThere(bytePath(this.#tree, name)) !== undefined;
    // Of an ambiguous name the shortest may well be that of another entry, which stays.
    const name = longer.findLast(has) ?? shortest;
    this.#leftOut.add(found, name);
    this.#isExact &&= size !== undefined;
    this.#totalsLeftOut.entries += 1;
    if (type === 'file') this.#totalsLeftOut.files += 1;
    if (type === 'directory') this.#totalsLeftOut.directories += 1;
    if (type === 'file' || type === 'symlink') this.#totalsLeftOut.bytes += size ?? 0;
    if (!has(name) || (longer.length > 0 && name === shortest)) return undefined;
    this.leftOutInTree.push(name);
    const gone = { change: 'deleted', type: 'file', name, size: 0, modified: '' } as const;
    return this.#remove({ ...gone, isLeftOut: true });
  }

  /**
   * Takes over what an earlier plan has found to be left out.
   *
   * @param hidden what of it was hidden from this one.
   */
  hide({ figures: { leftOut } }: Plan, hidden: readonly string[]): void {
    this.figures.leftOut = leftOut;
    this.excluded.push(...hidden);
  }

  /** @returns the removals that rsync would not make, once it has named the others. */
  removeEmptied(): Entry[] {
    return [...this.#emptied].flatMap((directory) => {
      const path = bytePath(this.#tree, directory);
      if (!lstatIfThere(path)?.isDirectory()) return [];
      return readdirSync(path, { encoding: 'latin1' }).flatMap((entry) => {
        const name = `${directory}/${entry}`;
        const gone = { change: 'deleted', type: 'file', name, size: 0, modified: '' } as const;
        return this.#remove({ ...gone, isLeftOut: true }) ?? [];
      });
    });
  }

  #remove(entry: Entry): Entry | undefined {
    if (this.#rules.keeps(entry.name)) return undefined;
    this.#isEmpty = false;
    return { ...entry, size: this.#addDeleted(entry) };
  }

  /** @param source the totals of the source, with what is left out. */
  complete({ files, directories, entries, bytes }: SourceTotals): void {
    for (const [name, size] of this.#doubtful) this.#countDeleted(name, size);
    const less = this.#totalsLeftOut;
    this.figures.source = {
      files: files - less.files,
      directories: directories - less.directories,
      entries: entries - less.entries,
      bytes: bytes - less.bytes,
    };
  }

  /**
   * rsync prints neither size nor type of a deletion, but the tree still has the entry.
   *
   * @returns its size, if it is a file; bytes.
   */
  #addDeleted({ type, name, isLeftOut }: Entry): number {
    const gone = type !== 'directory' ? lstatIfThere(bytePath(this.#tree, name)) : undefined;
    // What lies below a directory is listed by rsync, unless it leaves out what replaces it.
    if (gone?.isDirectory() && isLeftOut) this.#addDeletedBelow(name);
    if (!gone?.isFile() || this.#rules.isRemains({ name, type })) return 0;
    const size = Number(gone.size);
    const originals = this.#rules.mayBeMadeFor(name);
    const isThere = (original: string) => lstatIfThere(bytePath(this.#tree, original))?.isFile();
    if (this.#rules.hasRemains && originals.some(isThere)) return 0;
    if (originals.length === 0) this.#countDeleted(name, size);
    else this.#doubtful.set(name, size);
    for (const original of originals) {
      const names = this.#madeFor.get(original);
      if (names === undefined) this.#madeFor.set(original, [name]);
      else names.push(name);
    }
    return size;
  }

  #countDeleted(name: string, size: number): void {
    this.figures.deletedFiles += 1;
    this.figures.deletedBytes += size;
    this.#losses.addDeleted(name, size);
  }

  #addDeletedBelow(directory: string): void {
    for (const entry of readdirSync(bytePath(this.#tree, directory), { encoding: 'latin1' })) {
      const name = `${directory}/${entry}`;
      this.#addDeleted({
        change: 'deleted',
        type: 'file',
        name,
        size: 0,
        modified: '',
        isLeftOut: true,
      });
    }
  }

  #addChanged({ change, type, name, size, isHardLink, isWritableByAll }: Entry): void {
    const { figures } = this;
    if (isWritableByAll && (type === 'file' || type === 'directory'))
      noteWritable(figures.writableByAll, name);
    if (!isHardLink && (change === 'new' || type !== 'directory')) figures.newInodes += 1;
    if (type !== 'file' || change === 'attributes') {
      figures.otherChanges += 1;
      // rsync lists no deletion of a file that something else replaces.
      const isIn = change === 'new' && this.#realParents.leadTo(name);
      const gone = isIn ? lstatIfThere(bytePath(this.#tree, name)) : undefined;
      if (gone?.isFile()) this.#countDeleted(name, Number(gone.size));
      return;
    }
    for (const remains of this.#madeFor.get(name) ?? []) this.#doubtful.delete(remains);
    if (isHardLink) figures.linkedFiles += 1;
    else figures.transferBytes += size;
    if (change === 'new') {
      figures.newFiles += 1;
      this.#losses.addNew(name, size);
    } else {
      figures.changedFiles += 1;
      const old = lstatIfThere(bytePath(this.#tree, name));
      if (old?.isFile()) this.#losses.addChanged(name, Number(old.size), size);
      if (old?.isFile() && old.nlink === 1n) this.replacedBytes += Number(old.blocks) * 512;
    }
  }
}
