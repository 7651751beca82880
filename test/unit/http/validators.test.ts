import type { BigIntStats } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  hasConditions,
  isPreconditionFailure,
  isRangeOfSame,
  isUnchanged,
  validatorsOf,
} from '../../../src/http/files/validators.ts';

const own = {
  etag: '"a.b"',
  lastModified: 'Fri, 27 Nov 2026 01:02:03 GMT',
  isDateSure: () => true,
};
const sameDate = own.lastModified;
const earlier = 'Fri, 27 Nov 2026 01:02:02 GMT';
const later = 'Fri, 27 Nov 2026 01:02:04 GMT';

describe('What a client has is unchanged', () => {
  test.each([
    ['if its ETag is the same', { 'if-none-match': '"a.b"' }, true],
    ['if its ETag is the same and became weak on the way', { 'if-none-match': 'W/"a.b"' }, true],
    ['if its ETag is one of several', { 'if-none-match': '"x", "a.b" ,"y"' }, true],
    ['if it has anything', { 'if-none-match': '*' }, true],
    ['but not if its ETag only begins alike', { 'if-none-match': '"a.b.c"' }, false],
    ['if its date is the same', { 'if-modified-since': sameDate }, true],
    [
      'if its date is the same in another form',
      { 'if-modified-since': 'Friday, 27-Nov-26 01:02:03 GMT' },
      true,
    ],
    [
      'but not if its date is later: the mirror was rolled back',
      { 'if-modified-since': later },
      false,
    ],
    ['but not if its date is earlier', { 'if-modified-since': earlier }, false],
    ['but not if its date is none', { 'if-modified-since': 'yesterday' }, false],
    [
      'but not if the ETag differs and the date does not',
      { 'if-none-match': '"x"', 'if-modified-since': sameDate },
      false,
    ],
    ['but not if it does not ask', {}, false],
  ])('%s', (_, headers, expected) => {
    expect(isUnchanged(headers, own)).toBe(expected);
  });
});

describe('A precondition fails', () => {
  test.each([
    ['if the ETag is another', { 'if-match': '"x"' }, true],
    ['if the ETag is weak, because that says nothing of bytes', { 'if-match': 'W/"a.b"' }, true],
    ['but not if the ETag is among those', { 'if-match': '"x", "a.b"' }, false],
    ['but not if anything will do', { 'if-match': '*' }, false],
    ['if the date is later', { 'if-unmodified-since': later }, true],
    ['if the date is earlier', { 'if-unmodified-since': earlier }, true],
    ['but not if the date is the same', { 'if-unmodified-since': sameDate }, false],
    ['but not if the date is none', { 'if-unmodified-since': 'yesterday' }, false],
    ['but not if there is none', {}, false],
  ])('%s', (_, headers, expected) => {
    expect(isPreconditionFailure(headers, own)).toBe(expected);
  });
});

describe('The rest of a file is sent', () => {
  test.each([
    ['if there is no condition', undefined, true],
    ['if the ETag is the same', '"a.b"', true],
    ['but not if the ETag is another', '"x"', false],
    ['but not if the ETag is weak', 'W/"a.b"', false],
    ['if the date is the same', sameDate, true],
    ['but not if the date is later: the mirror was rolled back', later, false],
    ['but not if the date is earlier', earlier, false],
  ])('%s', (_, condition, expected) => {
    expect(isRangeOfSame(condition === undefined ? {} : { 'if-range': condition }, own)).toBe(
      expected,
    );
  });
});

test('A date that another file has, too, tells nothing, and an ETag still does', () => {
  const unsure = { ...own, isDateSure: () => false };
  expect(isUnchanged({ 'if-modified-since': sameDate }, unsure)).toBe(false);
  expect(isRangeOfSame({ 'if-range': sameDate }, unsure)).toBe(false);
  expect(isPreconditionFailure({ 'if-unmodified-since': sameDate }, unsure)).toBe(true);
  expect(isUnchanged({ 'if-none-match': own.etag }, unsure)).toBe(true);
  expect(isRangeOfSame({ 'if-range': own.etag }, unsure)).toBe(true);
});

const status = {
  ino: 12n,
  birthtimeNs: 1_000_000_001n,
  mtimeNs: 1_795_741_323_999_999_999n,
  mtimeMs: 1_795_741_323_999n,
  ctimeNs: 7n,
  nlink: 1n,
  size: 4096n,
} as BigIntStats;

test('Files share an ETag only if inode, birth, modification and size are the same', () => {
  const { etag } = validatorsOf(status, true);
  expect(etag).toMatch(/^"[\x21\x23-\x7e]+"$/);
  for (const fact of ['ino', 'birthtimeNs', 'mtimeNs', 'size'] as const) {
    expect(
      validatorsOf({ ...status, [fact]: status[fact] + 1n } as BigIntStats, true).etag,
      fact,
    ).not.toBe(etag);
  }
  const linkedAgain = { ...status, ctimeNs: 8n, nlink: 2n } as BigIntStats;
  expect(validatorsOf(linkedAgain, true).etag).toBe(etag);
});

test('What may be written again has another ETag after each change of its status', () => {
  const { etag } = validatorsOf(status, false);
  const writtenAgain = { ...status, ctimeNs: 8n } as BigIntStats;
  expect(validatorsOf(writtenAgain, false).etag).not.toBe(etag);
  expect(validatorsOf(status, false).etag).toBe(etag);
});

test('The date of a file is rounded down, before 1970 too', () => {
  expect(validatorsOf(status, true).lastModified).toBe('Fri, 27 Nov 2026 01:02:03 GMT');
  const old = { ...status, mtimeMs: -1n } as BigIntStats;
  expect(validatorsOf(old, true).lastModified).toBe('Wed, 31 Dec 1969 23:59:59 GMT');
});

test('A plain request has no conditions', () => {
  expect(hasConditions({ 'user-agent': 'apt', accept: '*/*' })).toBe(false);
  expect(hasConditions({ range: 'bytes=0-1' })).toBe(true);
  expect(hasConditions({ 'if-unmodified-since': sameDate })).toBe(true);
});
