import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  applyRetention,
  CALENDAR,
  type DatedSnapshot,
} from '../../../../src/mirror/retention/retention.ts';
import { DEFAULT_RETENTION, type RetentionPolicy } from '../../../../src/mirror/settings/policy.ts';
import { LEAST, policies, TAGS } from '../../../support/random-retention.ts';

const NOW = Date.UTC(2026, 10, 22);
const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/**
 * Snapshots in order of publication, each superseded by the next.
 *
 * @param writtenAt the same times, as the clock had them.
 */
function chain(
  publishedAt: readonly number[],
  writtenAt: readonly number[] = publishedAt,
): DatedSnapshot[] {
  return publishedAt.map((time, at) => {
    const next = publishedAt[at + 1];
    return {
      id: `s${String(at).padStart(3, '0')}`,
      isCurrent: at === publishedAt.length - 1,
      isPrevious: at === publishedAt.length - 2,
      channels: [],
      promises: [],
      clones: [],
      mark: { tags: [] },
      publishedAt: time,
      supersededAt: next ?? time,
      writtenAt: writtenAt[at] ?? time,
    };
  });
}

/** Some an hour apart, some a month. */
const step = fc.oneof(
  fc.integer({ min: 0, max: 10 * HOUR }),
  fc.integer({ min: 0, max: 2 * DAY }),
  fc.integer({ min: 0, max: 60 * DAY }),
);
const forward = fc
  .array(step, { minLength: 1, maxLength: 25 })
  .map((steps) =>
    chain(steps.map((_, at) => NOW - steps.slice(at).reduce((sum, one) => sum + one, 0))),
  );
const anyTimes = fc
  .array(fc.integer({ min: NOW - 1000 * HOUR, max: NOW + 1000 * HOUR }), {
    minLength: 1,
    maxLength: 25,
  })
  .map(chain);

/** Nights in which the clock was years off, and what it said then; at most one a week. */
const wrongNights = fc
  .array(
    fc.oneof(
      { weight: 3, arbitrary: fc.constant(undefined) },
      { weight: 1, arbitrary: fc.integer({ min: Date.UTC(1971, 0), max: Date.UTC(2025, 0) }) },
      { weight: 1, arbitrary: fc.integer({ min: Date.UTC(2028, 0), max: Date.UTC(2040, 0) }) },
    ),
    { minLength: 30, maxLength: 200 },
  )
  .map((nights) => [...nights, undefined, undefined])
  .map((nights) => nights.map((wrong, at) => (at % 7 === 4 ? wrong : undefined)));

/** The days whose snapshots are left after a sync a day, of which each prunes, but not by a wrong clock. */
function keptAfter(nights: readonly (number | undefined)[], retention: RetentionPolicy): number[] {
  let days: number[] = [];
  nights.forEach((wrong, today) => {
    days.push(today);
    if (wrong !== undefined) return;
    const times = days.map((day) => NOW + day * DAY);
    const snapshots = chain(
      times,
      days.map((day, at) => nights[day] ?? times[at] ?? 0),
    );
    const kept = keptBy(snapshots, retention, NOW + today * DAY);
    days = days.filter((_, at) => kept.has(snapshots[at]?.id ?? ''));
  });
  return days;
}

/** Any of these, with marks on some. */
const marked = fc
  .tuple(
    fc.oneof(forward, anyTimes),
    fc.array(fc.tuple(fc.subarray([...TAGS]), fc.boolean(), fc.boolean()), {
      minLength: 25,
      maxLength: 25,
    }),
  )
  .map(([snapshots, marks]) =>
    snapshots.map((snapshot, at): DatedSnapshot => {
      const [tags = [], isPinned = false, isServed = false] = marks[at] ?? [];
      const pin = { by: 'alice', since: '2026-11-22T00:00:00.000Z' };
      return {
        ...snapshot,
        mark: isPinned ? { tags, pin } : { tags },
        clones: isServed ? ['/srv/served'] : [],
      };
    }),
  );

function keptBy(
  snapshots: readonly DatedSnapshot[],
  retention: RetentionPolicy,
  now = NOW,
): Set<string> {
  return new Set(
    applyRetention(snapshots, retention, now)
      .filter(({ reasons }) => reasons.length > 0)
      .map(({ id }) => id),
  );
}

/** The times of those that one rule of the calendar keeps, the latest first. */
function keptAsOneOf(
  rule: (typeof CALENDAR)[number],
  count: number,
  snapshots: readonly DatedSnapshot[],
): number[] {
  return applyRetention(snapshots, { ...LEAST, [rule.rule]: count }, NOW)
    .flatMap(({ reasons }, at) =>
      reasons.some((reason) => reason.includes(rule.name)) ? (snapshots[at]?.writtenAt ?? 0) : [],
    )
    .reverse();
}

/** The period of a time, in another way than by the program. */
const PERIODS: Record<(typeof CALENDAR)[number]['name'], (time: number) => string> = {
  hourly: (time) => new Date(time).toISOString().slice(0, 13),
  daily: (time) => new Date(time).toISOString().slice(0, 10),
  weekly: (time) => {
    const monday = new Date(time);
    while (monday.getUTCDay() !== 1) monday.setUTCDate(monday.getUTCDate() - 1);
    return monday.toISOString().slice(0, 10);
  },
  monthly: (time) => new Date(time).toISOString().slice(0, 7),
  yearly: (time) => new Date(time).toISOString().slice(0, 4),
};

const calendarRule = fc.constantFrom(...CALENDAR);
const count = fc.integer({ min: 1, max: 12 });

describe('retention', () => {
  test('never removes what is current, previous, served, pinned, young, or has a tag that is kept', () => {
    fc.assert(
      fc.property(marked, policies, (snapshots, retention) => {
        const kept = keptBy(snapshots, retention);
        const mustStay = snapshots.filter(
          ({ isCurrent, isPrevious, clones, mark, publishedAt, supersededAt }) =>
            isCurrent ||
            isPrevious ||
            clones.length > 0 ||
            mark.pin !== undefined ||
            mark.tags.some((tag) => retention.keepTags.includes(tag)) ||
            NOW - publishedAt < retention.keepWithinMs ||
            NOW - supersededAt < retention.graceMs,
        );
        for (const { id } of mustStay) expect(kept).toContain(id);
      }),
      { numRuns: 500 },
    );
  });

  test('removes no more for a mark, and says who pinned it and why', () => {
    fc.assert(
      fc.property(marked, policies, (snapshots, retention) => {
        const kept = keptBy(snapshots, retention);
        const unmarked = snapshots.map((one) => ({ ...one, mark: { tags: [] } }));
        for (const id of keptBy(unmarked, retention)) expect(kept).toContain(id);
      }),
    );
    const pin = { by: 'alice', since: '2026-11-22T00:00:00.000Z', reason: 'of\nthe release' };
    const [old] = chain([NOW - 9 * DAY, NOW - 2, NOW - 1]).map((one) => ({
      ...one,
      mark: { tags: ['tested', 'release'], pin },
    }));
    const retention = { ...LEAST, keepTags: ['release'] };
    expect(applyRetention(old === undefined ? [] : [old], retention, NOW)[0]?.reasons).toEqual([
      'is pinned by alice: of\\x0athe release',
      'has the tag release',
      'is the newest',
    ]);
  });

  test('never removes current and previous, whatever the clock says', () => {
    fc.assert(
      fc.property(
        anyTimes,
        policies,
        fc.integer({ min: -1000, max: 1000 }),
        (snapshots, retention, hours) => {
          const kept = keptBy(snapshots, retention, NOW + hours * HOUR);
          for (const { id, isCurrent, isPrevious } of snapshots) {
            if (isCurrent || isPrevious) expect(kept).toContain(id);
          }
        },
      ),
    );
  });

  test('keeps current even if it is not the last, as after the loss of the history', () => {
    const times = [4, 3, 2, 1].map((days) => NOW - days * DAY);
    const snapshots = chain(times).map((one, at) => ({ ...one, isCurrent: at === 0 }));
    expect([...keptBy(snapshots, LEAST)]).toEqual(['s000', 's002', 's003']);
  });

  test('keeps at least as much with another rule, a larger number, a longer time or more grace', () => {
    fc.assert(
      fc.property(anyTimes, policies, policies, (snapshots, less, other) => {
        const more = Object.fromEntries(
          Object.entries(less).map(([name, value]) => [
            name,
            typeof value === 'number'
              ? value + Number(other[name as keyof RetentionPolicy])
              : [...value, ...other.keepTags],
          ]),
        ) as unknown as RetentionPolicy;
        const keptByMore = keptBy(snapshots, more);
        expect([...keptBy(snapshots, less)].filter((id) => !keptByMore.has(id))).toEqual([]);
      }),
    );
  });

  test('removes nothing more when the clock jumps back', () => {
    fc.assert(
      fc.property(anyTimes, policies, fc.nat(1000), (snapshots, retention, hours) => {
        const kept = keptBy(snapshots, retention);
        const keptEarlier = keptBy(snapshots, retention, NOW - hours * HOUR);
        expect([...kept].filter((id) => !keptEarlier.has(id))).toEqual([]);
      }),
    );
  });

  test('removes nothing more when it is applied to what it has left', () => {
    fc.assert(
      fc.property(forward, policies, (snapshots, retention) => {
        const kept = keptBy(snapshots, retention);
        const left = snapshots.filter(({ id }) => kept.has(id));
        expect([...keptBy(left, retention)]).toEqual([...kept]);
      }),
      { numRuns: 1000 },
    );
  });

  test('counts the last snapshots by publication, even if the clock was set back in between', () => {
    fc.assert(
      fc.property(anyTimes, fc.integer({ min: 1, max: 20 }), (snapshots, keepLast) => {
        const kept = keptBy(snapshots, { ...LEAST, keepLast });
        for (const { id } of snapshots.slice(-keepLast)) expect(kept).toContain(id);
      }),
    );
  });

  test('gives a fitting reason for all that stays, and removes only what no rule keeps', () => {
    fc.assert(
      fc.property(forward, policies, (snapshots, retention) => {
        const decisions = applyRetention(snapshots, retention, NOW);
        expect(decisions.map(({ id }) => id)).toEqual(snapshots.map(({ id }) => id));
        decisions.forEach(({ reasons }, at) => {
          const { isCurrent, isPrevious, publishedAt, supersededAt } = snapshots[
            at
          ] as DatedSnapshot;
          if (reasons.length > 0) return;
          expect(isCurrent || isPrevious).toBe(false);
          expect(NOW - publishedAt).toBeGreaterThanOrEqual(retention.keepWithinMs);
          expect(NOW - supersededAt).toBeGreaterThanOrEqual(retention.graceMs);
          expect(at).toBeLessThan(snapshots.length - retention.keepLast);
        });
      }),
    );
  });
});

describe('a rule of the calendar', () => {
  test('keeps the newest of each of the last periods that have a snapshot, and then the oldest', () => {
    fc.assert(
      fc.property(forward, calendarRule, count, (snapshots, rule, wanted) => {
        const newestFirst = snapshots.map(({ writtenAt }) => writtenAt).reverse();
        const newest = new Map<string, number>();
        for (const time of newestFirst) {
          const period = PERIODS[rule.name](time);
          if (!newest.has(period)) newest.set(period, time);
        }
        const expected = [...newest.values()].slice(0, wanted);
        const oldest = newestFirst.at(-1) ?? 0;
        const kept = keptAsOneOf(rule, wanted, snapshots);
        expect(kept.slice(0, expected.length)).toEqual(expected);
        expect([oldest, undefined]).toContain(kept[expected.length]);
        if (newest.size < wanted) expect(kept).toContain(oldest);
      }),
      { numRuns: 500 },
    );
  });

  test('never keeps more than its number, whatever the clocks said', () => {
    fc.assert(
      fc.property(
        fc.oneof(forward, anyTimes),
        calendarRule,
        count,
        fc.boolean(),
        (snapshots, rule, wanted, isRaised) => {
          const kept = keptAsOneOf(rule, wanted, snapshots);
          expect(kept.length).toBeLessThanOrEqual(wanted);
          expect(kept.length).toBeGreaterThan(0);
          if (isRaised)
            expect(keptAsOneOf(rule, wanted + 1, snapshots)).toEqual(expect.arrayContaining(kept));
        },
      ),
    );
  });

  test('neither loses nor keeps for years what was made in nights of a wrong clock', () => {
    const rules = { ...LEAST, keepDaily: 7, keepWeekly: 4, keepMonthly: 4, keepYearly: 2 };
    fc.assert(
      fc.property(wrongNights, (nights) => {
        const right = keptAfter(
          nights.map(() => undefined),
          rules,
        );
        const kept = keptAfter(nights, rules);
        expect(kept.length).toBeGreaterThanOrEqual(right.length - 1);
        expect(kept.length).toBeLessThanOrEqual(right.length + 1);
        for (const day of right)
          expect(Math.min(...kept.map((other) => Math.abs(other - day)))).toBeLessThan(32);
      }),
      { numRuns: 30 },
    );
  });

  test('gives each its place in the reason', () => {
    const snapshots = chain([30, 29, 2, 1, 0].map((hours) => NOW - hours * HOUR - 1));
    const policy = { ...DEFAULT_RETENTION, keepLast: 1, keepDaily: 7, graceMs: 0 };
    expect(applyRetention(snapshots, policy, NOW).map(({ reasons }) => reasons)).toEqual([
      ['is daily 3 of 7'],
      ['is daily 2 of 7'],
      [],
      ['is previous'],
      ['is current', 'is the newest', 'is daily 1 of 7'],
    ]);
  });
});
