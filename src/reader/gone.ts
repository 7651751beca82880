import { resolve } from 'node:path';
import { MirrorlatchError } from '../errors.ts';
import type { Layout } from '../mirror/layout.ts';
import { mirrorIsGone } from '../mirror/settings.ts';
import { lstatIfThere, realPathToBe } from '../system/files.ts';

/** How long a mirror may be missing that is replaced as a whole; ms. */
const GONE_MS = 10_000;

/**
 * Returns a look that throws NO_MIRROR once the mirror has been missing for `GONE_MS`, or `named`, by which
 * it was found, leads to another one now.
 */
export function refusingGone(layout: Layout, named: string): () => void {
  const path = resolve(named);
  let since: number | undefined;
  return () => {
    const isThere = lstatIfThere(layout.settings) !== undefined;
    const real = realPathToBe(path);
    if (isThere && real !== layout.root) {
      throw new MirrorlatchError('NO_MIRROR', `${named} leads to ${real} now`, {
        hint: `This was about ${layout.root}, to which it led before. Repeat the command for the other.`,
      });
    }
    since = isThere ? undefined : (since ?? performance.now());
    if (since !== undefined && performance.now() - since >= GONE_MS) throw mirrorIsGone(layout);
  };
}
