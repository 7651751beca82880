import { setTimeout as sleep } from 'node:timers/promises';
import type { Ending } from './failure.ts';

export interface RetryOptions {
  /** How often to try again. */
  retries: number;
  /** How long to wait before the first retry; doubled each time, to at most five minutes; ms. */
  delayMs: number;
  signal: AbortSignal;
  /** Called before each pause, with what failed and when the next try follows. */
  onRetry: (message: string) => void;
}

const LONGEST_DELAY_MS = 5 * 60 * 1000;

/** Tries again as long as that may help. All steps of a sync share one budget. */
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
   * @param complaints what rsync said: if the same paths fail twice in a row, patience cannot help.
   * @throws the error of `ending` when it is time to give up.
   */
  async again(ending: Exclude<Ending, { kind: 'clean' }>, complaints = ''): Promise<void> {
    const { retries, delayMs, signal, onRetry } = this.#options;
    const isSameAgain = complaints !== '' && complaints === this.#complaints;
    if (ending.kind === 'failed' || this.#used >= retries || isSameAgain) throw ending.error;
    this.#complaints = complaints;
    const pause = Math.min(delayMs * 2 ** this.#used, LONGEST_DELAY_MS);
    this.#used += 1;
    const seconds = Math.ceil(pause / 1000);
    onRetry(`${ending.why}; try ${this.#used} of ${retries} follows in ${seconds} s`);
    await sleep(pause, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}
