import ms from 'ms';
import { isAhead, showTime } from '../mirror/units.ts';

/** `1 file`, `2 files`. */
export function showFiles(count: number): string {
  return count === 1 ? '1 file' : `${count} files`;
}

/** The time since `time` (ISO 8601), such as `3h`; `?` if unknown, `in 3h` if it is still to come. */
export function showAge(time: string | null): string {
  if (time === null) return '?';
  if (isAhead(time)) return `in ${ms(Date.parse(time) - Date.now())}`;
  const age = Date.now() - Date.parse(time);
  return age < 1000 ? '0s' : ms(age);
}

/** `3h ago`, or that it lies in the future. */
export function showSince(time: string): string {
  if (!isAhead(time)) return `${showAge(time)} ago`;
  return `at ${showTime(time)}, which lies in the future: a clock was wrong, or is`;
}

/** `45s`, `3m 20s`, `2h 5m` or `3d 4h`: the two largest units. */
export function showTimeLeft(milliseconds: number): string {
  const seconds = Math.ceil(milliseconds / 1000);
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${seconds % 60}s`;
  const hours = Math.floor(seconds / 3600);
  if (hours < 24) return `${hours}h ${Math.floor((seconds % 3600) / 60)}m`;
  return `${Math.floor(hours / 24)}d ${hours % 24}h`;
}
