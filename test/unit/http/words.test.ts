import { expect, test } from 'vitest';
import {
  ageInWords,
  durationInWords,
  grouped,
  plural,
  shortAge,
} from '../../../src/http/status/words.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

test('an age is told in the unit in which a person would tell it', () => {
  const ages = [
    0,
    1000,
    99_000,
    100_000,
    59 * MINUTE,
    99 * MINUTE,
    100 * MINUTE,
    47 * HOUR,
    48 * HOUR,
  ];
  expect(ages.map(ageInWords)).toEqual([
    '0 seconds',
    '1 second',
    '99 seconds',
    '1 minute',
    '59 minutes',
    '99 minutes',
    '1 hour',
    '47 hours',
    '2 days',
  ]);
  expect(ages.map(shortAge).slice(-3)).toEqual(['1 h', '47 h', '2 d']);
  expect(ageInWords(-5 * HOUR)).toBe('0 seconds');
});

test('a duration is told in its two largest units', () => {
  expect([0, 0.44, 9.96, 59.4, 59.6, 200, 3600, 7500].map(durationInWords)).toEqual([
    '0 s',
    '0.4 s',
    '10 s',
    '59 s',
    '1 min',
    '3 min 20 s',
    '1 h',
    '2 h 5 min',
  ]);
});

test('counts are grouped by thousands', () => {
  expect([0, 999, 1000, 1234567].map(grouped)).toEqual(['0', '999', '1,000', '1,234,567']);
  expect([plural(1, 'file'), plural(1204, 'file')]).toEqual(['1 file', '1,204 files']);
});
