import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { plausibleTimes } from '../../../../src/mirror/history/plausible-times.ts';

describe('plausible times', () => {
  test('are those that were written, as long as none is before another', () => {
    fc.assert(
      fc.property(fc.array(fc.integer()), (times) => {
        const inOrder = times.sort((a, b) => a - b);
        expect(plausibleTimes(inOrder)).toEqual(inOrder);
      }),
    );
  });

  test('never decrease, whatever was written', () => {
    fc.assert(
      fc.property(fc.array(fc.integer()), (times) => {
        const plausible = plausibleTimes(times);
        expect(plausible).toHaveLength(times.length);
        plausible.forEach((time, at) => {
          expect(time).toBeGreaterThanOrEqual(plausible[at - 1] ?? time);
        });
      }),
    );
  });

  test.each([
    ['between the others, evenly', [10, 20, 900, 1, 50], [10, 20, 30, 40, 50]],
    ['at the first, before it', [900, 10, 20], [10, 10, 20]],
    ['at the last, after it', [10, 20, 1], [10, 20, 20]],
    ['the earlier, if only one of two can be right', [10, 30, 20], [10, 15, 20]],
    ['the one far from the others', [1000, 1, 1010], [1000, 1005, 1010]],
  ])('spread the doubtful %s', (_, written, expected) => {
    expect(plausibleTimes(written)).toEqual(expected);
  });
});
