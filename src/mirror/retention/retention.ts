import { plausibleTimes } from '../history/plausible-times.ts';
import type { SnapshotTimes } from '../history/snapshot-times.ts';
import { printable } from '../names.ts';
import type { RetentionPolicy } from '../settings/policy.ts';
import {
  dayOf,
  hourOf,
  monthOf,
  newestOfPeriods,
  type PeriodOf,
  weekOf,
  yearOf,
} from './calendar.ts';
import type { Mark } from './marks.ts';

export interface DatedSnapshot extends SnapshotTimes {
  id: string;
  isCurrent: boolean;
  isPrevious: boolean;
  /** The names of the channels that name it. */
  channels: readonly string[];
  /** Why the rules of channels still need it. */
  promises: readonly string[];
  /** The directory of --serve-at and the earlier clones that are left, if they were made of it; paths. */
  clones: readonly string[];
  mark: Mark;
}

/** Reasons of which more can be said: until when, and by whom. */
export const WITHIN_GRACE = 'is within its grace time';
export const HELD_BY_READER = 'is held by a reader';

export interface RetentionDecision {
  id: string;
  /** Why it is kept; empty if it may be removed. */
  reasons: string[];
}

/** The rules that keep one snapshot of each period, and what such a snapshot is called. */
export const CALENDAR = [
  { rule: 'keepHourly', name: 'hourly', periodOf: hourOf },
  { rule: 'keepDaily', name: 'daily', periodOf: dayOf },
  { rule: 'keepWeekly', name: 'weekly', periodOf: weekOf },
  { rule: 'keepMonthly', name: 'monthly', periodOf: monthOf },
  { rule: 'keepYearly', name: 'yearly', periodOf: yearOf },
] as const satisfies readonly {
  rule: keyof RetentionPolicy;
  name: string;
  periodOf: PeriodOf;
}[];

/**
 * Decides which snapshots are kept, by the rules alone, regardless of readers. Pure.
 *
 * @param snapshots in the order of their publication, the latest last.
 * @param now ms since the epoch.
 */
export function applyRetention(
  snapshots: readonly DatedSnapshot[],
  policy: RetentionPolicy,
  now: number,
): RetentionDecision[] {
  const { keepLast, keepWithinMs, graceMs } = policy;
  const last = new Set(snapshots.slice(-keepLast).map(({ id }) => id));
  const calendar = calendarReasons(snapshots, policy);
  return snapshots.map((snapshot, at) => {
    const { id, isCurrent, isPrevious, channels, promises, clones, mark } = snapshot;
    const { publishedAt, supersededAt } = snapshot;
    const reasons: string[] = [];
    if (isCurrent) reasons.push('is current');
    if (isPrevious) reasons.push('is previous');
    for (const channel of channels) reasons.push(`is ${channel}`);
    reasons.push(...promises);
    for (const path of clones) reasons.push(`is what ${printable(path)} was made of`);
    reasons.push(...reasonsOfMark(mark, policy));
    if (last.has(id))
      reasons.push(keepLast === 1 ? 'is the newest' : `is one of the newest ${keepLast}`);
    reasons.push(...(calendar[at] ?? []));
    if (isRecent(publishedAt, keepWithinMs, now)) reasons.push('was published recently');
    if (!isCurrent && isRecent(supersededAt, graceMs, now)) reasons.push(WITHIN_GRACE);
    return { id, reasons };
  });
}

/** Why a snapshot stays because of what people say of it. */
export function reasonsOfMark(
  { pin, tags }: Mark,
  { keepTags }: Pick<RetentionPolicy, 'keepTags'>,
): string[] {
  const why = pin?.reason === undefined ? '' : `: ${printable(pin.reason)}`;
  const kept = tags.filter((tag) => keepTags.includes(tag));
  return [
    ...(pin === undefined ? [] : [`is pinned by ${printable(pin.by)}${why}`]),
    ...kept.map((tag) => `has the tag ${tag}`),
  ];
}

/** For each snapshot the reasons such as `is daily 2 of 7`; the newest is the first. */
function calendarReasons(snapshots: readonly DatedSnapshot[], policy: RetentionPolicy): string[][] {
  const reasons = snapshots.map((): string[] => []);
  const rules = CALENDAR.filter(({ rule }) => policy[rule] > 0);
  if (rules.length === 0) return reasons;
  const times = plausibleTimes(snapshots.map(({ writtenAt }) => writtenAt));
  for (const { rule, name, periodOf } of rules) {
    newestOfPeriods(times, policy[rule], periodOf).forEach((at, place) => {
      reasons[at]?.push(`is ${name} ${place + 1} of ${policy[rule]}`);
    });
  }
  return reasons;
}

/** A time in the future counts as recent: setting a clock back must not cost a snapshot. */
function isRecent(time: number, ms: number, now: number): boolean {
  return now - time < ms;
}
