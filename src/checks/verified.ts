import { renameSync } from 'node:fs';
import type { Layout } from '../mirror/layout.ts';
import { NameWriter, readNames } from '../mirror/name-list.ts';
import { checkVerifiedHeader, parseJson } from '../mirror/settings/records.ts';
import { type Line, parseLine } from '../mirror/sums/lines.ts';
import { identityIfThere } from '../mirror/trees/identity.ts';
import { lstatIfThere } from '../system/files.ts';

/**
 * The sorted lines of what the last check of a published tree has found right, see `verifiedFacts`. The file
 * has a header before them, which names that tree.
 *
 * @returns none unless that tree is there still: the numbers of its inodes are used again when it is not.
 */
export function* verifiedIn(layout: Layout): Generator<Line> {
  if (!lstatIfThere(layout.checked)?.isFile()) return;
  const texts = readNames(layout.checked);
  const { value: header } = texts.next();
  if (header === undefined || !namesTree(layout, header)) return;
  for (const text of texts) yield parseLine(text);
}

function namesTree(layout: Layout, header: string): boolean {
  const checked = checkVerifiedHeader(parseJson(header));
  if (!('record' in checked)) return false;
  const { id, tree } = checked.record;
  return identityIfThere(layout.snapshot(id)) === tree;
}

/**
 * Keeps what was found right in a tree that is about to be published. Lost, it costs that all is read again.
 *
 * @param tree its path, as in staging.
 */
export function recordVerified(
  layout: Layout,
  id: string,
  tree: string,
  lines: Iterable<Line>,
): void {
  const unfinished = `${layout.checked}.new`;
  const names = new NameWriter(unfinished);
  try {
    names.write(JSON.stringify({ id, tree: identityIfThere(tree) }));
    for (const { key, said } of lines) names.write(key + said);
  } finally {
    names.close();
  }
  renameSync(unfinished, layout.checked);
}
