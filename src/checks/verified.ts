import { renameSync } from 'node:fs';
import type { Layout } from '../mirror/layout.ts';
import { NameWriter, readNames } from '../mirror/name-list.ts';
import { checkVerifiedHeader, parseJson } from '../mirror/settings/records.ts';
import { type Line, parseLine } from '../mirror/sums/lines.ts';
import { identityIfThere } from '../mirror/trees/identity.ts';
import { lstatIfThere } from '../system/files.ts';
import { refuseOtherThanFile } from '../system/own-files.ts';
import type { Known } from './check-tree.ts';

/**
 * What the last check of a published tree has found right. The file has a header before the lines, which names that
 * tree, and the heads of its repositories.
 *
 * @returns undefined unless that tree is there still: the numbers of its inodes are used again when it is not.
 */
export function verifiedIn(layout: Layout): (Known & { id: string }) | undefined {
  if (!lstatIfThere(layout.checked)?.isFile()) return undefined;
  const [header] = readNames(layout.checked);
  const checked = checkVerifiedHeader(parseJson(header));
  if (!('record' in checked)) return undefined;
  const { id, tree, heads = [] } = checked.record;
  if (identityIfThere(layout.snapshot(id)) !== tree) return undefined;
  return { id, heads, lines: linesOf(layout) };
}

function* linesOf({ checked }: Layout): Generator<Line> {
  const texts = readNames(checked);
  texts.next();
  for (const text of texts) yield parseLine(text);
}

/** Forgets what was found right, because files have changed without a sign of it: the next check reads all of them. */
export function forgetVerified(layout: Layout): void {
  const known = verifiedIn(layout);
  if (known === undefined) return;
  const { id } = known;
  recordVerified(layout, id, layout.snapshot(id), { heads: known.heads, lines: [] });
}

/**
 * Keeps what was found right in a tree that is about to be published. Lost, it costs that all is read again.
 *
 * @param tree its path, as in staging.
 * @throws MirrorlatchError CONFIGURATION when something else has the name of a file for it; Error of Node.
 */
export function recordVerified(
  layout: Layout,
  id: string,
  tree: string,
  { heads, lines }: Known,
): void {
  const unfinished = `${layout.checked}.new`;
  for (const path of [unfinished, layout.checked]) refuseOtherThanFile(path);
  const names = new NameWriter(unfinished);
  try {
    names.write(JSON.stringify({ id, tree: identityIfThere(tree), heads }));
    for (const { key, said } of lines) names.write(key + said);
  } finally {
    names.close();
  }
  renameSync(unfinished, layout.checked);
}
