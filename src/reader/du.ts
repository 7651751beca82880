import { basename } from 'node:path';
import { hasCode } from '../errors.ts';
import { channelsById } from '../mirror/channels/channels.ts';
import { currentId, previousId } from '../mirror/current.ts';
import { mayShareFiles, readHistory, sharesBlocks } from '../mirror/history/history.ts';
import { arrivalOf, inOrderOfPublication } from '../mirror/history/snapshot-times.ts';
import { type Layout, LIVE } from '../mirror/layout.ts';
import { openMirror } from '../mirror/open.ts';
import { marksIfReadable } from '../mirror/retention/marks.ts';
import { snapshotIds } from '../mirror/survey.ts';
import { DiskUse } from '../mirror/trees/disk-use.ts';
import { pin } from './pin.ts';

export interface DuOptions {
  root: string;
  signal?: AbortSignal | undefined;
}

/** What a snapshot takes on disk. All sizes are bytes. */
export interface SnapshotUse {
  id: string;
  isCurrent: boolean;
  isPrevious: boolean;
  isPinned: boolean;
  /** The channels that name it. */
  channels: readonly string[];
  /** The sizes of its files. */
  apparentBytes: number;
  /** What it would take alone: blocks, so that holes and what the filesystem compresses do not count. */
  diskBytes: number;
  /** What its removal alone would free. */
  ownBytes: number;
  /** What it shares with other snapshots, or with anything else. */
  sharedBytes: number;
  /** What its removal and that of all before it would free; null for what stays: current, previous, channels, pins. */
  freedWithOlderBytes: number | null;
}

/** What a part of a mirror takes that no part before it has; bytes. */
export interface MirrorParts {
  snapshots: number;
  /** Trees that are being made, and a pruned snapshot for the next sync to recycle. */
  staging: number;
  trash: number;
  /** What was served before by `--serve-at`, and is still in use. */
  superseded: number;
  reserve: number;
  logs: number;
  other: number;
}

export interface MirrorUse {
  root: string;
  /** In the order of their publication, but what stays comes last. */
  snapshots: SnapshotUse[];
  parts: MirrorParts;
  totalBytes: number;
  /** What of it has also names outside of the mirror, and so is freed by no removal in it. */
  linkedElsewhereBytes: number;
  /** Snapshots share blocks that each of them counts as its own: reflinks, or snapshots of btrfs. */
  hasSharedBlocks: boolean;
  /** Directories that this user may not look into, which count as empty. */
  unreadDirectories: number;
}

/**
 * What a mirror takes on disk, and what of it each snapshot has for itself. Each snapshot is held while it is
 * looked at.
 *
 * @throws MirrorlatchError NO_MIRROR; IO.
 */
export async function du({ root, signal }: DuOptions): Promise<MirrorUse> {
  const { layout } = openMirror(root);
  const ending = signal ?? new AbortController().signal;
  const history = readHistory(layout);
  const named = { current: currentId(layout), previous: previousId(layout) };
  const marks = marksIfReadable(layout);
  const isPinned = (id: string) => marks?.get(id)?.pin !== undefined;
  const channels = channelsById(layout);
  const isKept = (id: string) =>
    id === named.current || id === named.previous || isPinned(id) || channels.has(id);
  const use = new DiskUse();
  const ids: string[] = [];
  for (const id of idsInOrder(layout, isKept)) {
    const hold = await holdIfThere(layout, id, ending);
    if (hold === 'gone') continue;
    try {
      const path = layout.snapshot(id);
      await (mayShareFiles(history, id)
        ? use.countShared(path, ending)
        : use.count([path], ending));
      ids.push(id);
    } finally {
      hold.release();
    }
  }
  const parts = partsOf(layout);
  for (const { where } of parts) await use.count(where, ending, layout.root);
  const trees = use.trees();
  const snapshots = ids.map((id, at): SnapshotUse => {
    const { apparent = 0, disk = 0, own = 0, withEarlier = 0 } = trees[at] ?? {};
    return {
      id,
      isCurrent: id === named.current,
      isPrevious: id === named.previous,
      isPinned: isPinned(id),
      channels: channels.get(id) ?? [],
      apparentBytes: apparent,
      diskBytes: disk,
      ownBytes: own,
      sharedBytes: disk - own,
      freedWithOlderBytes: isKept(id) ? null : withEarlier,
    };
  });
  const added = trees.map((tree) => tree.added);
  return {
    root: layout.root,
    snapshots,
    parts: {
      snapshots: sum(added.slice(0, ids.length)),
      ...Object.fromEntries(parts.map(({ name }, at) => [name, added[ids.length + at] ?? 0])),
    } as MirrorUse['parts'],
    totalBytes: sum(added),
    linkedElsewhereBytes: use.linkedElsewhere(),
    hasSharedBlocks: ids.some((id) => sharesBlocks(history, id)),
    unreadDirectories: use.unread,
  };
}

/** Oldest first, but those that stay come last: with all others gone, they have what is left. */
function idsInOrder(layout: Layout, isKept: (id: string) => boolean): string[] {
  if (currentId(layout) === LIVE) return [LIVE];
  const arrivedAt = (id: string) => arrivalOf(layout, id);
  const ids = inOrderOfPublication(readHistory(layout), snapshotIds(layout), arrivedAt);
  return [...ids.filter((id) => !isKept(id)), ...ids.filter(isKept)];
}

/** A tree that is written in place is not removed, and may be behind its gate. */
async function holdIfThere(layout: Layout, id: string, signal: AbortSignal): Promise<Hold> {
  if (id === LIVE) return { release: () => {} };
  try {
    return await pin({ root: layout.root, id, signal });
  } catch (error) {
    if (hasCode(error, 'NO_MIRROR')) return 'gone';
    throw error;
  }
}

type Hold = { release: () => void } | 'gone';

/** What is not a snapshot: where find(1) is to look, from ROOT, and tests that leave out what is counted by itself. */
function partsOf({ state, staging, trash, superseded, reserve, logs }: Layout) {
  const counted = { staging, trash, superseded, reserve, logs };
  const named = Object.entries(counted).map(([name, path]) => ({ name, where: [path] }));
  const own = Object.values(counted).map((path) => `./${basename(state)}/${basename(path)}`);
  const leftOut = ['./snapshots/*', `./gate/${LIVE}`, ...own].flatMap((path) => [
    '-o',
    '-path',
    path,
  ]);
  const where = ['.', '(', ...leftOut.slice(1), ')', '-prune', '-o'];
  return [...named, { name: 'other', where }];
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
