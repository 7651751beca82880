import type { Entry } from '../rsync/itemize.ts';
import type { SourceTotals } from '../rsync/progress.ts';
import { lstatIfThere } from '../system/files.ts';
import { bytePath } from './byte-path.ts';

/** How much a sync would change. */
export interface PlanFigures {
  newFiles: number;
  changedFiles: number;
  /** Entries of which only mode, owner or times change, and changed symlinks and devices. */
  otherChanges: number;
  deletedFiles: number;
  /** The most that would be transferred; bytes. */
  transferBytes: number;
  deletedBytes: number;
  /** Entries that need a new inode. */
  newInodes: number;
  /** The size of the whole source. */
  source: SourceTotals;
}

/** The figures of a sync that has nothing to do. */
export function noChanges(): PlanFigures {
  return {
    newFiles: 0,
    changedFiles: 0,
    otherChanges: 0,
    deletedFiles: 0,
    transferBytes: 0,
    deletedBytes: 0,
    newInodes: 0,
    source: { files: 0, directories: 0, entries: 0, bytes: 0 },
  };
}

/** What two plans change, one after the other. */
export function bothPlans(one: PlanFigures, next: PlanFigures): PlanFigures {
  return {
    newFiles: one.newFiles + next.newFiles,
    changedFiles: one.changedFiles + next.changedFiles,
    otherChanges: one.otherChanges + next.otherChanges,
    deletedFiles: one.deletedFiles + next.deletedFiles,
    transferBytes: one.transferBytes + next.transferBytes,
    deletedBytes: one.deletedBytes + next.deletedBytes,
    newInodes: one.newInodes + next.newInodes,
    source: next.source,
  };
}

/** Counts what rsync would change in a tree, from its itemized output. */
export class Plan {
  readonly figures = noChanges();
  /** Disk space that is freed as rsync replaces files that no other tree shares; bytes. */
  replacedBytes = 0;
  readonly #tree: string;
  readonly #keeps: (name: string) => boolean;
  #isEmpty = true;

  /**
   * @param tree the tree that the source is compared with.
   * @param keeps whether an entry stays although the source no longer has it.
   */
  constructor(tree: string, keeps: (name: string) => boolean) {
    this.#tree = tree;
    this.#keeps = keeps;
  }

  get isEmpty(): boolean {
    return this.#isEmpty;
  }

  /** @returns false if the entry stays as it is. */
  add(entry: Entry): boolean {
    const { change, name } = entry;
    if (change === 'deleted' && (this.#keeps(name) || !this.#has(entry))) return false;
    this.#isEmpty = false;
    if (change === 'deleted') this.#addDeleted(entry);
    else this.#addChanged(entry);
    return true;
  }

  /** rsync reports each unsafe symlink that it ignores as deleted, in every run. */
  #has({ type, name }: Entry): boolean {
    return type !== 'symlink' || lstatIfThere(bytePath(this.#tree, name)) !== undefined;
  }

  /** rsync prints neither size nor type of a deletion, but the tree still has the entry. */
  #addDeleted({ type, name }: Entry): void {
    const gone = type !== 'directory' ? lstatIfThere(bytePath(this.#tree, name)) : undefined;
    if (!gone?.isFile()) return;
    this.figures.deletedFiles += 1;
    this.figures.deletedBytes += Number(gone.size);
  }

  #addChanged({ change, type, name, size }: Entry): void {
    const { figures } = this;
    if (change === 'new' || type !== 'directory') figures.newInodes += 1;
    if (type !== 'file' || change === 'attributes') {
      figures.otherChanges += 1;
      return;
    }
    figures.transferBytes += size;
    if (change === 'new') figures.newFiles += 1;
    else {
      figures.changedFiles += 1;
      const old = lstatIfThere(bytePath(this.#tree, name));
      if (old?.isFile() && old.nlink === 1n) this.replacedBytes += Number(old.blocks) * 512;
    }
  }
}
