import { basename } from 'node:path';
import { MirrorlatchError } from '../errors.ts';
import { lstatIfThere, readlinkIfThere } from '../system/files.ts';
import { halfAdopted } from './adoption.ts';
import { type Layout, LIVE, snapshotLink } from './layout.ts';
import { isSnapshotId } from './snapshot-id.ts';

/**
 * The id that `current` names, or undefined before the first publication.
 *
 * @throws MirrorlatchError CONFIGURATION when `current` exists but names no snapshot.
 */
export function currentId(layout: Layout): string | undefined {
  for (;;) {
    const link = readlinkIfThere(layout.current);
    const id = idOf(layout, link);
    if (id !== undefined) return id;
    // Between reading the link and looking at its target, `current` may have been flipped and the
    // old snapshot pruned.
    if (readlinkIfThere(layout.current) !== link) continue;
    if (lstatIfThere(layout.current) === undefined || halfAdopted(layout) !== undefined)
      return undefined;
    throw new MirrorlatchError(
      'CONFIGURATION',
      `${layout.current} is not a symlink to a snapshot of this mirror`,
      {
        hint: `Move it away, or point it at a snapshot with: ln -sfn snapshots/ID ${layout.current}`,
      },
    );
  }
}

/** The id that `previous` names, if that snapshot still exists. */
export function previousId(layout: Layout): string | undefined {
  return idOf(layout, readlinkIfThere(layout.previous));
}

/** The id in the text of a link, if it has the form of ours and the tree exists. */
function idOf(layout: Layout, target: string | undefined): string | undefined {
  const id = target === undefined ? '' : basename(target);
  if (target !== snapshotLink(id) || !(isSnapshotId(id) || id === LIVE)) return undefined;
  return lstatIfThere(layout.snapshot(id))?.isDirectory() ? id : undefined;
}
