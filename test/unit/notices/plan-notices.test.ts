import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Condition,
  NOTHING_TOLD,
  type PlannedNotice,
  planNotices,
  type Told,
} from '../../../src/notices/plan-notices.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const START = Date.parse('2026-01-01T00:00:00Z');

/** Looks at these moments, and what is told at each, as `failed UNAVAILABLE`. */
function story(...looks: readonly [minute: number, ...conditions: Condition[]][]): string[][] {
  let told: Told = NOTHING_TOLD;
  return looks.map(([minute, ...conditions]) => {
    const planned = planNotices(told, conditions, START + minute * MINUTE);
    told = planned.told;
    return planned.notices.map(({ kind, code }) => `${kind} ${code}`);
  });
}

const failed = (minute: number, code = 'UNAVAILABLE'): Condition => ({
  kind: 'failed',
  code,
  since: START + minute * MINUTE,
});
const stale: Condition = { kind: 'stale', code: 'STALE', since: START };

describe('people are told', () => {
  test('of a failure once, and of its end', () => {
    expect(story([1, failed(0)], [2, failed(0)], [500, failed(0)], [501], [502])).toEqual([
      ['failed UNAVAILABLE'],
      [],
      [],
      ['recovered UNAVAILABLE'],
      [],
    ]);
  });

  test('of a failure again when another sync has failed, but not within the hour', () => {
    expect(story([1, failed(0)], [6, failed(5)], [59, failed(58)], [62, failed(61)])).toEqual([
      ['failed UNAVAILABLE'],
      [],
      [],
      ['failed UNAVAILABLE'],
    ]);
  });

  test('of another failure at once, which is no end of the first', () => {
    expect(story([1, failed(0)], [2, failed(1, 'NO_SPACE')], [3])).toEqual([
      ['failed UNAVAILABLE'],
      ['failed NO_SPACE'],
      ['recovered NO_SPACE'],
    ]);
  });

  test('of the end of one that came back from another too soon to be told again', () => {
    expect(story([1, failed(0)], [2, failed(1, 'NO_SPACE')], [3, failed(2)], [4])).toEqual([
      ['failed UNAVAILABLE'],
      ['failed NO_SPACE'],
      [],
      ['recovered UNAVAILABLE'],
    ]);
  });

  test('of one that comes and goes once in an hour', () => {
    expect(
      story([1, failed(0)], [2], [3, failed(3)], [4], [5, failed(5)], [70, failed(5)], [71]),
    ).toEqual([
      ['failed UNAVAILABLE'],
      ['recovered UNAVAILABLE'],
      [],
      [],
      [],
      ['failed UNAVAILABLE'],
      ['recovered UNAVAILABLE'],
    ]);
  });

  test('that a mirror is stale, and each day that it still is', () => {
    expect(story([0, stale], [60, stale], [24 * 60 - 1, stale], [24 * 60, stale], [1500])).toEqual([
      ['stale STALE'],
      [],
      [],
      ['stale STALE'],
      ['recovered STALE'],
    ]);
  });

  test('anew, if what they were told lies in the future', () => {
    const told: Told = { last: { 'failed IO': START + 9 * HOUR }, open: {} };
    expect(planNotices(told, [failed(0, 'IO')], START).notices).toHaveLength(1);
  });
});

test('the same is never told twice within an hour, and of each failure that was told the end is, too', () => {
  // Its last sync failed in one way at most.
  const conditions = fc
    .record({
      failed: fc.option(fc.constantFrom('IO', 'BUSY', 'NO_SPACE')),
      isStale: fc.boolean(),
      back: fc.nat(90),
    })
    .map(({ failed: code, isStale, back }) => [
      ...(code === null ? [] : [{ kind: 'failed' as const, code, back }]),
      ...(isStale ? [{ kind: 'stale' as const, code: 'STALE', back }] : []),
    ]);
  const looks = fc.array(fc.record({ pause: fc.nat(90), conditions }), { maxLength: 40 });
  fc.assert(
    fc.property(looks, (all) => {
      let told: Told = NOTHING_TOLD;
      let now = START;
      const sent: (PlannedNotice & { at: number })[] = [];
      const look = (conditions: readonly Condition[]) => {
        const planned = planNotices(told, conditions, now);
        told = planned.told;
        sent.push(...planned.notices.map((notice) => ({ ...notice, at: now })));
      };
      for (const { pause, conditions } of all) {
        now += pause * MINUTE;
        look(
          conditions.map(({ kind, code, back }) => ({ kind, code, since: now - back * MINUTE })),
        );
      }
      // In the end all is well, for long enough.
      for (let hour = 0; hour < 3; hour += 1) {
        now += HOUR;
        look([]);
      }
      for (const [at, notice] of sent.entries()) {
        const next = sent
          .slice(at + 1)
          .find(({ kind, code }) => kind === notice.kind && code === notice.code);
        const isOther = notice.kind === 'recovered';
        // What was over may be over again before it is told again.
        if (next !== undefined && !isOther)
          expect(next.at - notice.at).toBeGreaterThanOrEqual(HOUR);
      }
      expect(told.open).toEqual({});
      const problems = sent.filter(({ kind }) => kind !== 'recovered').length;
      const ends = sent.filter(({ kind }) => kind === 'recovered').length;
      expect(ends).toBeLessThanOrEqual(problems);
      expect(problems === 0 || ends > 0).toBe(true);
    }),
    { numRuns: 2_000 },
  );
});
