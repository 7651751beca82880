import { pause, pauseBeforeRetry } from '../system/pause.ts';
import type { Ending } from './failure.ts';

export interface RetryOptions {
  /** The number of retries. */
  retries: number;
  /** The pause before the first retry, in ms; doubled each time, up to five minutes. */
  delayMs: number;
  signal: AbortSignal;
  /** Called before each pause with the failure and the time of the next try, or with why there is none. */
  onRetry: (message: string) => void;
}

/** Decides whether to retry. All steps of a sync share one budget. */
export class Retries {
  readonly #options: RetryOptions;
  #used = 0;
  #complaints = '';

  constructor(options: RetryOptions) {
    this.#options = options;
  }

  /**
   * Pauses before the next try.
   *
   * @param complaints see `RsyncOutcome`. If the same paths fail twice in a row, retrying is useless.
   * @throws the error of `ending` if there is no retry; the reason of the signal if it is aborted.
   */
  async again(ending: Exclude<Ending, { kind: 'clean' }>, complaints = ''): Promise<void> {
    const { retries, delayMs, signal, onRetry } = this.#options;
    if (ending.kind === 'failed' || this.#used >= retries) throw ending.error;
    if (complaints !== '' && complaints === this.#complaints) {
      onRetry('the same files have failed again, so it gives up');
      throw ending.error;
    }
    this.#complaints = complaints;
    const pauseMs = pauseBeforeRetry(delayMs, this.#used);
    this.#used += 1;
    const seconds = Math.ceil(pauseMs / 1000);
    onRetry(`${ending.why}; try ${this.#used} of ${retries} follows in ${seconds} s`);
    await pause(pauseMs, signal);
  }
}
