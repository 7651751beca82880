import { thisHost } from '../../system/host.ts';
import { countLocksOf } from '../../system/proc.ts';
import { MirrorLook } from './mirror-look.ts';
import type { LookedAt, PinFigures, StatusReport } from './status-report.ts';

export interface ReporterOptions {
  pinsOf?: ((mirror: LookedAt) => PinFigures | undefined) | undefined;
  /** ms */
  maxAgeMs?: number | undefined;
  /** ms since the epoch. */
  clock?: (() => number) | undefined;
}

/** A report serves all that ask within this time, so that nobody makes the server busy by asking; ms. */
const FRESH_MS = 1_000;

/** Reports on mirrors. What has not changed is not read again. */
export class StatusReporter {
  readonly #looks: readonly MirrorLook[];
  readonly #options: ReporterOptions;
  readonly #clock: () => number;
  #last: { at: number; report: StatusReport } | undefined;

  constructor(mirrors: readonly LookedAt[], options: ReporterOptions = {}) {
    this.#looks = mirrors.map((mirror) => new MirrorLook(mirror));
    this.#options = options;
    this.#clock = options.clock ?? Date.now;
  }

  report(): StatusReport {
    const now = this.#clock();
    const age = now - (this.#last?.at ?? Number.NEGATIVE_INFINITY);
    if (this.#last !== undefined && age >= 0 && age < FRESH_MS) return this.#last.report;
    const report = this.#make(now);
    this.#last = { at: now, report };
    return report;
  }

  #make(now: number): StatusReport {
    const locked = this.#looks.map((look) => look.lockedFiles());
    // One look of each kind for all: to show /proc/locks, the kernel waits for all its CPUs.
    const leases = countLocksOf(
      locked.flatMap((files) => files.leases),
      'shared',
    );
    const writers = countLocksOf(locked.flatMap((files) => files.writers));
    const mirrors = this.#looks.map((look, at) => {
      const counts = {
        leases: leases.splice(0, locked[at]?.leases.length),
        writers: writers.splice(0, locked[at]?.writers.length),
      };
      return look.report(counts, this.#options.pinsOf?.(look.mirror), now);
    });
    return {
      format: 1,
      host: thisHost().hostname,
      madeAt: new Date(now).toISOString(),
      maxAgeMs: this.#options.maxAgeMs ?? null,
      mirrors,
    };
  }
}
