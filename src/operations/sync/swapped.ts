import { resolve } from 'node:path';
import { MirrorlatchError } from '../../errors.ts';
import { layoutOf } from '../../mirror/layout.ts';
import { findMirror } from '../../mirror/open.ts';
import { destinationIn } from '../../rsync/source.ts';
import { lstatIfThere } from '../../system/files.ts';
import { quoteForSh } from '../../system/quote.ts';

/**
 * Refuses a mirror in the place of SRC, together with what can be its source in the place of ROOT.
 *
 * @throws MirrorlatchError USAGE, with the command line that was meant.
 */
export function refuseSwapped(source: string, root: string): void {
  if (source === '' || root === '' || !isMirror(source)) return;
  const isSource = destinationIn(root) === 'server' || lstatIfThere(resolve(root))?.isDirectory();
  if (!isSource || findMirror(root) !== undefined) return;
  const command = ['mirrorlatch', 'sync', root, source].map(quoteForSh).join(' ');
  throw new MirrorlatchError('USAGE', `SRC comes first, and ${source} is a mirror`, {
    hint: `If ${root} is its source: ${command}`,
  });
}

/** What this user may not look into is no mirror of his; the sync itself will say so. */
function isMirror(source: string): boolean {
  try {
    return lstatIfThere(layoutOf(resolve(source)).settings) !== undefined;
  } catch {
    return false;
  }
}
