import { basename } from 'node:path';
import { MirrorlatchError } from '../errors.ts';
import { ifAllowed, lstatIfThere, readlinkIfThere } from '../system/files.ts';
import { quoteForSh } from '../system/quote.ts';
import { halfAdopted } from './adoption.ts';
import { isFlip, readHistory } from './history/history.ts';
import { type Layout, LIVE, snapshotLink } from './layout.ts';
import { isSnapshotId } from './snapshot-id.ts';
import { refuseTreesElsewhere } from './trees-elsewhere.ts';

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
    // What it leads to may be on a disk that is not mounted: then nothing is wrong with `current`.
    refuseTreesElsewhere(layout);
    throw noCurrent(layout, link);
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
  return isThere(layout, id) ? id : undefined;
}

/**
 * What is behind a closed gate, which not every user may look past, is believed to be there. No gate
 * hides a snapshot: whoever may not look for it may not read it either.
 */
function isThere(layout: Layout, id: string): boolean {
  const look = (): boolean => lstatIfThere(layout.snapshot(id))?.isDirectory() === true;
  return id === LIVE ? (ifAllowed(look) ?? true) : look();
}

function noCurrent(layout: Layout, link: string | undefined): MirrorlatchError {
  const last = readHistory(layout)
    .filter(isFlip)
    .findLast(({ id }) => isThere(layout, id));
  const command = commandToReplaceCurrent(layout, last?.id);
  if (link !== undefined && isSnapshotId(basename(link)) && link === snapshotLink(basename(link))) {
    const onward = last === undefined ? 'For a sync to make all anew' : `To go on from ${last.id}`;
    return new MirrorlatchError(
      'CONFIGURATION',
      `${layout.current} leads to the snapshot ${basename(link)}, which is gone`,
      { hint: `${onward}: ${command}` },
    );
  }
  return new MirrorlatchError(
    'CONFIGURATION',
    `${layout.current} is not a symlink to a snapshot of this mirror`,
    { hint: `Replace it with: ${command}` },
  );
}

/** For a person, with -T, because without it mv and ln(1) would put their result into a directory. */
function commandToReplaceCurrent(layout: Layout, id: string | undefined): string {
  const [link, away] = [layout.current, `${layout.current}.away`].map(quoteForSh);
  const move = `mv -T ${link} ${away}`;
  return id === undefined ? move : `${move} && ln -sT ${quoteForSh(snapshotLink(id))} ${link}`;
}
