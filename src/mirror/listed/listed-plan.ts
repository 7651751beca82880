import { readdirSync } from 'node:fs';
import type { Entry } from '../../rsync/itemize.ts';
import type { SourceTotals } from '../../rsync/progress.ts';
import { lstatIfThere } from '../../system/files.ts';
import { bytePath, parentOf } from '../byte-path.ts';
import { readableName } from '../names.ts';
import { RealParents } from '../trees/real-parents.ts';
import { FileListFault, type ListedEntry } from './file-list.ts';
import type { ListedChange } from './listed-changes.ts';
import { type Found, foundOf } from './listed-check.ts';

/**
 * Turns what has changed in a list of a tree into what rsync would say of the tree. A list that makes no
 * tree of it is refused, before anything is done: one that names an entry in a directory that it does not
 * name, or that drops a directory and not all that is in it.
 *
 * Changes come in the order of `ListedChanges`.
 */
export class ListedPlan {
  /** By how much the totals of the source change. */
  readonly growth: SourceTotals = { files: 0, directories: 0, entries: 0, bytes: 0 };
  readonly #tree: string;
  readonly #isLeftOut: (entry: Pick<Entry, 'name' | 'type'>) => boolean;
  readonly #parents: RealParents;
  /** How many entries go of each directory that goes. */
  readonly #leaving = new Map<string, number>();
  readonly #coming = new Set<string>();

  /**
   * @param tree what the list before describes.
   * @param isLeftOut whether an entry of that name never gets into a tree.
   */
  constructor(tree: string, isLeftOut: (entry: Pick<Entry, 'name' | 'type'>) => boolean) {
    this.#tree = tree;
    this.#isLeftOut = isLeftOut;
    this.#parents = new RealParents(tree);
  }

  /**
   * @returns what is to change in the tree; nothing if it is so already.
   * @throws FileListFault
   */
  entriesOf({ name, before, after }: ListedChange): Entry[] {
    const there = this.#find(name);
    const listed = after.entry ?? before.entry;
    if (listed !== undefined && this.#isLeftOut({ name, type: listed.type }))
      throw fault(`is about ${shown(name)}, which is left out by its name`);
    // An upstream need not serve what not everyone may read, and links that lead out of the tree stay out.
    if (there === undefined && before.entry !== undefined && !before.entry.isRestricted)
      throw fault(`is about ${shown(name)}, which ${this.#tree} lacks`);
    if (before.entry !== undefined && there !== undefined && there.type !== before.entry.type)
      throw fault(`had ${shown(name)} as a ${before.entry.type} before`);
    if (after.entry !== undefined) return this.#changed(name, there, after.entry);
    if (before.entry === undefined) return this.#rewritten(name, there);
    return there === undefined ? [] : this.#gone(name, there);
  }

  /** To be called at the end. @throws FileListFault */
  refuseHoles(): void {
    for (const [directory, count] of this.#leaving) {
      if (readdirSync(bytePath(this.#tree, directory)).length !== count)
        throw fault(`drops ${shown(directory)}, but not all that is in it`);
    }
  }

  /** Only its checksum differs: it has been written twice within a second. */
  #rewritten(name: string, there: Found | undefined): Entry[] {
    if (there?.type !== 'file') throw fault(`has a checksum of ${shown(name)}, which is no file`);
    return [{ change: 'changed', type: 'file', name, size: there.size, modified: '' }];
  }

  #gone(name: string, there: Found): Entry[] {
    this.#count(there, -1);
    this.#leave(name, there);
    const type = there.type === 'directory' ? 'directory' : 'file';
    return [{ change: 'deleted', type, name, size: 0, modified: '' }];
  }

  #changed(name: string, there: Found | undefined, after: ListedEntry): Entry[] {
    if (after.isRestricted) throw fault(`has ${shown(name)}, which not everyone may read`);
    this.#refuseWithoutParent(name);
    const { type, size } = after;
    const entry = { type, name, size: type === 'directory' ? 0 : size, modified: '' };
    this.#count({ type, size }, 1);
    if (there !== undefined) this.#count(there, -1);
    if (there?.type === type)
      return [{ ...entry, change: type === 'directory' ? 'attributes' : 'changed' }];
    if (there !== undefined) this.#leave(name, there);
    if (type === 'directory') this.#coming.add(name);
    return [{ ...entry, change: 'new' }];
  }

  #refuseWithoutParent(name: string): void {
    const parent = parentOf(name);
    const isThere = this.#parents.leadTo(name) && !this.#leaving.has(parent);
    if (!isThere && !this.#coming.has(parent))
      throw fault(`has ${shown(name)}, but not its directory`);
  }

  #leave(name: string, { type }: Found): void {
    const parent = parentOf(name);
    const count = this.#leaving.get(parent);
    if (count !== undefined) this.#leaving.set(parent, count + 1);
    if (type === 'directory') this.#leaving.set(name, 0);
  }

  #count({ type, size }: Pick<Found, 'type' | 'size'>, by: 1 | -1): void {
    this.growth.entries += by;
    if (type === 'file') this.growth.files += by;
    if (type === 'directory') this.growth.directories += by;
    else this.growth.bytes += by * size;
  }

  #find(name: string): Found | undefined {
    const found = this.#parents.leadTo(name) ? lstatIfThere(bytePath(this.#tree, name)) : undefined;
    return found && foundOf(found);
  }
}

function fault(why: string): FileListFault {
  return new FileListFault(why);
}

function shown(name: string): string {
  return readableName(name).name;
}
