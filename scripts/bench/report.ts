import { atomicRsync, floor, own } from './contestants.ts';
import { type Goal, median, table } from './goals.ts';

const cases = ['first sync', 'nothing changed', '1 % changed', '1 % deleted'] as const;
export type Case = (typeof cases)[number];

/** One run of one contestant. Times in milliseconds, memory in bytes. */
export interface Run {
  readonly files: number;
  readonly case: Case;
  readonly contestant: string;
  readonly wallMs: number;
  readonly userMs: number;
  readonly systemMs: number;
  /** See `Measurement`. */
  readonly peakBytes: Readonly<Record<string, number>>;
  /** The exact peak of mirrorlatch's own process. */
  readonly ownPeakBytes?: number;
  readonly load: number;
  /** The output of `mirrorlatch sync --json`. */
  readonly summary?: unknown;
}

/** All rounds of one contestant in one case, as medians. */
export interface Summary {
  readonly files: number;
  readonly case: Case;
  readonly contestant: string;
  readonly wallMs: number;
  readonly cpuMs: number;
  /** The wall time of `mirrorlatch sync` divided by this contestant's. */
  readonly oursIs: number;
}

/** The numbers of files between which the time per file should not grow. */
const smallest = 10_000;
const largest = 1_000_000;

/** Looks up and summarizes runs by the number of files, the case and the contestant. */
export class Results {
  readonly #runs: readonly Run[];

  constructor(runs: readonly Run[]) {
    this.#runs = runs;
  }

  of(files: number, name: Case, contestant: string): readonly Run[] {
    return this.#runs.filter(
      (run) => run.files === files && run.case === name && run.contestant === contestant,
    );
  }

  wall(files: number, name: Case, contestant: string): number {
    return median(this.of(files, name, contestant).map((run) => run.wallMs));
  }

  summary(files: number, name: Case, contestant: string): Summary {
    const runs = this.of(files, name, contestant);
    const wallMs = this.wall(files, name, contestant);
    return {
      files,
      case: name,
      contestant,
      wallMs,
      cpuMs: median(runs.map((run) => run.userMs + run.systemMs)),
      oursIs: this.wall(files, name, own) / wallMs,
    };
  }

  summaries(): Summary[] {
    return this.sizes.flatMap((files) =>
      cases.flatMap((name) =>
        this.contestants.map((contestant) => this.summary(files, name, contestant)),
      ),
    );
  }

  get sizes(): number[] {
    return [...new Set(this.#runs.map((run) => run.files))].sort((a, b) => a - b);
  }

  get contestants(): string[] {
    return [...new Set(this.#runs.map((run) => run.contestant))];
  }

  get ownPeakBytes(): ReadonlyMap<number, number> {
    const peaks = new Map<number, number>();
    for (const { files, ownPeakBytes = 0 } of this.#runs) {
      peaks.set(files, Math.max(peaks.get(files) ?? 0, ownPeakBytes));
    }
    return peaks;
  }
}

/** The project's goals, with the measured values. */
export function goals(results: Results): Goal[] {
  const { sizes } = results;
  const ratio = (files: number, name: Case, other: string) => {
    const value = results.wall(files, name, own) / results.wall(files, name, other);
    return Number.isNaN(value) ? null : value;
  };
  const flatness = (name: Case) => {
    const value =
      results.wall(largest, name, own) / largest / (results.wall(smallest, name, own) / smallest);
    return Number.isNaN(value) ? null : value;
  };
  const peak = results.ownPeakBytes.get(largest);
  return [
    ...sizes.map((files) => ({
      goal: `nothing changed, ${count(files)} files: wall of ${floor}`,
      limit: 1.2,
      unit: 'x',
      reached: ratio(files, 'nothing changed', floor),
    })),
    {
      goal: `1 % changed, ${count(100_000)} files: wall of ${atomicRsync}`,
      limit: 0.25,
      unit: 'x',
      reached: ratio(100_000, '1 % changed', atomicRsync),
    },
    ...cases.map((name) => ({
      goal: `${name}: time per file at ${count(largest)} files, relative to ${count(smallest)}`,
      limit: 1.3,
      unit: 'x',
      reached: flatness(name),
    })),
    {
      goal: `peak memory of our process at ${count(largest)} files`,
      limit: 150,
      unit: ' MB',
      reached: peak === undefined ? null : peak / 1e6,
    },
  ];
}

/** A table for each case: medians, the spread of the wall time, and the ratio of our time to it. */
export function tables(results: Results, files: number): string {
  return cases.map((name) => tableOf(results, files, name)).join('\n');
}

function tableOf(results: Results, files: number, name: Case): string {
  const rows = results.contestants.map((contestant) => {
    const runs = results.of(files, name, contestant);
    const wall = runs.map((run) => run.wallMs);
    const { wallMs, cpuMs, oursIs } = results.summary(files, name, contestant);
    return [
      contestant,
      seconds(wallMs),
      `${seconds(Math.min(...wall))} to ${seconds(Math.max(...wall))}`,
      seconds(cpuMs),
      contestant === own ? '' : `${oursIs.toFixed(2)}x`,
      peaks(runs),
    ];
  });
  const heads = [
    `${count(files)} files, ${name}`,
    'wall s',
    'spread',
    'CPU s',
    'ours is',
    'peak memory of one process, MB',
  ];
  return table(heads, rows);
}

function peaks(runs: readonly Run[]): string {
  const largest = new Map<string, number>();
  for (const { peakBytes, ownPeakBytes } of runs) {
    for (const [program, bytes] of Object.entries(peakBytes)) {
      const exact = program === 'node' && ownPeakBytes !== undefined ? ownPeakBytes : bytes;
      largest.set(program, Math.max(largest.get(program) ?? 0, exact));
    }
  }
  return [...largest]
    .filter(([program]) => program !== 'sh')
    .sort(([, a], [, b]) => b - a)
    .slice(0, 3)
    .map(([program, bytes]) => `${program} ${Math.round(bytes / 1e6)}`)
    .join(', ');
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(2);
}

export function count(value: number): string {
  return value.toLocaleString('en');
}
