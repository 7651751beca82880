import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  freshId,
  isSnapshotId,
  parseSnapshotId,
  timestampId,
} from '../../../src/mirror/snapshot-id.ts';

const time = fc.date({
  min: new Date('1970-01-01'),
  max: new Date('2999-12-31'),
  noInvalidDate: true,
});

test('a time names a snapshot as YYYYMMDDTHHMMSSZ, in UTC', () => {
  expect(timestampId(new Date('2026-11-22T08:15:00.999Z'))).toBe('20261122T081500Z');
});

test('names made from times are ids, and sort by time', () => {
  fc.assert(
    fc.property(time, time, (a, b) => {
      const [one, other] = [timestampId(a), timestampId(b)];
      expect(isSnapshotId(one)).toBe(true);
      const seconds = (date: Date) => Math.floor(date.getTime() / 1000);
      expect(Math.sign(seconds(a) - seconds(b))).toBe(one < other ? -1 : one > other ? 1 : 0);
    }),
  );
});

test('a fresh name is never taken already', () => {
  fc.assert(
    fc.property(time, fc.nat(20), (now, count) => {
      const taken = new Set<string>();
      for (let made = 0; made <= count; made += 1) {
        const id = freshId(now, (name) => taken.has(name));
        expect(taken.has(id)).toBe(false);
        expect(isSnapshotId(id)).toBe(true);
        taken.add(id);
      }
    }),
  );
});

test('an id is a plain file name: not a path, an option, a hidden file or a name in staging', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 120 }), (text) => {
      if (isSnapshotId(text)) expect(text).toMatch(/^[A-Za-z0-9][\w.+-]{0,99}$/);
    }),
  );
  for (const text of [
    '',
    '.',
    '..',
    '-n',
    '.x',
    'a/b',
    'a b',
    'a\n',
    'x.clone',
    'x.foreign',
    'é',
    'a'.repeat(101),
  ]) {
    expect(isSnapshotId(text), text).toBe(false);
    expect(() => parseSnapshotId(text)).toThrow(expect.objectContaining({ code: 'USAGE' }));
  }
  for (const text of ['a', '2026-11-22', 'v1.2+3', 'a'.repeat(100)])
    expect(parseSnapshotId(text)).toBe(text);
});
