import { lstatIfThere, readTextIfThere, writeWhole } from '../../system/files.ts';
import type { Layout } from '../layout.ts';
import { withReserve } from '../reserve.ts';
import { checkListedTree, type ListedTree, parseJson } from '../settings/records.ts';

export type { ListedTree } from '../settings/records.ts';

/**
 * What is known of a snapshot that agrees with the list of files in it: only what differs between that list
 * and the next one then differs from it. Lost, it costs one look at everything.
 *
 * @returns undefined unless the snapshot is known to agree with this list.
 */
export function listedTree(layout: Layout, id: string, list: string): ListedTree | undefined {
  const checked = checkListedTree(parseJson(readTextIfThere(layout.fileList)));
  if (!('record' in checked)) return undefined;
  const { record } = checked;
  const isIt = record.id === id && record.birth === birthOf(layout.snapshot(id));
  return isIt && record.list === list ? record : undefined;
}

/** @param tree that of the snapshot, which may still lie in staging. */
export function recordListedTree(
  layout: Layout,
  tree: string,
  listed: Omit<ListedTree, 'birth'>,
): void {
  const text = `${JSON.stringify({ ...listed, birth: birthOf(tree) })}\n`;
  withReserve(layout, () => writeWhole(layout.fileList, text));
}

function birthOf(tree: string): string {
  const found = lstatIfThere(tree);
  return `${found?.ino} ${found?.birthtimeNs}`;
}
