import { type BigIntStats, statSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import { pathInTree } from './place-in-tree.ts';

/**
 * By what a client recognizes the bytes that it has (RFC 9110, 8.8), and the questions it may ask with
 * them (13.1). A mirror goes back in time when it is rolled back, so a date says which file it was, and
 * nothing of earlier and later: dates are compared for equality, as nginx does with
 * `if_modified_since exact`. With `<=`, a client that has the newer file would be told that it is still
 * good, or be sent the rest of the older one.
 *
 * No other place decides what the same file is: Apache's program asks here, too, and nginx, which knows no more than the
 * ETag of a whole tree (`tagOfTree`), leaves each request with a condition to us as long as we answer.
 */
export interface Validators {
  /** Strong, with its quotes. */
  readonly etag: string;
  /** As in Last-Modified: whole seconds, rounded down. */
  readonly lastModified: string;
}

/**
 * Files share an ETag only if they are one file, and its bytes are the same. What is written again may get its size and its
 * date back (touch -d), but never the time of the last change of its status. Each new hard link moves that, too, and
 * snapshots are hard links of each other: so it is left out where nothing is ever written again.
 *
 * @param isFrozen whether it is a file of a published snapshot.
 */
export function validatorsOf(status: BigIntStats, isFrozen: boolean): Validators {
  const parts = [status.ino, status.birthtimeNs, status.mtimeNs, status.size];
  if (!isFrozen) parts.push(status.ctimeNs);
  return {
    etag: `"${parts.map((part) => part.toString(36)).join('.')}"`,
    lastModified: new Date(dateOf(status)).toUTCString(),
  };
}

/** Validators, and how far a client that has only the date can be believed. */
export interface Recognition extends Validators {
  /** Whether no other file that may have been at this path has the same date. Asked only if a request has a date. */
  readonly isDateSure: () => boolean;
}

/**
 * Whether the date of a file tells it from those that other trees have at its path: a date is whole seconds, and a source may
 * give two versions the same one (RFC 9110, 8.8.2.2). Files that are one file are no others.
 *
 * @param name raw bytes below each tree.
 */
export function isDateSure(
  own: Pick<BigIntStats, 'ino' | 'dev' | 'mtimeMs'>,
  name: Buffer,
  otherTrees: readonly string[],
): boolean {
  return otherTrees.every((tree) => {
    const other = statIfPossible(pathInTree(tree, name));
    if (other === undefined || (other.ino === own.ino && other.dev === own.dev)) return true;
    return dateOf(other) !== dateOf(own);
  });
}

function statIfPossible(path: Buffer): BigIntStats | undefined {
  try {
    return statSync(path, { bigint: true });
  } catch {
    return undefined;
  }
}

/** Milliseconds since 1970, of a whole second, rounded down. */
function dateOf({ mtimeMs }: Pick<BigIntStats, 'mtimeMs'>): number {
  return Math.floor(Number(mtimeMs) / 1000) * 1000;
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
export function isUnchanged(headers: IncomingHttpHeaders, own: Recognition): boolean {
  const tags = headers['if-none-match'];
  if (tags !== undefined) return isAmong(tags, own.etag, 'weak');
  return isDateOf(headers['if-modified-since'], own);
}

/** Whether the client wants these bytes only if they are others: the answer is 412. */
export function isPreconditionFailure(headers: IncomingHttpHeaders, own: Recognition): boolean {
  const tags = headers['if-match'];
  if (tags !== undefined) return !isAmong(tags, own.etag, 'strong');
  const date = headers['if-unmodified-since'];
  // One that is no date is ignored (RFC 9110, 13.1.4).
  return date !== undefined && !Number.isNaN(Date.parse(date)) && !isDateOf(date, own);
}

/** Whether the rest of what the client has may be sent, and not the whole (RFC 9110, 13.1.5). */
export function isRangeOfSame(headers: IncomingHttpHeaders, own: Recognition): boolean {
  const condition = headers['if-range'];
  if (typeof condition !== 'string') return true;
  return condition.includes('"') ? condition.trim() === own.etag : isDateOf(condition, own);
}

/** Whether the client has only a date, by which what it has seems to be this file, and the whole is sent to make sure. */
export function isRangeOfUnsureDate(headers: IncomingHttpHeaders, own: Recognition): boolean {
  const condition = headers['if-range'];
  if (typeof condition !== 'string' || Date.parse(condition) !== Date.parse(own.lastModified))
    return false;
  return !isRangeOfSame(headers, own);
}

function isAmong(list: string, etag: string, comparison: 'weak' | 'strong'): boolean {
  if (list.trim() === '*') return true;
  return list
    .split(',')
    .map((tag) => tag.trim())
    .some((tag) => tag === etag || (comparison === 'weak' && tag === `W/${etag}`));
}

/** Whether a date that a client names tells that it has these very bytes. */
export function isDateOf(date: string | undefined, own: Recognition): boolean {
  if (date === undefined || Date.parse(date) !== Date.parse(own.lastModified)) return false;
  return own.isDateSure();
}
