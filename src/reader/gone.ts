import type { Layout } from '../mirror/layout.ts';
import { mirrorIsGone } from '../mirror/settings.ts';
import { lstatIfThere } from '../system/files.ts';

/** How long a mirror may be missing that is replaced as a whole; ms. */
const GONE_MS = 10_000;

/** Returns a look that throws NO_MIRROR once the mirror has been missing for `GONE_MS`. */
export function refusingGone(layout: Layout): () => void {
  let since: number | undefined;
  return () => {
    const isThere = lstatIfThere(layout.settings) !== undefined;
    since = isThere ? undefined : (since ?? performance.now());
    if (since !== undefined && performance.now() - since >= GONE_MS) throw mirrorIsGone(layout);
  };
}
