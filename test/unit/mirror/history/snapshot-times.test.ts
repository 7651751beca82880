import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { HistoryEntry } from '../../../../src/mirror/history/history.ts';
import {
  inOrderOfPublication,
  snapshotTimes,
  timesOfLines,
} from '../../../../src/mirror/history/snapshot-times.ts';

const HOUR = 3_600_000;
const NOW = Date.UTC(2026, 10, 22);

const flip = (id: string, previous: string | null, time: number): HistoryEntry => ({
  event: 'published',
  id,
  previous,
  at: new Date(time).toISOString(),
});

interface Real {
  readonly id: string;
  readonly time: number;
  readonly previous: string | null;
}

/** What really happened: at each time `current` was pointed at one of a few snapshots. */
const withRollbacks = fc
  .array(fc.record({ id: fc.constantFrom(...'abcdef'), wait: fc.integer({ min: 1, max: 99 }) }), {
    minLength: 1,
    maxLength: 15,
  })
  .map((steps) => {
    const waits = steps.map(({ wait }) => wait * HOUR);
    const times = waits.map((_, at) => NOW - waits.slice(at).reduce((sum, wait) => sum + wait, 0));
    const real = steps
      .map(({ id }, at) => ({ id, time: times[at] ?? NOW }))
      .filter(({ id }, at) => id !== steps[at - 1]?.id);
    return real.map(({ id, time }, at) => ({ id, time, previous: real[at - 1]?.id ?? null }));
  });

const withoutRollbacks = withRollbacks.map((real) =>
  real.map(
    ({ time }, at): Real => ({ id: `s${at}`, time, previous: at === 0 ? null : `s${at - 1}` }),
  ),
);

/** The last flip and some of the others. */
const losses = fc.oneof(
  fc.tuple(withRollbacks, fc.nat(15)).map(([real, lost]) => ({
    real,
    left: [...real.slice(lost, -1), ...real.slice(-1)],
  })),
  fc
    .tuple(withoutRollbacks, fc.array(fc.boolean(), { minLength: 15, maxLength: 15 }))
    .map(([real, keeps]) => ({
      real,
      left: real.filter((_, at) => keeps[at] || at === real.length - 1),
    })),
);

const asWritten = (real: readonly Real[]) =>
  real.map(({ id, time, previous }) => flip(id, previous, time));

/** When each snapshot really arrived, was last made current, and last superseded. */
function truthOf(real: readonly Real[], id: string) {
  return {
    arrived: real.find((one) => one.id === id)?.time ?? NOW,
    published: real.findLast((one) => one.id === id)?.time ?? 0,
    superseded: real.findLast((one) => one.previous === id)?.time ?? 0,
  };
}

const arrivalsOf = (real: readonly Real[]) => (id: string) => truthOf(real, id).arrived;

describe('the times of snapshots', () => {
  test('are those of a whole history, to the millisecond', () => {
    fc.assert(
      fc.property(withRollbacks, (real) => {
        const timesOf = snapshotTimes(asWritten(real), arrivalsOf(real), NOW);
        for (const { id } of real.slice(0, -1)) {
          const { published, superseded } = truthOf(real, id);
          expect(timesOf(id).publishedAt).toBe(published);
          if (id !== real.at(-1)?.id) expect(timesOf(id).supersededAt).toBe(superseded);
        }
      }),
    );
  });

  test('are never too early, whichever lines are lost', () => {
    fc.assert(
      fc.property(losses, ({ real, left }) => {
        const timesOf = snapshotTimes(asWritten(left), arrivalsOf(real), NOW);
        for (const { id } of real) {
          const { published, superseded } = truthOf(real, id);
          expect(timesOf(id).publishedAt).toBeGreaterThanOrEqual(published);
          if (id !== real.at(-1)?.id)
            expect(timesOf(id).supersededAt).toBeGreaterThanOrEqual(superseded);
        }
      }),
    );
  });

  test('are never later than the last flip, whichever lines are lost: nothing is kept for years', () => {
    fc.assert(
      fc.property(losses, ({ real, left }) => {
        const timesOf = snapshotTimes(asWritten(left), arrivalsOf(real), NOW);
        const last = real.at(-1)?.time ?? NOW;
        for (const { id } of real) {
          expect(timesOf(id).publishedAt).toBeLessThanOrEqual(last);
          expect(timesOf(id).supersededAt).toBeLessThanOrEqual(last);
        }
      }),
    );
  });

  test('of a snapshot that was put there by hand are those of its arrival', () => {
    const timesOf = snapshotTimes([flip('a', null, NOW - 9 * HOUR)], () => NOW - HOUR, NOW);
    expect(timesOf('by hand').supersededAt).toBe(NOW - HOUR);
    const fromTheFuture = snapshotTimes([flip('a', null, NOW - HOUR)], () => NOW + HOUR, NOW);
    expect(fromTheFuture('by hand').supersededAt).toBe(NOW);
  });
});

describe('the times of the lines', () => {
  test('are what was written while the clock is right, and never run backwards or past now', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: NOW - 999 * HOUR, max: NOW + 999 * HOUR })),
        (written) => {
          const times = timesOfLines(
            written.map((time) => flip('a', null, time)),
            NOW,
          );
          expect(times).toEqual(times.toSorted((a, b) => a - b));
          for (const time of times) expect(time).toBeLessThanOrEqual(NOW);
          const right = written.filter((time) => time <= NOW).sort((a, b) => a - b);
          expect(
            timesOfLines(
              right.map((time) => flip('a', null, time)),
              NOW,
            ),
          ).toEqual(right);
        },
      ),
    );
  });

  test('a night with the clock in the future, or in 1970, neither costs a snapshot nor keeps it for years', () => {
    const [evening, night, morning] = [NOW - 30 * HOUR, NOW - 20 * HOUR, NOW - 10 * HOUR];
    for (const lie of [Date.UTC(2038, 0), NOW + HOUR, Date.UTC(1970, 0)]) {
      const history = [flip('a', null, evening), flip('b', 'a', lie)];
      expect(timesOfLines(history, night), 'not before the clock is right').toEqual([
        evening,
        night,
      ]);
      const later = [...history, flip('c', 'b', morning)];
      expect(timesOfLines(later, NOW)).toEqual([evening, morning, morning]);
    }
  });
});

test('snapshots are ordered by their lines, whatever the clock said', () => {
  const history = [
    flip('late', null, NOW + 9 * HOUR),
    flip('early', 'late', NOW - 9 * HOUR),
    flip('again', 'early', NOW),
  ];
  const arrivals = ['unknown', 'late', 'early', 'again'];
  const arrivedAt = (id: string) => arrivals.indexOf(id);
  expect(inOrderOfPublication(history, ['again', 'early', 'late', 'unknown'], arrivedAt)).toEqual(
    arrivals,
  );
  const rolledBack = [...history, flip('late', 'again', NOW)];
  expect(inOrderOfPublication(rolledBack, ['again', 'late'], arrivedAt)).toEqual(['again', 'late']);
});

test('snapshots whose lines are lost keep their place, by their arrival', () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { minLength: 6, maxLength: 6 }), (keeps) => {
      const ids = [...'fadceb'];
      const history = ids
        .map((id, at) => flip(id, ids[at - 1] ?? null, NOW + at))
        .filter((_, at) => keeps[at]);
      expect(inOrderOfPublication(history, [...ids].sort(), (id) => ids.indexOf(id))).toEqual(ids);
    }),
  );
});

describe('a channel', () => {
  const move = (id: string, previous: string | null, time: number) => ({
    event: 'promoted' as const,
    at: new Date(time).toISOString(),
    channel: 'production',
    id,
    previous,
    by: 'promote' as const,
  });
  const flips = [flip('a', null, NOW - 9 * HOUR), flip('b', 'a', NOW - 8 * HOUR)];
  const supersededAt = (lines: HistoryEntry[], id: string) =>
    snapshotTimes(lines, () => NOW - 99 * HOUR, NOW)(id).supersededAt;

  test('that leaves a snapshot supersedes it, as `current` does', () => {
    const moves = [move('a', null, NOW - 7 * HOUR), move('b', 'a', NOW - 2 * HOUR)];
    expect(supersededAt([...flips, ...moves], 'a')).toBe(NOW - 2 * HOUR);
    const at = new Date(NOW - HOUR).toISOString();
    const end: HistoryEntry = {
      event: 'channel-removed',
      at,
      channel: 'production',
      previous: 'b',
    };
    expect(supersededAt([...flips, ...moves, end], 'b')).toBe(NOW - HOUR);
  });

  test('of which lines are missing may have left any snapshot until then', () => {
    const later = move('b', 'c', NOW - 3 * HOUR);
    expect(supersededAt([...flips, later], 'a')).toBe(NOW - 3 * HOUR);
    const found: HistoryEntry = {
      ...move('b', null, NOW - 3 * HOUR),
      by: 'recovery',
      isLost: true,
    };
    expect(supersededAt([...flips, found], 'a')).toBe(NOW - 3 * HOUR);
    expect(supersededAt([...flips, move('b', null, NOW - 3 * HOUR)], 'a')).toBe(NOW - 8 * HOUR);
  });
});
