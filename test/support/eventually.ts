import { vi } from 'vitest';

/** A little less than the time limit of a test, so that the failed check is reported; ms. */
const PATIENCE_MS = 50_000;

/**
 * Waits until the check passes, and returns its result. The limit does not depend on how long the
 * check should take: on a busy machine that varies, and only a failing test reaches the limit.
 */
export function eventually<T>(check: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(check, { timeout: PATIENCE_MS, interval: 10 });
}
