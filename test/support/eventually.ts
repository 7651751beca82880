import { vi } from 'vitest';

/** A little less than a test may take, so that what was missing is named before it is ended; ms. */
const PATIENCE_MS = 50_000;

/**
 * Waits until the check passes, and returns what it returns. On a machine that is busy all takes
 * longer, so how long is no matter: only a test that would fail anyway gets to the limit.
 */
export function eventually<T>(check: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(check, { timeout: PATIENCE_MS, interval: 10 });
}
