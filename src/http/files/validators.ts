import type { BigIntStats } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';

/**
 * By what a client recognizes the bytes that it has (RFC 9110, 8.8), and the questions it may ask with
 * them (13.1). A mirror goes back in time when it is rolled back, so a date says which file it was, and
 * nothing of earlier and later: dates are compared for equality, as nginx does with
 * `if_modified_since exact`. With `<=`, a client that has the newer file would be told that it is still
 * good, or be sent the rest of the older one.
 */
export interface Validators {
  /** Strong, with its quotes. */
  readonly etag: string;
  /** As in Last-Modified: whole seconds, rounded down. */
  readonly lastModified: string;
}

/**
 * Files share an ETag only if they are one file. Snapshots are hard links of each other, so the time of
 * the last change of status is left out: each new link moves it.
 */
export function validatorsOf(status: BigIntStats): Validators {
  const parts = [status.ino, status.birthtimeNs, status.mtimeNs, status.size];
  return {
    etag: `"${parts.map((part) => part.toString(36)).join('.')}"`,
    lastModified: new Date(Math.floor(Number(status.mtimeMs) / 1000) * 1000).toUTCString(),
  };
}

/** Whether a request wants anything but the whole file, whatever the client has. */
export function hasConditions(headers: IncomingHttpHeaders): boolean {
  return CONDITIONS.some((name) => headers[name] !== undefined);
}

const CONDITIONS = [
  'range',
  'if-range',
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
] as const;

/** Whether the client has these very bytes: the answer is 304. If-None-Match wins over the date. */
export function isUnchanged(headers: IncomingHttpHeaders, own: Validators): boolean {
  const tags = headers['if-none-match'];
  if (tags !== undefined) return isAmong(tags, own.etag, 'weak');
  return isDate(headers['if-modified-since'], own);
}

/** Whether the client wants these bytes only if they are others: the answer is 412. */
export function isPreconditionFailure(headers: IncomingHttpHeaders, own: Validators): boolean {
  const tags = headers['if-match'];
  if (tags !== undefined) return !isAmong(tags, own.etag, 'strong');
  const date = headers['if-unmodified-since'];
  // One that is no date is ignored (RFC 9110, 13.1.4).
  return date !== undefined && !Number.isNaN(Date.parse(date)) && !isDate(date, own);
}

/** Whether the rest of what the client has may be sent, and not the whole (RFC 9110, 13.1.5). */
export function isRangeOfSame(headers: IncomingHttpHeaders, own: Validators): boolean {
  const condition = headers['if-range'];
  if (typeof condition !== 'string') return true;
  return condition.includes('"') ? condition.trim() === own.etag : isDate(condition, own);
}

function isAmong(list: string, etag: string, comparison: 'weak' | 'strong'): boolean {
  if (list.trim() === '*') return true;
  return list
    .split(',')
    .map((tag) => tag.trim())
    .some((tag) => tag === etag || (comparison === 'weak' && tag === `W/${etag}`));
}

function isDate(date: string | undefined, own: Validators): boolean {
  return date !== undefined && Date.parse(date) === Date.parse(own.lastModified);
}
