import { setTimeout as sleep } from 'node:timers/promises';

/** Waits for so many ms. @throws the signal's reason as soon as it aborts. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, signal && { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}

/** Stands still for so many ms: nothing else happens in this process meanwhile. */
export function nap(ms: number): void {
  Atomics.wait(NEVER_WOKEN, 0, 0, ms);
}

const NEVER_WOKEN = new Int32Array(new SharedArrayBuffer(4));

const LONGEST_RETRY_PAUSE_MS = 5 * 60 * 1000;

/** The pause before a retry, ms: doubled each time, up to five minutes. @param used the retries so far. */
export function pauseBeforeRetry(delayMs: number, used: number): number {
  return Math.min(delayMs * 2 ** used, LONGEST_RETRY_PAUSE_MS);
}
