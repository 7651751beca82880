import { printable } from './names.ts';
import type { RetentionPolicy } from './policy.ts';
import type { SnapshotTimes } from './snapshot-times.ts';

export interface DatedSnapshot extends SnapshotTimes {
  id: string;
  isCurrent: boolean;
  isPrevious: boolean;
  /** The directory of --serve-at and the earlier clones that are left, if they were made of it; paths. */
  clones: readonly string[];
}

export interface RetentionDecision {
  id: string;
  /** Why it is kept; empty if it may be removed. */
  reasons: string[];
}

/**
 * Decides which snapshots are kept, by the rules alone, regardless of readers. Pure.
 *
 * @param snapshots in the order of their publication, the latest last.
 * @param now ms since the epoch.
 */
export function applyRetention(
  snapshots: readonly DatedSnapshot[],
  { keepLast, keepWithinMs, graceMs }: RetentionPolicy,
  now: number,
): RetentionDecision[] {
  const last = new Set(snapshots.slice(-keepLast).map(({ id }) => id));
  return snapshots.map(({ id, isCurrent, isPrevious, clones, publishedAt, supersededAt }) => {
    const reasons: string[] = [];
    if (isCurrent) reasons.push('is current');
    if (isPrevious) reasons.push('is previous');
    for (const path of clones) reasons.push(`is what ${printable(path)} was made of`);
    if (last.has(id))
      reasons.push(keepLast === 1 ? 'is the newest' : `is one of the newest ${keepLast}`);
    if (isRecent(publishedAt, keepWithinMs, now)) reasons.push('was published recently');
    if (!isCurrent && isRecent(supersededAt, graceMs, now))
      reasons.push('is within its grace time');
    return { id, reasons };
  });
}

/** A time in the future counts as recent: setting a clock back must not cost a snapshot. */
function isRecent(time: number, ms: number, now: number): boolean {
  return now - time < ms;
}
