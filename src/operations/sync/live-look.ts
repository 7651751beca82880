import { parentOf, parentsOf } from '../../mirror/byte-path.ts';
import type { NewFiles } from '../../mirror/plan/basis.ts';
import type { Removal } from '../../mirror/plan/plan-lists.ts';
import type { Entry } from '../../rsync/itemize.ts';
import { isDelayed, mayBeMadeFor } from '../../rsync/temporary-names.ts';
import type { Collected } from './collected.ts';
import type { SyncContext } from './context.ts';
import { Differences, newFilesFor } from './differences.ts';
import { leavesOutOf } from './left-out.ts';
import { makePlan } from './make-plan.ts';
import type { Look } from './settle.ts';

export interface LiveLook extends Look {
  listener: LiveDifferences;
}

/** What differs from the live tree, and what of it goes before rsync's pass, which may not remove it. */
class LiveDifferences extends Differences {
  readonly unwanted: Removal[] = [];
  readonly newFiles: NewFiles;
  /** How many entries are left for rsync to delete. */
  deletions = 0;
  /** The size of the collected files from which the pass is to go on; bytes. */
  collectedBytes = 0;
  /** What else was collected. */
  readonly stale: Removal[] = [];
  readonly #leavesOut: ReturnType<typeof leavesOutOf>;
  readonly #left: LeftByPasses;
  readonly #listedUnfinished = new Set<string>();
  /** The directories with collected files, by each directory that holds one. */
  readonly #collectedIn = new Map<string, string[]>();
  /** Collected files of which no difference has been heard yet. */
  readonly #unclaimed: Map<string, { name: string; bytes: number }>;
  /** The directories of the others. */
  readonly #goesOnIn = new Set<string>();

  constructor(context: SyncContext, left: LeftByPasses) {
    super(context);
    this.newFiles = newFilesFor(context);
    this.#leavesOut = leavesOutOf(context.transfer);
    this.#left = left;
    this.#unclaimed = new Map(left.collected?.files);
    for (const name of left.collected?.others ?? []) this.unwanted.push({ name });
    for (const directory of left.collected?.directories ?? []) {
      for (const above of parentsOf(directory)) {
        const known = this.#collectedIn.get(above);
        if (known === undefined) this.#collectedIn.set(above, [directory]);
        else known.push(directory);
      }
    }
  }

  override add(entry: Entry): void {
    super.add(entry);
    this.newFiles.add(entry);
    const { change, type, name } = entry;
    // rsync can remove a directory, or put something else in its place, only once it is empty.
    const isGone = change === 'deleted';
    if (isGone ? type === 'directory' : type !== 'directory') this.#takeOutCollectedIn(name);
    if (isGone) this.#addDeleted(entry);
    else if (type === 'file' && change !== 'attributes') this.#claim(name);
  }

  override close(): void {
    super.close();
    this.newFiles.close();
    const goesOnIn = (directory: string) => this.#goesOnIn.has(directory);
    const directories = this.#left.collected?.directories ?? [];
    const files = [...this.#unclaimed.values()].map(({ name }) => name);
    // A whole directory rather than what it holds: an ordinary user may not empty it later.
    const names = [
      ...directories.filter((name) => !goesOnIn(name)),
      ...files.filter((name) => goesOnIn(parentOf(name))),
    ];
    this.stale.push(...names.map((name) => ({ name })));
    this.unwanted.push(...this.stale);
  }

  #addDeleted(entry: Entry): void {
    const { name } = entry;
    if (this.#left.collected !== undefined && isDelayed(entry)) return;
    // A rule of the user may exclude what a killed rsync has left, too.
    if (this.#leavesOut(entry) !== undefined) this.unwanted.push({ name });
    else {
      this.deletions += 1;
      if (mayBeMadeFor(name).length > 0) this.#listedUnfinished.add(name);
    }
  }

  #takeOutCollectedIn(directory: string): void {
    for (const name of this.#collectedIn.get(directory) ?? []) this.unwanted.push({ name });
  }

  /** @param name a file that is to come. */
  #claim(name: string): void {
    const collected = this.#unclaimed.get(name);
    if (collected !== undefined) {
      this.#unclaimed.delete(name);
      this.#goesOnIn.add(parentOf(collected.name));
      this.collectedBytes += collected.bytes;
    }
    const unfinished = this.#left.unfinished?.get(name);
    if (unfinished === undefined) return;
    this.unwanted.push({ name: unfinished });
    if (this.#listedUnfinished.delete(unfinished)) this.deletions -= 1;
  }
}

/** What passes have left in the tree that failed. */
export interface LeftByPasses {
  collected?: Collected | undefined;
  /** See `byOriginal`. */
  unfinished?: ReadonlyMap<string, string> | undefined;
}

/** Files that may be unfinished, by the name of each file that one may have become. */
export function byOriginal(files: readonly string[]): Map<string, string> {
  return new Map(files.flatMap((name) => mayBeMadeFor(name).map((original) => [original, name])));
}

export interface LookOptions {
  /** More options for rsync. */
  compare?: readonly string[];
  /** Whether what the user's rules exclude counts as deleted; by default it does. */
  excluded?: 'deleted' | 'kept';
  left?: LeftByPasses;
}

/** Finds what differs between the source and the live tree. */
export function lookAtLive(
  context: SyncContext,
  tree: string,
  { compare = [], excluded = 'deleted', left = {} }: LookOptions = {},
): Promise<LiveLook> {
  const listen = () => new LiveDifferences(context, left);
  return makePlan(context, tree, listen, compare, excluded);
}
