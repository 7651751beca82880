import { expect, test } from 'vitest';
import { showAge, showTimeLeft } from '../../../src/cli/units.ts';
import { showDuration } from '../../../src/config/values.ts';

test.each([
  [0, '0s'],
  [-5000, '0s'],
  [-6.6 * 86_400_000, 'in 7d'],
  [90_000, '2m'],
  [86_400_000, '1d'],
])('what is %i ms old is shown as %s old', (age, shown) => {
  expect(showAge(new Date(Date.now() - age).toISOString())).toBe(shown);
});

test.each([
  [1, '1s'],
  [59_900, '1m 0s'],
  [200_000, '3m 20s'],
  [7_500_000, '2h 5m'],
  [273_600_000, '3d 4h'],
])('%i ms are left as %s', (ms, shown) => expect(showTimeLeft(ms)).toBe(shown));

test.each([
  [0, '0'],
  [129_600_000, '36h'],
  [172_800_000, '2d'],
  [5_400_000, '90m'],
  [1_500, '1500ms'],
])('a duration of %i ms is shown exactly, as %s', (ms, shown) =>
  expect(showDuration(ms)).toBe(shown),
);
