import { bytePath, parentsOf } from '../../mirror/byte-path.ts';
import type { Removal } from '../../mirror/plan-lists.ts';
import type { Entry } from '../../rsync/itemize.ts';
import { isDelayed, mayBeMadeFor } from '../../rsync/temporary-names.ts';
import { lstatIfThere } from '../../system/files.ts';
import type { PlanContext, SyncContext } from './context.ts';
import { Differences } from './differences.ts';
import { leavesOutOf } from './left-out.ts';
import { makePlan } from './make-plan.ts';
import type { Look } from './settle.ts';

export interface LiveLook extends Look {
  listener: LiveDifferences;
}

/** What differs from the live tree, and what of it goes before rsync's pass, which may not remove it. */
class LiveDifferences extends Differences {
  readonly unwanted: Removal[] = [];
  /** How many entries are left for rsync to delete. */
  deletions = 0;
  /** What a killed pass has collected, from which the next one goes on; bytes. */
  collectedBytes = 0;
  /** What of that the source has no longer, or in the tree already. */
  readonly stale: Removal[] = [];
  readonly #leavesOut: ReturnType<typeof leavesOutOf>;
  readonly #tree: string;
  readonly #mayBeCollected: (entry: Entry) => boolean;
  readonly #unfinished: UnfinishedFiles;
  readonly #listedUnfinished = new Set<string>();
  /** What a killed pass has collected, by the name that it is to get. */
  readonly #collected = new Map<string, { name: string; bytes: number }>();
  /** The directories in which that lies, by each directory that holds one. */
  readonly #collectedIn = new Map<string, string[]>();

  constructor(
    { transfer, hasRemains, isRemains }: PlanContext,
    tree: string,
    unfinished: UnfinishedFiles,
  ) {
    super();
    this.#leavesOut = leavesOutOf(transfer);
    this.#unfinished = unfinished;
    this.#tree = tree;
    // In a tree that is whole, a directory of that name is not rsync's.
    this.#mayBeCollected = (entry) => hasRemains === true && isDelayed(entry) && isRemains(entry);
  }

  override add(entry: Entry): void {
    super.add(entry);
    const { change, type, name } = entry;
    if (change === 'deleted') this.#addDeleted(entry);
    // rsync can put nothing else in the place of a directory that is not empty.
    else if (type !== 'directory') this.#takeOutCollectedIn(name);
    if (type === 'file' && (change === 'new' || change === 'changed')) {
      this.#takeOutUnfinished(this.#unfinished.get(name));
      this.collectedBytes += this.#collected.get(name)?.bytes ?? 0;
      this.#collected.delete(name);
    }
  }

  override close(): void {
    super.close();
    for (const { name } of this.#collected.values()) this.stale.push({ name });
    this.unwanted.push(...this.stale);
  }

  #addDeleted(entry: Entry): void {
    const { type, name } = entry;
    if (this.#mayBeCollected(entry) && this.#addCollected(entry)) return;
    if (type === 'directory') this.#takeOutCollectedIn(name);
    // A rule of the user may exclude what a killed rsync has left, too.
    if (entry.isLeftOut || this.#leavesOut(entry) !== undefined) this.unwanted.push({ name });
    else {
      this.deletions += 1;
      if (mayBeMadeFor(name).length > 0) this.#listedUnfinished.add(name);
    }
  }

  /** @returns false for a file with two names: rsync would write into both. */
  #addCollected({ type, name }: Entry): boolean {
    if (type !== 'directory') {
      const found = lstatIfThere(bytePath(this.#tree, name));
      if (!found?.isFile() || found.nlink > 1n) return false;
      const [original = name] = mayBeMadeFor(name);
      this.#collected.set(original, { name, bytes: Number(found.blocks) * 512 });
      return true;
    }
    for (const above of parentsOf(name)) {
      const known = this.#collectedIn.get(above);
      if (known === undefined) this.#collectedIn.set(above, [name]);
      else known.push(name);
    }
    return true;
  }

  /** rsync lists what a directory holds before that goes. */
  #takeOutCollectedIn(directory: string): void {
    for (const name of this.#collectedIn.get(directory) ?? []) this.unwanted.push({ name });
  }

  #takeOutUnfinished(name: string | undefined): void {
    if (name === undefined) return;
    this.unwanted.push({ name });
    if (this.#listedUnfinished.delete(name)) this.deletions -= 1;
  }
}

/** Files that a failed pass may have left unfinished, by the name of each file that one may become. */
export type UnfinishedFiles = ReadonlyMap<string, string>;

export interface LookOptions {
  /** More options for rsync. */
  compare?: readonly string[];
  /** Whether what the user's rules exclude counts as deleted; by default it does. */
  excluded?: 'deleted' | 'kept';
  /** They go if the file that one was to become is still to come. */
  unfinished?: UnfinishedFiles;
}

/** Finds what differs between the source and the live tree. */
export function lookAtLive(
  context: SyncContext,
  tree: string,
  { compare = [], excluded = 'deleted', unfinished = new Map() }: LookOptions = {},
): Promise<LiveLook> {
  const listen = () => new LiveDifferences(context, tree, unfinished);
  return makePlan(context, tree, listen, compare, excluded);
}
