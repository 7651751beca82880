/**
 * The periods of the calendar by which snapshots are thinned out, all in UTC: the hosts that share a
 * mirror must agree, and no hour is there twice.
 */

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** The day in 1970 that was a Monday, with which a week begins (ISO 8601). */
const FIRST_MONDAY = 4;

/** The number of the period in which a time lies; ms since the epoch. Each is one more than that before it. */
export type PeriodOf = (time: number) => number;

export const hourOf: PeriodOf = (time) => Math.floor(time / HOUR);
export const dayOf: PeriodOf = (time) => Math.floor(time / DAY);
export const weekOf: PeriodOf = (time) => Math.floor((dayOf(time) - FIRST_MONDAY) / 7);
export const monthOf: PeriodOf = (time) => {
  const date = new Date(time);
  return date.getUTCFullYear() * 12 + date.getUTCMonth();
};
export const yearOf: PeriodOf = (time) => new Date(time).getUTCFullYear();

/**
 * The newest of each of the last `count` periods that have any; periods without one do not count. While
 * fewer have one, the oldest of all is kept too, so that what is kept reaches back as far as it can (as
 * `restic forget` does).
 *
 * @param times the latest last.
 * @returns their places in `times`, the latest first.
 */
export function newestOfPeriods(
  times: readonly number[],
  count: number,
  periodOf: PeriodOf,
): number[] {
  const kept: number[] = [];
  let last: number | undefined;
  for (let at = times.length - 1; at >= 0 && kept.length < count; at -= 1) {
    const period = periodOf(times[at] ?? 0);
    if (period === last && at > 0) continue;
    kept.push(at);
    last = period;
  }
  return kept;
}
