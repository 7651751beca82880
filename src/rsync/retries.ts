import { setTimeout as sleep } from 'node:timers/promises';
import type { Ending } from './failure.ts';
import type { OnEvent } from '../writer/events.ts';

export interface RetryOptions {
  /** How often to try again. */
  retries: number;
  /** How long to wait before the first retry; doubled each time, to at most five minutes; ms. */
  delayMs: number;
  signal: AbortSignal;
  onEvent: OnEvent;
}

const LONGEST_DELAY_MS = 5 * 60 * 1000;

/** Tries again as long as that may help. One counts for all steps of a sync. */
export class Retries {
  readonly #options: RetryOptions;
  #used = 0;
  #complaints = '';

  constructor(options: RetryOptions) {
    this.#options = options;
  }

  /**
   * Waits until it is time to try again.
   *
   * @param complaints what rsync said: when the same paths fail again, no patience will help.
   * @throws the error of `ending` when it is time to give up.
   */
  async again(ending: Exclude<Ending, { kind: 'clean' }>, complaints: string): Promise<void> {
    const { retries, delayMs, signal, onEvent } = this.#options;
    const sameAgain = complaints !== '' && complaints === this.#complaints;
    if (ending.kind === 'failed' || this.#used >= retries || sameAgain) throw ending.error;
    this.#complaints = complaints;
    const pause = Math.min(delayMs * 2 ** this.#used, LONGEST_DELAY_MS);
    this.#used += 1;
    onEvent({
      kind: 'warning',
      message: `${ending.why}; try ${this.#used} of ${retries} follows in ${Math.ceil(pause / 1000)} s`,
    });
    await sleep(pause, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}
