import type { RetentionPolicy } from './policy.ts';

export interface DatedSnapshot {
  id: string;
  isCurrent: boolean;
  isPrevious: boolean;
  /** When `current` was last pointed at it. */
  publishedAt: Date | undefined;
  /** When `current` was last pointed from it to another. */
  supersededAt: Date | undefined;
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
 */
export function applyRetention(
  snapshots: readonly DatedSnapshot[],
  { keepLast, keepWithinMs, graceMs }: RetentionPolicy,
  now: Date,
): RetentionDecision[] {
  const last = new Set(snapshots.slice(-keepLast).map(({ id }) => id));
  return snapshots.map(({ id, isCurrent, isPrevious, publishedAt, supersededAt }) => {
    const reasons: string[] = [];
    if (isCurrent) reasons.push('is current');
    if (isPrevious) reasons.push('is previous');
    if (last.has(id)) reasons.push(`is one of the last ${keepLast}`);
    if (isRecent(publishedAt, keepWithinMs, now)) reasons.push('was published recently');
    if (!isCurrent && isRecent(supersededAt, graceMs, now))
      reasons.push('is within its grace time');
    return { id, reasons };
  });
}

/** A time in the future counts as recent: setting a clock back must not cost a snapshot. */
function isRecent(time: Date | undefined, ms: number, now: Date): boolean {
  return time !== undefined && now.getTime() - time.getTime() < ms;
}
