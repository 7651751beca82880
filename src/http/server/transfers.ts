import { type Exchange, whenEnded } from './exchange.ts';

/** An answer that is being sent. */
interface Transfer {
  readonly startedAt: number;
  /** Whether it keeps from others what they need. Asked about each answer that is older than the limit. */
  readonly isInTheWay: () => boolean;
  /** Whether it is so much in the way that its age does not matter. */
  readonly isPressing: () => boolean;
}

/**
 * The answers that are being sent, however slow their clients are. One that is in the way of others does not go on for
 * ever: it is cut off, which a client sees, and most go on with the rest of the file.
 */
export class Transfers {
  readonly #transfers = new Map<Exchange, Transfer>();
  readonly #longestMs: number;
  readonly #clock: () => number;

  /** @param longestMs how long an answer may take, whatever is in its way. @param clock a monotonic clock; ms. */
  constructor(longestMs: number, clock: () => number) {
    this.#longestMs = longestMs;
    this.#clock = clock;
  }

  /**
   * Takes note of an answer until it has ended; the rules that were given last count.
   *
   * @param end called when the answer has ended, with the first note of it.
   */
  note(exchange: Exchange, rules: TransferRules, end: () => void = () => {}): void {
    const before = this.#transfers.get(exchange);
    const startedAt = before?.startedAt ?? this.#clock();
    this.#transfers.set(exchange, { startedAt, isPressing: () => false, ...rules });
    if (before !== undefined) return;
    whenEnded(exchange, () => {
      this.#transfers.delete(exchange);
      end();
    });
  }

  /** Cuts off what is in the way for too long. To be called every few seconds. */
  sweep(): void {
    const now = this.#clock();
    for (const [{ request }, { startedAt, isInTheWay, isPressing }] of this.#transfers) {
      const isLong = now - startedAt >= this.#longestMs;
      if (isTrue(isLong ? isInTheWay : isPressing)) request.socket.destroy();
    }
  }
}

/** A mirror that cannot be looked at says nothing of its answers. Those who ask for more of it are told why. */
function isTrue(rule: () => boolean): boolean {
  try {
    return rule();
  } catch {
    return false;
  }
}

type TransferRules = Pick<Transfer, 'isInTheWay'> & Partial<Pick<Transfer, 'isPressing'>>;
