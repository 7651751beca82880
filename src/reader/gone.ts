import { realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import { MirrorlatchError } from '../errors.ts';
import type { Layout } from '../mirror/layout.ts';
import { mirrorIsGone } from '../mirror/settings/settings.ts';
import { ifThere, lstatIfThere } from '../system/files.ts';
import { quoteForSh } from '../system/quote.ts';

/** How long a mirror may be missing that is replaced as a whole, or the name that leads to it; ms. */
const GONE_MS = 10_000;

/**
 * Returns a look that throws NO_MIRROR once the mirror, or `named`, by which it was found, has been missing
 * for `GONE_MS`, or when `named` leads to another directory.
 */
export function refusingGone(layout: Layout, named: string): () => void {
  const path = resolve(named);
  let since: number | undefined;
  return () => {
    const isThere = lstatIfThere(layout.settings) !== undefined;
    const real = ifThere(() => realpathSync(path));
    if (isThere && real !== undefined && real !== layout.root) {
      throw new MirrorlatchError('NO_MIRROR', `${named} leads to ${real} now`, {
        hint: `This was about ${layout.root}, to which it led before. Repeat the command for the other.`,
      });
    }
    since = isThere && real !== undefined ? undefined : (since ?? performance.now());
    if (since === undefined || performance.now() - since < GONE_MS) return;
    throw isThere ? nameIsGone(layout, named) : mirrorIsGone(layout);
  };
}

function nameIsGone({ root }: Layout, named: string): MirrorlatchError {
  return new MirrorlatchError('NO_MIRROR', `${named} is gone, which led to ${root}`, {
    hint: `The mirror is still there. Name it by its own path: ${quoteForSh(root)}`,
  });
}
