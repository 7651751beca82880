import prettyBytes from 'pretty-bytes';

/** `2.5 MB`; `?` if unknown. */
export function showBytes(bytes: number | bigint | null): string {
  return bytes === null ? '?' : prettyBytes(bytes);
}

/** A time of a record (ISO 8601, UTC), to the second. */
export function showTime(time: string): string {
  return time.replace(/\.\d+Z$/, 'Z');
}

/** How far the clocks of hosts that write to one mirror may be apart. */
const CLOCK_SLACK_MS = 5 * 60_000;

/** Whether a time of a record lies in the future, because a clock was wrong or is. @param now ms since the epoch. */
export function isAhead(time: string, now = Date.now()): boolean {
  return Date.parse(time) - now > CLOCK_SLACK_MS;
}

const SPANS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
] as const;

/** About `3d`, `5h` or `2m`; less than a minute is one. @param span ms */
export function showSpan(span: number): string {
  const [unit, length] = SPANS.find(([, ms]) => span >= ms) ?? SPANS[2];
  return `${Math.max(1, Math.round(span / length))}${unit}`;
}

/** Whether a time of a record is longer ago than this; ms. One that is unknown is, and one whose clock was ahead. */
export function isOlderThan(time: string | null, ms: number): boolean {
  return time === null || isAhead(time) || Date.now() - Date.parse(time) > ms;
}
