import { statSync } from 'node:fs';
import { lstatIfThere } from '../../system/files.ts';
import type { Layout } from '../layout.ts';
import { timeOfId } from '../snapshot-id.ts';
import { type HistoryEntry, isFlip, publicationOf } from './history.ts';
import { isAfterGap, isLinkMove, linkOf, namedBy } from './link-moves.ts';

/** When a snapshot was current, or what a channel names; ms since the epoch. */
export interface SnapshotTimes {
  /** When `current` was last pointed at it, never too early. */
  publishedAt: number;
  /**
   * When `current` or a channel was last pointed from it to another, never too early; of no meaning for what is
   * current.
   */
  supersededAt: number;
  /** When `current` was last pointed at it by what the clock said then, be that right or wrong. */
  writtenAt: number;
}

/**
 * When each entry was written, as far as its time can be believed. A clock may have been wrong for
 * a while, but the order of the lines is certain. A time that lies in the future, or before that of
 * an earlier line, gives way to the next line's, which is certainly not too early; without a next
 * line it is `now`.
 *
 * @param now ms since the epoch, as all that is returned.
 */
export function timesOfLines(history: readonly HistoryEntry[], now: number): number[] {
  let next = now;
  return believedTimes(history, now)
    .reduceRight<number[]>((times, time) => {
      next = time ?? next;
      times.push(next);
      return times;
    }, [])
    .reverse();
}

/** When each entry was written; undefined if that cannot be believed. */
export function believedTimes(
  history: readonly HistoryEntry[],
  now: number,
): (number | undefined)[] {
  let latest = Number.NEGATIVE_INFINITY;
  return history.map(({ at }) => {
    const time = Date.parse(at);
    if (time > now || time < latest) return undefined;
    latest = time;
    return time;
  });
}

/**
 * The times of snapshots according to history and, where it does not know, to the disk.
 *
 * Each move of `current` or a channel names what that named before or, where lines were trimmed, what the move
 * before it made it name. If that is not so, lines are missing between the two, or before the first: then any
 * snapshot may have been current until then, whatever other lines say of it. A snapshot that no line names was
 * current at its arrival in the mirror at the earliest; and the id that a sync gave it says when that began, in a
 * copy of the mirror too.
 *
 * @param arrivedAt when a snapshot came to its place; ms since the epoch.
 */
export function snapshotTimes(
  history: readonly HistoryEntry[],
  arrivedAt: (id: string) => number,
  now: number,
): (id: string) => SnapshotTimes {
  const times = timesOfLines(history, now);
  const published = new Map<string, number>();
  const superseded = new Map<string, number>();
  const written = new Map<string, number>();
  const last = new Map<string, string | null>();
  let gap = Number.NEGATIVE_INFINITY;
  history.forEach((entry, line) => {
    if (!isLinkMove(entry)) return;
    const time = times[line] ?? now;
    const link = linkOf(entry);
    if (isAfterGap(entry, last.get(link) ?? null)) gap = time;
    if (entry.previous !== null) superseded.set(entry.previous, time);
    if (isFlip(entry)) {
      published.set(entry.id, time);
      written.set(entry.id, Date.parse(entry.at));
    }
    last.set(link, namedBy(entry));
  });
  return (id) => {
    const unknown = () => Math.min(arrivedAt(id), now);
    return {
      publishedAt: Math.max(published.get(id) ?? unknown(), gap),
      supersededAt: Math.max(superseded.get(id) ?? unknown(), gap),
      writtenAt: written.get(id) ?? timeOfId(id) ?? arrivedAt(id),
    };
  };
}

/**
 * Snapshots in the order in which `current` was last pointed at each, the latest last. The order of
 * the lines counts, not their times. A snapshot that no line names comes before those that arrived
 * after it.
 */
export function inOrderOfPublication(
  history: readonly HistoryEntry[],
  ids: readonly string[],
  arrivedAt: (id: string) => number,
): string[] {
  const lines = new Map<string, number>();
  history.forEach((entry, line) => {
    if (isFlip(entry)) lines.set(entry.id, line);
  });
  const inOrder = ids
    .filter((id) => lines.has(id))
    .sort((a, b) => (lines.get(a) ?? 0) - (lines.get(b) ?? 0));
  for (const id of ids.filter((unknown) => !lines.has(unknown))) {
    const after = inOrder.findIndex((other) => arrivedAt(other) > arrivedAt(id));
    inOrder.splice(after === -1 ? inOrder.length : after, 0, id);
  }
  return inOrder;
}

/**
 * When a snapshot was made and published or, if history does not say, when its directory was last moved;
 * ms since the epoch.
 */
export function publishedOrMoved(
  layout: Layout,
  history: readonly HistoryEntry[],
  id: string,
): number {
  const at = publicationOf(history, id)?.at;
  return at === undefined ? statSync(layout.snapshot(id)).ctimeMs : Date.parse(at);
}

/**
 * When a snapshot came to its place; ms since the epoch. That is when its lease was made, which a
 * copy of the mirror keeps as the mtime, or else when it was moved there, which sets its ctime.
 */
export function arrivalOf(layout: Layout, id: string): number {
  const made = lstatIfThere(layout.lease(id))?.mtimeNs;
  return Number(made ?? lstatIfThere(layout.snapshot(id))?.ctimeNs ?? 0n) / 1e6;
}
