import { channelsById } from '../mirror/channels/channels.ts';
import { currentId, previousId } from '../mirror/current.ts';
import {
  type HistoryEntry,
  leftOutOf,
  publicationOf,
  readHistory,
  verificationOf,
} from '../mirror/history/history.ts';
import type { Verified } from '../mirror/history/history-index.ts';
import type {
  CheckedRecord,
  LeftOutRecord,
  WritableByAll,
} from '../mirror/history/history-line.ts';
import { publishedOrMoved } from '../mirror/history/snapshot-times.ts';
import { type Layout, LIVE } from '../mirror/layout.ts';
import { countLeases, findReaders, type Reader } from '../mirror/locks/readers.ts';
import { openMirror } from '../mirror/open.ts';
import { marksIfReadable, NO_MARKS } from '../mirror/retention/marks.ts';
import type { SnapshotPin } from '../mirror/settings/records.ts';
import { snapshotIds } from '../mirror/survey.ts';
import { ifAllowed } from '../system/files.ts';

export interface SnapshotInfo {
  id: string;
  path: string;
  isCurrent: boolean;
  isPrevious: boolean;
  /** The names of the channels that name it. */
  channels: readonly string[];
  /** When it was made and published; ISO 8601, UTC. A rollback to it does not change this. */
  publishedAt: string | null;
  /** Regular files, and their bytes, if the sync that made it counted them. */
  files: number | null;
  bytes: number | null;
  /** How much came from the source for it; bytes. */
  newBytes: number | null;
  /** What it lacks of its source. */
  leftOut: LeftOutRecord[];
  /** What `verify` found of it when it looked last; null if it never did. */
  verified: Verified | null;
  /** What a check found of it before it was published; null if there was none. */
  checked: CheckedRecord | null;
  /** What any user could change in it; null if that was not recorded. */
  writableByAll: WritableByAll | null;
  /** Processes that read it, as far as this user may see them. */
  readers: Reader[];
  /** What people say of it; null if that cannot be made out, see `unreadableMarks`. */
  tags: string[] | null;
  /** Who keeps it for ever, and why; null if nobody does, or that cannot be made out. */
  pin: SnapshotPin | null;
  /** Locks on its lease, those of processes invisible to this user included. */
  leases: number;
}

/** The snapshots of a mirror, oldest first. */
export function list(root: string): SnapshotInfo[] {
  const { layout } = openMirror(root);
  return snapshotsOf(layout, readHistory(layout));
}

/** The snapshots of a mirror, oldest first, as its history has them. */
export function snapshotsOf(layout: Layout, history: readonly HistoryEntry[]): SnapshotInfo[] {
  const current = currentId(layout);
  const previous = previousId(layout);
  const channels = ifAllowed(() => channelsById(layout)) ?? new Map<string, string[]>();
  const readers = findReaders(layout);
  const marks = marksIfReadable(layout);
  const ids = current === LIVE ? [LIVE] : snapshotIds(layout);
  const leases = countLeases(layout, ids);
  return ids
    .map((id): SnapshotInfo => {
      const published = publicationOf(history, id);
      return {
        id,
        path: layout.snapshot(id),
        isCurrent: id === current,
        isPrevious: id === previous,
        channels: channels.get(id) ?? [],
        publishedAt: published?.at ?? null,
        files: published?.files ?? null,
        bytes: published?.bytes ?? null,
        newBytes: published?.newBytes ?? null,
        leftOut: leftOutOf(history, id),
        verified: verificationOf(history, id) ?? null,
        checked: published?.checked ?? null,
        writableByAll: published?.writableByAll ?? null,
        readers: readers.get(id) ?? [],
        tags: marks === undefined ? null : (marks.get(id) ?? NO_MARKS).tags,
        pin: marks?.get(id)?.pin ?? null,
        leases: leases.get(id) ?? 0,
      };
    })
    .map((info) => ({ info, at: publishedOrMoved(layout, history, info.id) }))
    .sort((a, b) => a.at - b.at)
    .map(({ info }) => info);
}
