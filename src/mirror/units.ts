import prettyBytes from 'pretty-bytes';

/** `2.5 MB`; `?` if unknown. */
export function showBytes(bytes: number | bigint | null): string {
  return bytes === null ? '?' : prettyBytes(bytes);
}

/** A time of a record (ISO 8601, UTC), to the second. */
export function showTime(time: string): string {
  return time.replace(/\.\d+Z$/, 'Z');
}
