import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { readTextIfThere, writeWhole } from '../system/files.ts';
import { type Layout, LIVE } from './layout.ts';
import { checkTreeSizes, parseJson } from './records.ts';
import { withReserve } from './reserve.ts';
import { sizeBelow, type TreeSize } from './tree-size.ts';

/**
 * The sizes of directories as they were while the tree of an in-place mirror was last whole. A command of
 * `lock` changes that very tree, so afterwards there is nothing else to compare them with. They stay in
 * staging until a tree is published, because a second command may only finish what the first removed.
 *
 * @param directories with a limit of their own on what they may lose, relative to the tree.
 * @param isWhole whether the tree still is.
 */
export function sizesBefore(
  layout: Layout,
  directories: readonly string[],
  isWhole: boolean,
): Map<string, TreeSize> {
  const checked = checkTreeSizes(
    isWhole ? undefined : parseJson(readTextIfThere(recordIn(layout))),
  );
  const known = new Map('record' in checked ? checked.record : []);
  const tree = layout.snapshot(LIVE);
  const sizes = new Map(
    directories.map((directory) => [directory, known.get(directory) ?? sizeBelow(tree, directory)]),
  );
  const text = `${JSON.stringify([...sizes])}\n`;
  withReserve(layout, () => writeWhole(recordIn(layout), text, 0o600));
  return sizes;
}

/** Once a tree is published, the sizes before it are of no use. */
export function forgetSizesBefore(layout: Layout): void {
  rmSync(recordIn(layout), { force: true });
}

function recordIn({ staging }: Layout): string {
  return join(staging, '.sizes.json');
}
