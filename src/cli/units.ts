import ms, { type StringValue } from 'ms';
import prettyBytes from 'pretty-bytes';

/** `2.5 MB`; `?` if unknown. */
export function showBytes(bytes: number | null): string {
  return bytes === null ? '?' : prettyBytes(bytes);
}

/** The time since `time` (ISO 8601), such as `3h`; `?` if unknown. */
export function showAge(time: string | null): string {
  return time === null ? '?' : ms(Math.max(0, Date.now() - Date.parse(time)));
}

/** `90s`, `10m`, `1d`; `0` for no time. */
export function showDuration(milliseconds: number): string {
  return milliseconds === 0 ? '0' : ms(milliseconds);
}

/** Reads `90s`, `10m`, `24h` or `7d`; ms. Undefined for any other text. */
export function readDuration(text: string): number | undefined {
  // ms() throws for an empty text and for one of more than 100 characters.
  return text === '' || text.length > 100 ? undefined : ms(text as StringValue);
}
