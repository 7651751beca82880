import fc from 'fast-check';
import { DEFAULT_RETENTION, type RetentionPolicy } from '../../src/mirror/settings/policy.ts';

const HOUR = 3_600_000;

/** The least that can be kept. */
export const LEAST: RetentionPolicy = { ...DEFAULT_RETENTION, keepLast: 1, graceMs: 0 };

/** What snapshots may be tagged. */
export const TAGS = ['release', 'tested'] as const;

const count = fc.constantFrom(0, 0, 0, 1, 2, 3, 7, 1000);
const duration = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 2000 * HOUR }));

/** Rules of which some are off. */
export const policies: fc.Arbitrary<RetentionPolicy> = fc.record({
  keepLast: fc.integer({ min: 1, max: 8 }),
  keepHourly: count,
  keepDaily: count,
  keepWeekly: count,
  keepMonthly: count,
  keepYearly: count,
  keepTags: fc.subarray([...TAGS]),
  keepWithinMs: duration,
  graceMs: duration,
});
