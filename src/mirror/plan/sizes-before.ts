import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { ifAllowed, readTextIfThere, writeWhole } from '../../system/files.ts';
import type { Layout } from '../layout.ts';
import { withReserve } from '../reserve.ts';
import { checkRecordedSizes, parseJson, type RecordedSizes } from '../settings/records.ts';
import type { TreeSize } from '../trees/tree-size.ts';

/** Sizes of the tree of an in-place mirror, as far as they are known. */
export interface LiveSizes extends Omit<RecordedSizes, 'within'> {
  /** Those of directories in it. */
  within: ReadonlyMap<string, TreeSize>;
}

/**
 * The sizes that the tree had when it was last whole, as far as they are recorded and this user may know. A
 * writer changes that very tree, so afterwards there is nothing else to compare with. They stay in staging
 * until a tree is published: a second writer may only finish what the first one removed, and a third what the
 * second did.
 */
export function sizesBefore(layout: Layout, isWhole: boolean): LiveSizes {
  const text = isWhole ? undefined : ifAllowed(() => readTextIfThere(recordIn(layout)));
  const checked = checkRecordedSizes(parseJson(text));
  if (!('record' in checked)) return { within: new Map() };
  return { ...checked.record, within: new Map(checked.record.within) };
}

/**
 * Records them before a writer changes the tree.
 *
 * @param now what they are now; this counts where an earlier writer has recorded nothing.
 * @returns all that is recorded.
 */
export function recordSizes(layout: Layout, isWhole: boolean, now: LiveSizes): LiveSizes {
  const before = sizesBefore(layout, isWhole);
  const sizes = { ...now, ...before, within: new Map([...now.within, ...before.within]) };
  const text = textOf(sizes);
  // On a full disk, what is recorded need not be written again.
  if (text !== textOf(before)) withReserve(layout, () => writeWhole(recordIn(layout), text, 0o600));
  return sizes;
}

function textOf({ source, tree, within }: LiveSizes): string {
  return `${JSON.stringify({ source, tree, within: [...within] })}\n`;
}

/** Once a tree is published, the sizes before it are of no use. */
export function forgetSizes(layout: Layout): void {
  rmSync(recordIn(layout), { force: true });
}

function recordIn({ staging }: Layout): string {
  return join(staging, '.sizes.json');
}
