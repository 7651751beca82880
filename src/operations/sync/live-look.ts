import { bytePath } from '../../mirror/byte-path.ts';
import type { Removal } from '../../mirror/plan-lists.ts';
import type { Entry } from '../../rsync/itemize.ts';
import { DELAYED, isDelayed } from '../../rsync/temporary-names.ts';
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
  /** The directories in which a killed pass has collected files. */
  readonly delayed = new Set<string>();
  readonly #leavesOut: ReturnType<typeof leavesOutOf>;
  readonly #isCollected: (entry: Entry) => boolean;

  constructor({ transfer, hasRemains, isRemains }: PlanContext, tree: string) {
    super();
    this.#leavesOut = leavesOutOf(transfer);
    // A directory of that name is not rsync's in a tree that is whole, nor is a file with two names: rsync
    // would write into both.
    this.#isCollected = (entry) =>
      hasRemains === true &&
      isDelayed(entry) &&
      isRemains(entry) &&
      (entry.type === 'directory' || hasOneName(bytePath(tree, entry.name)));
  }

  override add(entry: Entry): void {
    super.add(entry);
    const { change, type, name } = entry;
    if (change !== 'deleted') return;
    if (this.#isCollected(entry)) {
      if (type === 'directory') this.delayed.add(name);
      return;
    }
    // rsync lists what a directory holds before the directory itself, which has to be empty by then.
    const within = `${name}/${DELAYED}`;
    if (this.delayed.has(within)) this.unwanted.push({ name: within });
    // A rule of the user may exclude what a killed rsync has left, too.
    if (entry.isLeftOut || this.#leavesOut(entry) !== undefined) this.unwanted.push({ name });
    else this.deletions += 1;
  }
}

function hasOneName(path: Buffer): boolean {
  const found = lstatIfThere(path);
  return found?.isFile() === true && found.nlink === 1n;
}

/** Finds what differs between the source and the live tree. */
export function lookAtLive(
  context: SyncContext,
  tree: string,
  compare: readonly string[] = [],
  excluded: 'deleted' | 'kept' = 'deleted',
): Promise<LiveLook> {
  return makePlan(context, tree, () => new LiveDifferences(context, tree), compare, excluded);
}
