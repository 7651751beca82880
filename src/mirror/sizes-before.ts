import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { ifAllowed, readTextIfThere, writeWhole } from '../system/files.ts';
import { type Layout, LIVE } from './layout.ts';
import { checkTreeSizes, parseJson } from './records.ts';
import { isContent } from './remains.ts';
import { withReserve } from './reserve.ts';
import { type TreeSizes, treeSizes } from './tree-size.ts';

/**
 * The sizes of the tree of an in-place mirror, without what a killed rsync has left.
 *
 * @param directories those to measure as well, relative to the tree.
 * @param inherit descriptors of locks to hold until the search has ended.
 */
export function measureLive(
  layout: Layout,
  directories: readonly string[],
  inherit: readonly number[],
): Promise<TreeSizes> {
  return treeSizes(layout.snapshot(LIVE), directories, isContent(layout), inherit);
}

/**
 * The sizes that the tree had while it was last whole. A writer changes that very tree, so afterwards there
 * is nothing else to compare with. They stay in staging until a tree is published: a second writer may only
 * finish what the first one removed, and a third what the second did.
 *
 * @param now what it has now; this counts where an earlier writer has recorded nothing.
 */
export function sizesBefore(layout: Layout, isWhole: boolean, now: TreeSizes): TreeSizes {
  return new Map([...now, ...(isWhole ? [] : recorded(layout))]);
}

/**
 * Records them before a writer changes the tree.
 *
 * @returns all that is recorded.
 */
export function recordSizes(layout: Layout, isWhole: boolean, now: TreeSizes): TreeSizes {
  const sizes = sizesBefore(layout, isWhole, now);
  // On a full disk, what is recorded need not be written again.
  if (isWhole || sizes.size > recorded(layout).size) {
    const text = `${JSON.stringify([...sizes])}\n`;
    withReserve(layout, () => writeWhole(recordIn(layout), text, 0o600));
  }
  return sizes;
}

/** Once a tree is published, the sizes before it are of no use. */
export function forgetSizes(layout: Layout): void {
  rmSync(recordIn(layout), { force: true });
}

/** What this user may know of it. */
function recorded(layout: Layout): TreeSizes {
  const text = ifAllowed(() => readTextIfThere(recordIn(layout)));
  const checked = checkTreeSizes(parseJson(text));
  return new Map('record' in checked ? checked.record : []);
}

function recordIn({ staging }: Layout): string {
  return join(staging, '.sizes.json');
}
