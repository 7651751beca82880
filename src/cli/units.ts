import ms, { type StringValue } from 'ms';
import prettyBytes from 'pretty-bytes';

/** `2.5 MB`; `?` where nobody counted. */
export function showBytes(bytes: number | null): string {
  return bytes === null ? '?' : prettyBytes(bytes);
}

/** How long ago a time (ISO 8601) was; `?` where nobody knows. */
export function showAge(time: string | null): string {
  return time === null ? '?' : ms(Math.max(0, Date.now() - Date.parse(time)));
}

/** `90s`, `10m`, `1d`; `0` for none at all. */
export function showDuration(milliseconds: number): string {
  return milliseconds === 0 ? '0' : ms(milliseconds);
}

/** `90s`, `10m`, `24h`, `7d` in milliseconds, or undefined for any other text. */
export function readDuration(text: string): number | undefined {
  // ms takes no empty text and none of more than 100 characters.
  return text === '' || text.length > 100 ? undefined : ms(text as StringValue);
}
