import { join } from 'node:path';
import type { TransferList } from '../rsync/arguments.ts';
import type { Entry } from '../rsync/itemize.ts';
import { parentOf } from './byte-path.ts';
import { NameWriter, readNames } from './name-list.ts';

/** Stands in a list for the top directory alone, which any name that begins with `./` implies. */
export const NO_ENTRY = '.mirrorlatch-no-entry';

/** An entry to take out of a tree, because rsync transfers it or the source has deleted it. */
export interface Removal {
  /** One character per byte (latin1). */
  name: string;
  /**
   * What may stay under that name: a `directory`, if one is transferred, or an `own file`, which no
   * other tree shares and which rsync can take unchanged parts from.
   */
  unless?: 'directory' | 'own file';
}

/**
 * The names of a plan, in two files: what to take out of the clone, and what rsync is to transfer.
 * They are written as they come, so that a plan of a million entries needs no memory.
 */
export class PlanLists {
  readonly #prefix: string;
  readonly #transferList: string;
  readonly #transfers: NameWriter;
  readonly #removals: NameWriter;
  readonly #removalList: string;
  /** Directories that lose an entry, and whose times rsync therefore has to set again. */
  readonly #losing = new Set<string>();
  readonly #deletedDirectories = new Set<string>();
  #lastParent = '';
  #isTopOnly = false;

  /**
   * @param directory where the two files are made.
   * @param prefix precedes each name in the transfer list, see `listedFrom`.
   */
  constructor(directory: string, prefix: string) {
    this.#prefix = prefix;
    this.#transferList = join(directory, '.transfer');
    this.#removalList = join(directory, '.removal');
    this.#transfers = new NameWriter(this.#transferList);
    this.#removals = new NameWriter(this.#removalList);
  }

  add({ change, type, name }: Entry): void {
    const isDirectory = type === 'directory';
    if (change === 'deleted') {
      if (isDirectory) this.#deletedDirectories.add(name);
      this.#losing.add(parentOf(name));
      this.#removals.write(`f${name}`);
      return;
    }
    if (type === 'file' && change === 'changed') this.#removals.write(`c${name}`);
    else if (!isDirectory) this.#removals.write(`f${name}`);
    else if (change === 'new') this.#removals.write(`d${name}`);
    this.#withParents(name);
  }

  /** Completes the lists, which can be read from then on. */
  close(): void {
    for (const name of this.#losing) {
      if (!this.#deletedDirectories.has(name)) this.#withParents(name);
    }
    this.#isTopOnly = this.#transfers.isEmpty;
    if (this.#isTopOnly) this.#transfers.write(this.#prefix + NO_ENTRY);
    this.#transfers.close();
    this.#removals.close();
  }

  /** What rsync is to transfer; valid after `close`. */
  get transfers(): TransferList {
    return { path: this.#transferList, namesNoEntry: this.#isTopOnly };
  }

  *removals(): Generator<Removal> {
    for (const line of readNames(this.#removalList)) {
      const name = line.slice(1);
      if (line.startsWith('d')) yield { name, unless: 'directory' };
      else if (line.startsWith('c')) yield { name, unless: 'own file' };
      else yield { name };
    }
  }

  /** The names that rsync is to transfer, and their parents. */
  *transferred(): Generator<string> {
    if (this.#isTopOnly) return;
    for (const listed of readNames(this.#transferList)) yield listed.slice(this.#prefix.length);
  }

  /**
   * Creating or removing a file changes the times of its directory, so the directory goes on the
   * list, and all its parents, which rsync would otherwise create with default attributes. Names of
   * directories have no trailing slash, because with one, rsync also transfers their content. The
   * prefix `./` keeps a leading `#` or `;` from starting a comment (rsync(1), --files-from), and
   * implies the top directory. Listing that as `.` would also list all its entries, including those
   * that were not taken out.
   */
  #withParents(name: string): void {
    const parent = parentOf(name);
    if (parent !== this.#lastParent) {
      for (let above = parent; above !== '.'; above = parentOf(above))
        this.#transfers.write(this.#prefix + above);
      this.#lastParent = parent;
    }
    if (name !== '.') this.#transfers.write(this.#prefix + name);
  }
}
