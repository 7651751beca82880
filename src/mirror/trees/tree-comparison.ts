import { type BigIntStats, constants, readdirSync, readlinkSync } from 'node:fs';
import { Turns } from '../../system/event-loop.ts';
import { lstatIfThere } from '../../system/files.ts';
import { bytePath } from '../byte-path.ts';
import { LossCount } from '../plan/losses.ts';
import { noChanges, type PlanFigures } from '../plan/plan.ts';
import { hasSameContent } from './same-content.ts';
import { noteWritable } from './writable.ts';

export interface ComparisonOptions {
  /** The path of the tree to compare with, if there is one. */
  base: string | undefined;
  /**
   * A ctime; ns since the epoch. Files with an earlier ctime are as they were cloned from `base`.
   * For later ones the content is compared too, if all else is equal.
   */
  since: bigint;
  /** Which names share a file counts, too. */
  hardLinks?: boolean;
  /** Directories whose losses are counted on their own. */
  watched: readonly string[];
  signal: AbortSignal;
}

/** A `since` later than any ctime: no file is compared by content; ns. */
export const NO_CONTENT = 2n ** 63n;

export interface TreeComparison {
  isEqual: boolean;
  /** The tree has no entries. */
  isEmpty: boolean;
  /** What would have to change to turn `base` into this tree; of modes, what `touched` counts. */
  figures: PlanFigures;
  /** What was made or changed since `since`; directories count as entries, too. */
  touched: { entries: number; files: number; bytes: number };
}

/**
 * Counts the content of a tree and compares it with another: names, types, sizes, times in
 * nanoseconds, modes, owners, link targets and devices. Follows no symlink.
 */
export function compareTrees(tree: string, options: ComparisonOptions): Promise<TreeComparison> {
  return new Walk(tree, options).compare();
}

class Walk {
  readonly #figures = noChanges();
  readonly #touched = { entries: 0, files: 0, bytes: 0 };
  readonly #tree: string;
  readonly #base: string | undefined;
  readonly #since: bigint;
  readonly #turns: Turns;
  readonly #losses: LossCount;
  readonly #hardLinks: boolean;
  /** The inode numbers of counted files with several names. */
  readonly #linked = new Set<bigint>();
  #isDifferent = false;
  /** Files whose content has to be compared; empty once a difference is known. */
  #doubtful: string[] = [];

  constructor(
    tree: string,
    { base, since, hardLinks = false, watched, signal }: ComparisonOptions,
  ) {
    this.#tree = tree;
    this.#base = base;
    this.#since = since;
    this.#hardLinks = hardLinks;
    this.#turns = new Turns(signal);
    this.#losses = new LossCount(watched, base !== undefined);
    this.#figures.lost = this.#losses.losses;
  }

  async compare(): Promise<TreeComparison> {
    await this.#visit('', this.#base !== undefined);
    await this.#lookInto(this.#doubtful);
    return {
      isEqual: !this.#isDifferent,
      // The tree itself is an entry.
      isEmpty: this.#figures.source.entries <= 1,
      figures: this.#figures,
      touched: this.#touched,
    };
  }

  /** Compares contents until one differs. */
  async #lookInto(names: readonly string[]): Promise<void> {
    for (const name of names) {
      const [ours, theirs] = [this.#in(this.#tree, name), this.#in(this.#base ?? '', name)];
      if (await hasSameContent(ours, theirs, this.#turns)) continue;
      this.#isDifferent = true;
      this.#figures.changedFiles += 1;
      const size = lstatIfThere(this.#in(this.#tree, name))?.size ?? 0n;
      this.#figures.transferBytes += Number(size);
      return;
    }
  }

  /** @param isInBase whether the path leads through real directories in the base too. */
  async #visit(name: string, isInBase: boolean): Promise<void> {
    const found = lstatIfThere(this.#in(this.#tree, name));
    if (found === undefined) return;
    await this.#turns.step();
    const base = isInBase ? this.#base : undefined;
    const original = base === undefined ? undefined : lstatIfThere(this.#in(base, name));
    const { source } = this.#figures;
    source.entries += 1;
    if (found.isFile()) source.files += 1;
    // rsync counts a symlink with the length of its target.
    if (found.isFile() || found.isSymbolicLink()) source.bytes += Number(found.size);
    if (found.ctimeNs >= this.#since) this.#addTouched(name, found);
    if (original?.isDirectory() && !found.isDirectory()) await this.#countDeleted(name, original);
    this.#judge(name, found, original);
    if (!found.isDirectory()) return;
    source.directories += 1;
    const names = new Set(this.#namesIn(this.#tree, name));
    if (base !== undefined && original?.isDirectory()) {
      for (const entry of this.#namesIn(base, name)) {
        const gone = below(name, entry);
        const status = names.has(entry) ? undefined : lstatIfThere(this.#in(base, gone));
        if (status !== undefined) await this.#countDeleted(gone, status);
      }
    }
    for (const entry of names) {
      await this.#visit(below(name, entry), original?.isDirectory() === true);
    }
  }

  #judge(name: string, found: BigIntStats, original: BigIntStats | undefined): void {
    const kind = kindOf(found);
    if (original === undefined || kindOf(original) !== kind) {
      this.#isDifferent = true;
      if (found.isFile()) {
        this.#addContent('newFiles', found);
        this.#losses.addNew(name, Number(found.size));
      } else this.#figures.otherChanges += 1;
      if (original?.isFile()) this.#addDeletedFile(name, original);
      return;
    }
    const isSameFile = found.ino === original.ino && found.dev === original.dev;
    if (isSameFile) return;
    const hasSameContent =
      !found.isFile() || (found.size === original.size && found.mtimeNs === original.mtimeNs);
    const hasSameAttributes =
      found.mtimeNs === original.mtimeNs &&
      found.mode === original.mode &&
      found.uid === original.uid &&
      found.gid === original.gid &&
      found.rdev === original.rdev &&
      (!found.isSymbolicLink() || this.#hasSameTarget(name));
    if (!hasSameContent) {
      this.#addContent('changedFiles', found);
      this.#losses.addChanged(name, Number(original.size), Number(found.size));
    } else if (!hasSameAttributes) this.#figures.otherChanges += 1;
    // It may share its file with other names than before.
    const isLinked = this.#hardLinks && !found.isDirectory() && found.nlink > 1n;
    if (!hasSameContent || !hasSameAttributes || isLinked) this.#isDifferent = true;
    if (this.#isDifferent) this.#doubtful = [];
    else if (found.isFile() && found.ctimeNs >= this.#since) this.#doubtful.push(name);
  }

  #addTouched(name: string, found: BigIntStats): void {
    this.#touched.entries += 1;
    // What has this very ctime may be the clone's last work, in the same tick of the clock.
    const isOfCommand = found.ctimeNs > this.#since && (found.isFile() || found.isDirectory());
    if (isOfCommand && (found.mode & 0o002n) !== 0n)
      noteWritable(this.#figures.writableByAll, name || '.');
    if (!found.isFile()) return;
    this.#touched.files += 1;
    this.#touched.bytes += Number(found.size);
  }

  #addContent(kind: 'newFiles' | 'changedFiles', { size, ino, nlink }: BigIntStats): void {
    this.#figures[kind] += 1;
    if (this.#hardLinks && nlink > 1n && this.#linked.has(ino)) {
      this.#figures.linkedFiles += 1;
      return;
    }
    if (this.#hardLinks && nlink > 1n) this.#linked.add(ino);
    this.#figures.transferBytes += Number(size);
  }

  #addDeletedFile(name: string, { size }: BigIntStats): void {
    this.#figures.deletedFiles += 1;
    this.#figures.deletedBytes += Number(size);
    this.#losses.addDeleted(name, Number(size));
  }

  async #countDeleted(name: string, status: BigIntStats): Promise<void> {
    await this.#turns.step();
    this.#isDifferent = true;
    if (status.isFile()) this.#addDeletedFile(name, status);
    if (!status.isDirectory() || this.#base === undefined) return;
    for (const entry of this.#namesIn(this.#base, name)) {
      const gone = below(name, entry);
      const inside = lstatIfThere(this.#in(this.#base, gone));
      if (inside !== undefined) await this.#countDeleted(gone, inside);
    }
  }

  #hasSameTarget(name: string): boolean {
    const [ours, theirs] = [this.#tree, this.#base ?? ''].map((tree) =>
      readlinkSync(this.#in(tree, name), { encoding: 'latin1' }),
    );
    return ours === theirs;
  }

  #in(tree: string, name: string): Buffer {
    return name === '' ? Buffer.from(tree) : bytePath(tree, name);
  }

  #namesIn(tree: string, name: string): string[] {
    return readdirSync(this.#in(tree, name), { encoding: 'latin1' });
  }
}

function below(directory: string, entry: string): string {
  return directory === '' ? entry : `${directory}/${entry}`;
}

/** The file type bits of st_mode (inode(7)). */
function kindOf({ mode }: BigIntStats): bigint {
  return mode & BigInt(constants.S_IFMT);
}
