import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { ifAllowed, readTextIfThere, writeWhole } from '../system/files.ts';
import type { Layout } from './layout.ts';
import { checkTreeSizes, parseJson } from './records.ts';
import { withReserve } from './reserve.ts';
import type { TreeSize } from './tree-size.ts';

/**
 * The sizes by directory that the tree of an in-place mirror had while it was last whole; `''` is the tree
 * itself. A writer changes that very tree, so afterwards there is nothing else to compare with. They stay in
 * staging until a tree is published: a second writer may only finish what the first one removed, and a
 * third what the second did.
 */
export type SizesBefore = ReadonlyMap<string, TreeSize>;

/** What earlier writers have recorded of a tree that is not whole, and this user may know. */
export function sizesBefore(layout: Layout, isWhole: boolean): SizesBefore {
  const text = isWhole ? undefined : ifAllowed(() => readTextIfThere(recordIn(layout)));
  const checked = checkTreeSizes(parseJson(text));
  return new Map('record' in checked ? checked.record : []);
}

/**
 * Adds to the record what it lacks, before a writer changes the tree.
 *
 * @param directories relative to the tree.
 * @param measure finds the size of one of them.
 * @returns all that is recorded.
 */
export function recordSizes(
  layout: Layout,
  isWhole: boolean,
  directories: readonly string[],
  measure: (directory: string) => TreeSize,
): SizesBefore {
  const sizes = new Map(sizesBefore(layout, isWhole));
  for (const directory of directories)
    if (!sizes.has(directory)) sizes.set(directory, measure(directory));
  const text = `${JSON.stringify([...sizes])}\n`;
  withReserve(layout, () => writeWhole(recordIn(layout), text, 0o600));
  return sizes;
}

/** Once a tree is published, the sizes before it are of no use. */
export function forgetSizes(layout: Layout): void {
  rmSync(recordIn(layout), { force: true });
}

function recordIn({ staging }: Layout): string {
  return join(staging, '.sizes.json');
}
