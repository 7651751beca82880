import { rmSync } from 'node:fs';
import { ifAllowed, lstatIfThere, syncDirectory } from '../system/files.ts';
import { makeOwnDirectory, refuseOtherThanDirectory } from '../system/own-files.ts';
import { removeTree } from '../system/remove-tree.ts';
import { halfAdopted, lostPath, restorePath, undoHalf } from './adoption.ts';
import { channelsOf } from './channels/channels.ts';
import { currentId, previousId } from './current.ts';
import { announce, withdraw } from './current-file.ts';
import { discard, moveTree } from './discard.ts';
import {
  appendHistory,
  type HistoryEntry,
  lastFlip,
  publicationOf,
  readHistory,
} from './history/history.ts';
import { indexOf } from './history/history-index.ts';
import { directoriesOf, type Layout, LIVE, snapshotLink } from './layout.ts';
import { isInPlace } from './locks/gate.ts';
import { makeLease } from './locks/lease.ts';
import { findReaders } from './locks/readers.ts';
import type { SyncLock } from './locks/sync-lock.ts';
import { isServedClone, supersede } from './served/served-directory.ts';
import { discardSpare, findSpare } from './spare.ts';
import { stagedTree } from './staging.ts';
import { type Finding, survey, unrecordedFlip, unrecordedMoves } from './survey.ts';
import { emptyTrash } from './trash.ts';

/**
 * Finishes or undoes what a crash left, and keeps what was transferred (I7, I9). Repeating it, or
 * being killed halfway, does no harm: each step settles one finding.
 *
 * @returns what was found.
 * @throws MirrorlatchError LOCK_LOST.
 */
export async function recover(layout: Layout, lock: SyncLock): Promise<Finding[]> {
  const mode = isInPlace(layout) ? 'in-place' : 'snapshots';
  for (const directory of directoriesOf(layout, mode)) makeOwnDirectory(directory, 0o755);
  // What they lead to would be removed.
  for (const directory of [layout.trash, layout.superseded]) refuseOtherThanDirectory(directory);
  const history = readHistory(layout);
  const findings = survey(layout, history);
  for (const finding of findings) {
    switch (finding.kind) {
      case 'missing-current':
        lock.replaceLink(layout.current, snapshotLink(finding.id));
        syncDirectory(layout.root);
        break;
      case 'unrecorded-publication':
        announceCurrent(layout, lock, history);
        recordFlip(layout);
        break;
      case 'lost-previous':
        lock.replaceLink(layout.previous, snapshotLink(finding.id));
        syncDirectory(layout.root);
        break;
      case 'unpublished-snapshot':
        takeBack(layout, finding.id);
        break;
      case 'unrecorded-promotion':
      case 'missing-channel':
        recordMove(layout, lock, finding.channel);
        break;
      case 'missing-lease':
        makeLease(layout, finding.id);
        break;
      case 'stray-lease':
        rmSync(layout.lease(finding.id), { force: true });
        break;
      case 'unrecorded-removal':
        appendHistory(layout, {
          event: 'pruned',
          at: new Date().toISOString(),
          id: finding.id,
        });
        break;
      case 'unfinished-clone':
        // It may have been served before the crash, and readers may still use it.
        if (isServedClone(layout, finding.path)) supersede(layout, finding.path);
        else discard(layout, finding.path);
        break;
      case 'lock-remains':
        await removeTree(finding.path, [lock.descriptor]);
        break;
      case 'unfinished-adoption':
        if (halfAdopted(layout) !== undefined) undoHalf(layout);
        // Another mirror may have adopted it since the look.
        // And where this user may not make the symlink, the writer says so.
        else if (lostPath(layout) !== undefined)
          ifAllowed(() => restorePath(layout, lock, finding.path));
        break;
      // Who takes the lock has repaired the gate, and a sync makes the tree whole.
      case 'broken-channel':
      case 'unclean-gate':
      case 'unfinished-tree':
      case 'unfinished-command':
      case 'locked-lease':
      case 'diverted-adoption':
      case 'kept-clone':
      case 'mounted-clone':
      case 'foreign-tree':
      case 'failed-removal':
      case 'unfinished-removal':
        break;
      default:
        finding satisfies never;
    }
  }
  if (mode === 'snapshots') {
    // One that is missing is no finding: an earlier version of mirrorlatch made none.
    announceCurrent(layout, lock, history);
    announceChannels(layout, lock);
    if (findSpare(layout) === undefined) discardSpare(layout);
  }
  // A tree that cannot be removed is in no one's way, and the end of the session warns of it.
  await emptyTrash(layout, lock).catch(() => {});
  return findings;
}

/** Brings `current.json` up to what is current, and comes before the flip is on record, as in a publication. */
function announceCurrent(layout: Layout, lock: SyncLock, history: readonly HistoryEntry[]): void {
  const id = currentId(layout);
  if (id === undefined) withdraw(layout, lock, 'current');
  if (id === undefined || id === LIVE) return;
  const flip = unrecordedFlip(layout, history) ?? lastFlip(history);
  const publishedAt = publicationOf(history, id)?.at ?? flip?.at ?? new Date().toISOString();
  const previous = previousId(layout);
  const current = { id, previous: previous === id ? null : (previous ?? null), publishedAt };
  if (announce(layout, lock, 'current', current)) syncDirectory(layout.root);
}

/** The same for each channel. */
function announceChannels(layout: Layout, lock: SyncLock): void {
  const channels = channelsOf(layout).filter(({ isWhole }) => isWhole);
  if (channels.length === 0) return;
  const history = readHistory(layout);
  const { moves } = indexOf(history);
  const unrecorded = unrecordedMoves(layout, history);
  for (const { name, id } of channels) {
    const move = unrecorded.find(({ channel }) => channel === name) ?? moves.get(name)?.at(-1);
    const { at = new Date().toISOString(), previous = null } = move ?? {};
    const publishedAt = publicationOf(history, id)?.at ?? at;
    if (announce(layout, lock, name, { id, previous, publishedAt })) syncDirectory(layout.root);
  }
}

function recordMove(layout: Layout, lock: SyncLock, channel: string): void {
  announceChannels(layout, lock);
  const moves = unrecordedMoves(layout, readHistory(layout));
  const move = moves.find((one) => one.channel === channel);
  if (move?.event === 'channel-removed') withdraw(layout, lock, channel);
  if (move !== undefined) appendHistory(layout, move);
}

function recordFlip(layout: Layout): void {
  const flip = unrecordedFlip(layout, readHistory(layout));
  if (flip !== undefined) appendHistory(layout, flip);
}

/**
 * Moves a tree that was never current back to staging, for the next sync to continue with. A tree that
 * somebody reads stays where it is (I5).
 */
function takeBack(layout: Layout, id: string): void {
  if (findReaders(layout).has(id)) return;
  if (lstatIfThere(stagedTree(layout, id)) === undefined) {
    moveTree(layout.snapshot(id), stagedTree(layout, id));
  } else {
    discard(layout, layout.snapshot(id));
  }
  rmSync(layout.lease(id), { force: true });
  syncDirectory(layout.snapshots);
}
