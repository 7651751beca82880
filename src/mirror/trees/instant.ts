import { ctimeNow } from '../staging.ts';

/** What a tick of the clock and a busy machine take; ms. */
const TOLERANCE_MS = 50;

/** How much of a time the clocks of two hosts may differ by, as those of a client and its server do. */
const TOLERATED_DRIFT = 0.001;

/** An instant by the clock of a filesystem, which stamps a ctime. It is set as other clocks are, also back. */
export class Instant {
  /** ns since the epoch */
  readonly ctime: bigint;
  readonly #where: { readonly staging: string };
  readonly #clock: () => number;
  readonly #startedAt: number;

  /**
   * @param where `staging` is any directory of the filesystem in which a file may be made.
   * @param ctime by default now.
   * @param clock one that is never set; ms.
   */
  constructor(
    where: { readonly staging: string },
    ctime?: bigint,
    clock: () => number = () => performance.now(),
  ) {
    this.#where = where;
    this.#clock = clock;
    this.ctime = ctime ?? ctimeNow(where);
    this.#startedAt = clock();
  }

  /** Whether the clock was set back since: then what has changed may seem to be older than the instant. */
  isClockSetBack(): boolean {
    const elapsed = this.#clock() - this.#startedAt;
    const stamped = Number(ctimeNow(this.#where) - this.ctime) / 1e6;
    return stamped < elapsed * (1 - TOLERATED_DRIFT) - TOLERANCE_MS;
  }
}
