import { isAhead, showTime } from '../../mirror/units.ts';
import type { MirrorReport, StatusReport } from './status-report.ts';
import { ageInWords } from './words.ts';

/**
 * How a mirror is, the worst that is true of it:
 *
 * ```
 *   unreadable > empty > dirty > closed > stale > damaged > failed > attention > held > fresh, synced, served
 * ```
 */
export type MirrorState =
  | 'unreadable'
  | 'empty'
  | 'dirty'
  | 'closed'
  | 'stale'
  /** What clients get is damaged, as `verify` has found. */
  | 'damaged'
  | 'failed'
  | 'attention'
  | 'held'
  /** No older than the limit. */
  | 'fresh'
  /** As `fresh`, but there is no limit. */
  | 'synced'
  /** Another program keeps it: how fresh it is, nobody knows. */
  | 'served';

export function stateOf(mirror: MirrorReport, report: StatusReport): MirrorState {
  if (mirror.unreadable !== null) return 'unreadable';
  if (mirror.current === null || mirror.gate?.state === 'new') return 'empty';
  if (mirror.gate !== null) return mirror.gate.state === 'dirty' ? 'dirty' : 'closed';
  if (mirror.kind === 'foreign') return 'served';
  if (isStale(mirror, report)) return 'stale';
  if ((mirror.current.damaged ?? 0) > 0) return 'damaged';
  if (mirror.lastOutcome?.event === 'failed') return 'failed';
  if (needsAttention(mirror)) return 'attention';
  if (mirror.hold !== null) return 'held';
  return report.maxAgeMs === null ? 'synced' : 'fresh';
}

/** Whether its last success is older than the limit, if there is one. */
export function isStale(mirror: MirrorReport, { madeAt, maxAgeMs }: StatusReport): boolean {
  return maxAgeMs !== null && ageOf(mirror, Date.parse(madeAt)) > maxAgeMs;
}

/** What a person has to look at although readers have all that they need. */
function needsAttention({ work, left, damaged, damagedHistoryLines }: MirrorReport): boolean {
  const hasDamage = damaged.length > 0 || damagedHistoryLines > 0;
  return work?.state === 'silent' || left.length > 0 || hasDamage;
}

/**
 * Why readers do not get what they should, a line each, for a program that watches; empty if they do.
 *
 * @param maxAgeMs how old the last successful sync may be; null for any age.
 */
export function health(report: StatusReport, maxAgeMs: number | null = report.maxAgeMs): string[] {
  return report.mirrors.flatMap((mirror) => {
    const why = whyUnhealthy(mirror, { ...report, maxAgeMs });
    return why === undefined ? [] : [`${mirror.name}: ${why}`];
  });
}

function whyUnhealthy(mirror: MirrorReport, report: StatusReport): string | undefined {
  switch (stateOf(mirror, report)) {
    case 'unreadable':
      return `cannot be read: ${mirror.unreadable}`;
    case 'empty':
      return 'nothing has been published yet';
    case 'dirty':
    case 'closed':
      return `the tree ${mirror.gate?.why}`;
    case 'stale':
      return whyStale(mirror, Date.parse(report.madeAt));
    default:
      return undefined;
  }
}

/** A clause about the last successful sync of a mirror that is too old. */
export function whyStale({ lastSuccessAt }: MirrorReport, now: number): string {
  if (lastSuccessAt === null) return 'no sync has succeeded yet';
  if (isAhead(lastSuccessAt, now))
    return `the last successful sync lies in the future, at ${showTime(lastSuccessAt)}: a clock was wrong, or is`;
  return `the last successful sync was ${ageInWords(now - Date.parse(lastSuccessAt))} ago`;
}

/** How long ago the last successful sync was; ms. One that is unknown is not fresh. */
function ageOf({ lastSuccessAt }: MirrorReport, now: number): number {
  if (lastSuccessAt === null || isAhead(lastSuccessAt, now)) return Number.POSITIVE_INFINITY;
  return now - Date.parse(lastSuccessAt);
}
