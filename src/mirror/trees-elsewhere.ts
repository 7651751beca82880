import { dirname, resolve } from 'node:path';
import { MirrorlatchError } from '../errors.ts';
import { lstatIfThere, readlinkIfThere } from '../system/files.ts';
import { quoteForSh } from '../system/quote.ts';
import type { Layout } from './layout.ts';

/**
 * Refuses a mirror whose trees lie behind a symlink. Readers find them there, so that the symlink must
 * not be moved away, as anything else in the place of our own may.
 *
 * @throws MirrorlatchError CONFIGURATION
 */
export function refuseTreesElsewhere({ snapshots, gate }: Layout): void {
  for (const directory of [snapshots, gate]) refuseSymlink(directory);
}

function refuseSymlink(trees: string): void {
  const target = readlinkIfThere(trees);
  if (target === undefined) return;
  const there = resolve(dirname(trees), target);
  const [link, moved, back] = [trees, there, `${trees}.back`].map(quoteForSh);
  // In this order, because mv(1) copies from another disk, and may find too little room.
  const command = `mv -T ${moved} ${back} && rm ${link} && mv -T ${back} ${link}`;
  throw new MirrorlatchError(
    'CONFIGURATION',
    `${trees} is a symlink to ${there}, but all of a mirror has to lie in one directory`,
    {
      hint: lstatIfThere(there)?.isDirectory()
        ? `If that is to stay on its disk, move the whole mirror there, and that in the place of the symlink. If not, move it back with: ${command}`
        : `That is no directory: mount its disk, or see where it leads with: readlink -f ${link}`,
      details: { path: trees },
    },
  );
}
