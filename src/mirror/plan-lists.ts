import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { TransferList } from '../rsync/arguments.ts';
import type { Entry } from '../rsync/itemize.ts';
import { parentOf } from './byte-path.ts';

const BUFFER_SIZE = 64 * 1024;

/** For a list of the top alone: it comes along with any name that begins with `./`. */
const NO_ENTRY = '.mirrorlatch-no-entry';

/** What has to go from a tree before its entry is transferred. */
export interface Removal {
  /** One character a byte (latin1). */
  name: string;
  /**
   * What of that name may stay all the same: a directory where one is wanted, or a file for rsync to
   * take unchanged parts from, where no other tree has it too.
   */
  unless?: 'directory' | 'own file';
}

/**
 * The names of a plan, written to two files as they come, so that a plan of a million entries needs
 * no memory: what to take out of the clone, and what rsync shall transfer.
 */
export class PlanLists {
  readonly #prefix: string;
  readonly #transferList: string;
  readonly #transfers: NameWriter;
  readonly #removals: NameWriter;
  readonly #removalList: string;
  /** Directories that lose an entry: their times are the source's again only if rsync sets them. */
  readonly #losing = new Set<string>();
  readonly #deletedDirectories = new Set<string>();
  #lastParent = '';
  #isTopOnly = false;

  /** @param prefix stands before each name that rsync shall transfer, see `listedFrom`. */
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

  /** Ends the lists; after this they can be used. */
  close(): void {
    for (const name of this.#losing) {
      if (!this.#deletedDirectories.has(name)) this.#withParents(name);
    }
    this.#isTopOnly = this.#transfers.isEmpty;
    if (this.#isTopOnly) this.#transfers.write(this.#prefix + NO_ENTRY);
    this.#transfers.close();
    this.#removals.close();
  }

  /** What rsync shall transfer; to be read when the lists are closed. */
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

  /**
   * A file that is created or removed changes the times of its directory, so that goes on the list,
   * and with it all above, which rsync would else make up. A directory goes without a trailing
   * slash: with one, rsync lists what is in it too. `./` keeps a leading `#` or `;` from being read
   * as a comment (rsync(1), --files-from), and brings the top along: as `.` that would be listed
   * with all that is in it, entries that nobody took out.
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

/** Writes names, each with a NUL behind it, to a file that only its owner can read. */
class NameWriter {
  readonly #descriptor: number;
  #buffer = '';
  #isEmpty = true;

  constructor(path: string) {
    this.#descriptor = openSync(path, 'w', 0o600);
  }

  get isEmpty(): boolean {
    return this.#isEmpty;
  }

  write(name: string): void {
    this.#isEmpty = false;
    this.#buffer += `${name}\0`;
    if (this.#buffer.length >= BUFFER_SIZE) this.#flush();
  }

  close(): void {
    this.#flush();
    closeSync(this.#descriptor);
  }

  #flush(): void {
    const bytes = Buffer.from(this.#buffer, 'latin1');
    for (let written = 0; written < bytes.length; ) {
      written += writeSync(this.#descriptor, bytes, written);
    }
    this.#buffer = '';
  }
}

function* readNames(path: string): Generator<string> {
  const descriptor = openSync(path, 'r');
  try {
    const buffer = Buffer.alloc(BUFFER_SIZE);
    let rest = '';
    for (let read = readSync(descriptor, buffer); read > 0; read = readSync(descriptor, buffer)) {
      const names = (rest + buffer.toString('latin1', 0, read)).split('\0');
      rest = names.pop() ?? '';
      yield* names;
    }
  } finally {
    closeSync(descriptor);
  }
}
