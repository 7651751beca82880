import { expect, test } from 'vitest';
import { refuseContradictions } from '../../../src/cli/pin-times.ts';

const [SECOND, MINUTE, HOUR] = [1_000, 60_000, 3_600_000];

test.each([
  [{ gapMs: 15 * MINUTE }, '--pin-gap (15m) is longer than --pin-quiet (10m by default)'],
  [{ quietMs: 0 }, '--pin-gap (5s by default) is longer than --pin-quiet (0)'],
  [{ maxAgeMs: 3 * SECOND }, '--pin-gap (5s by default) is longer than --pin-max-age (3s)'],
  [
    { gapMs: 2 * HOUR, quietMs: 3 * HOUR },
    '--pin-gap (2h) is longer than --pin-max-age (1h by default)',
  ],
  [{ quietMs: 2 * HOUR, maxAgeMs: HOUR }, '--pin-quiet (2h) is longer than --pin-max-age (1h)'],
  [{ quietMs: 36 * HOUR }, '--pin-quiet (36h) is longer than any run of a client (1d)'],
  [{ maxAgeMs: 48 * HOUR }, '--pin-max-age (2d) is longer than any run of a client (1d)'],
])('%j is refused', (given, why) => {
  expect(() => refuseContradictions(given)).toThrow(why);
});

test('what one time leaves of the defaults, and equal times, are in order', () => {
  const orders = [
    {},
    { quietMs: 2 * HOUR },
    { maxAgeMs: 5 * MINUTE },
    { gapMs: 0, quietMs: 0 },
    { gapMs: HOUR, quietMs: HOUR, maxAgeMs: HOUR },
    { gapMs: 24 * HOUR, quietMs: 24 * HOUR, maxAgeMs: 24 * HOUR },
  ];
  for (const given of orders) expect(() => refuseContradictions(given)).not.toThrow();
});
