import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { RetentionPolicy } from '../../../src/mirror/policy.ts';
import { applyRetention, type DatedSnapshot } from '../../../src/mirror/retention.ts';

const NOW = Date.UTC(2026, 10, 22);
const HOUR = 3_600_000;

/** Snapshots in order of publication, each superseded by the next. */
function chain(publishedAt: readonly number[]): DatedSnapshot[] {
  return publishedAt.map((time, at) => {
    const next = publishedAt[at + 1];
    return {
      id: `s${String(at).padStart(3, '0')}`,
      isCurrent: at === publishedAt.length - 1,
      isPrevious: at === publishedAt.length - 2,
      clones: [],
      publishedAt: time,
      supersededAt: next ?? time,
    };
  });
}

const forward = fc
  .array(fc.integer({ min: 0, max: 10 * HOUR }), { minLength: 1, maxLength: 15 })
  .map((steps) =>
    chain(steps.map((_, at) => NOW - steps.slice(at).reduce((sum, step) => sum + step, 0))),
  );
const anyTimes = fc
  .array(fc.integer({ min: NOW - 1000 * HOUR, max: NOW + 1000 * HOUR }), {
    minLength: 1,
    maxLength: 15,
  })
  .map(chain);
const rules = fc.record({
  keepLast: fc.integer({ min: 1, max: 20 }),
  keepWithinMs: fc.integer({ min: 0, max: 100 * HOUR }),
  graceMs: fc.integer({ min: 0, max: 100 * HOUR }),
});

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

describe('retention', () => {
  test('never removes current and previous, whatever the clock says', () => {
    fc.assert(
      fc.property(
        anyTimes,
        rules,
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
    const times = [4, 3, 2, 1].map((days) => NOW - days * 24 * HOUR);
    const snapshots = chain(times).map((one, at) => ({ ...one, isCurrent: at === 0 }));
    const kept = keptBy(snapshots, { keepLast: 1, keepWithinMs: 0, graceMs: 0 });
    expect([...kept]).toEqual(['s000', 's002', 's003']);
  });

  test('keeps at least as much with a larger number, a longer time or more grace', () => {
    fc.assert(
      fc.property(
        anyTimes,
        rules,
        fc.record({ keepLast: fc.nat(5), keepWithinMs: fc.nat(HOUR), graceMs: fc.nat(HOUR) }),
        (snapshots, less, more) => {
          const kept = keptBy(snapshots, less);
          const keptByMore = keptBy(snapshots, {
            keepLast: less.keepLast + more.keepLast,
            keepWithinMs: less.keepWithinMs + more.keepWithinMs,
            graceMs: less.graceMs + more.graceMs,
          });
          expect([...kept].filter((id) => !keptByMore.has(id))).toEqual([]);
        },
      ),
    );
  });

  test('removes nothing more when the clock jumps back', () => {
    fc.assert(
      fc.property(forward, rules, fc.nat(1000), (snapshots, retention, hours) => {
        const kept = keptBy(snapshots, retention);
        const keptEarlier = keptBy(snapshots, retention, NOW - hours * HOUR);
        expect([...kept].filter((id) => !keptEarlier.has(id))).toEqual([]);
      }),
    );
  });

  test('counts the last snapshots by publication, even if the clock was set back in between', () => {
    fc.assert(
      fc.property(anyTimes, fc.integer({ min: 1, max: 20 }), (snapshots, keepLast) => {
        const kept = keptBy(snapshots, { keepLast, keepWithinMs: 0, graceMs: 0 });
        for (const { id } of snapshots.slice(-keepLast)) expect(kept).toContain(id);
      }),
    );
  });

  test('gives a fitting reason for all that stays, and removes only what no rule keeps', () => {
    fc.assert(
      fc.property(forward, rules, (snapshots, retention) => {
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
