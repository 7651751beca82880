import { setImmediate as nextTurn } from 'node:timers/promises';

/** So many steps between two turns. */
const BATCH = 500;

/**
 * Lets the event loop turn now and then during long synchronous work, so that timers run (the
 * heartbeat of a lock) and signals arrive.
 */
export class Turns {
  readonly #signal: AbortSignal;
  #count = 0;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** To be awaited at each step. @throws the signal's reason, at a turn. */
  async step(): Promise<void> {
    this.#count += 1;
    if (this.#count % BATCH === 0) await this.turn();
  }

  async turn(): Promise<void> {
    await nextTurn();
    this.#signal.throwIfAborted();
  }
}
