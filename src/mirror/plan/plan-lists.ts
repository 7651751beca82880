import { join } from 'node:path';
import type { TransferList } from '../../rsync/arguments.ts';
import type { Entry } from '../../rsync/itemize.ts';
import { parentOf } from '../byte-path.ts';
import { NameWriter, readNames } from '../name-list.ts';

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
  /** rsync may take unchanged parts from it, if no other tree shares it: it becomes a partial file. */
  isBasis?: true;
}

/** A name that is to share the file of another one, which stays as it is. Names as in `Removal`. */
export interface HardLink {
  name: string;
  to: string;
}

/** A directory that rsync is to make. */
export interface NewDirectory {
  name: string;
  /** Permission bits. */
  mode: number;
}

/**
 * The names of a plan, in two files: what to take out of the clone, and what rsync is to transfer.
 * They are written as they come, so that a plan of a million entries needs no memory.
 */
export class PlanLists {
  /** Whether the plan has hard links to entries that may stay. */
  hasLinks = false;
  /** The names of such links that rsync is to transfer, too. */
  readonly also = new Set<string>();
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

  add({ change, type, name, linkTo, mode = 0o700 }: Entry): void {
    const isDirectory = type === 'directory';
    if (change === 'deleted') {
      if (isDirectory) this.#deletedDirectories.add(name);
      this.#losing.add(parentOf(name));
      this.#removals.write(`f${name}`);
      return;
    }
    if (linkTo !== undefined) {
      this.hasLinks = true;
      this.#removals.write(`l${name}`);
      this.#removals.write(`=${linkTo}`);
      this.#withParents(name, false);
      return;
    }
    if (type === 'file' && change === 'changed') this.#removals.write(`c${name}`);
    else if (!isDirectory) this.#removals.write(`f${name}`);
    else if (change === 'new') this.#removals.write(`d${mode.toString(8)} ${name}`);
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
      if (line.startsWith('d')) yield { name: newDirectory(line).name, unless: 'directory' };
      else if (line.startsWith('c')) {
        // What is left after the removals is what stays, and can be linked to.
        yield this.hasLinks ? { name, isBasis: true } : { name, unless: 'own file' };
      } else if (!line.startsWith('=')) yield { name };
    }
  }

  /** Those above others first. */
  *newDirectories(): Generator<NewDirectory> {
    for (const line of readNames(this.#removalList))
      if (line.startsWith('d')) yield newDirectory(line);
  }

  *links(): Generator<HardLink> {
    let name = '';
    for (const line of readNames(this.#removalList)) {
      if (line.startsWith('=')) yield { name, to: line.slice(1) };
      else name = line.slice(1);
    }
  }

  /** Lets rsync transfer these names, too. */
  async transferAlso(names: AsyncIterable<string>): Promise<void> {
    const writer = new NameWriter(this.#transferList, 'append');
    try {
      for await (const name of names) {
        writer.write(this.#prefix + name);
        this.also.add(name);
      }
    } finally {
      writer.close();
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
   *
   * @param itself whether the entry goes on the list, too.
   */
  #withParents(name: string, itself = true): void {
    const parent = parentOf(name);
    if (parent !== this.#lastParent) {
      for (let above = parent; above !== '.'; above = parentOf(above))
        this.#transfers.write(this.#prefix + above);
      this.#lastParent = parent;
    }
    if (itself && name !== '.') this.#transfers.write(this.#prefix + name);
  }
}

/** @param line `d`, the mode in octal, a space and the name. */
function newDirectory(line: string): NewDirectory {
  const space = line.indexOf(' ');
  return { name: line.slice(space + 1), mode: Number.parseInt(line.slice(1, space), 8) };
}
