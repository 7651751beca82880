import { own } from './contestants.ts';
import { median, table } from './goals.ts';

/** What a race is about. */
export const here = 'local';
export const withLinks = 'local, -H';
export const withList = 'local, with a list of files';
export const overDaemon = 'rsync://';
export const directories = 'one directory, rsync://';
export const dryRun = '--dry-run --json';

const cases = [
  'first sync',
  'nothing changed',
  '0.1 % changed',
  '1 % changed',
  '1 % deleted',
  '500 new names',
  dryRun,
] as const;
export type Case = (typeof cases)[number];

/** One run of one contestant. Times in milliseconds, memory in bytes. */
export interface Run {
  readonly setting: string;
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
  readonly setting: string;
  readonly files: number;
  readonly case: Case;
  readonly contestant: string;
  readonly wallMs: number;
  readonly cpuMs: number;
  /** The wall time of `mirrorlatch sync`, or its only variant here, divided by this contestant's. */
  readonly oursIs: number;
}

/** Looks up and summarizes runs by the setting, the number of files, the case and the contestant. */
export class Results {
  readonly #runs: readonly Run[];

  constructor(runs: readonly Run[]) {
    this.#runs = runs;
  }

  of(setting: string, files: number, name: Case, contestant: string): readonly Run[] {
    return this.#runs.filter(
      (run) =>
        run.setting === setting &&
        run.files === files &&
        run.case === name &&
        run.contestant === contestant,
    );
  }

  /** NaN if that was not measured. */
  wall(setting: string, files: number, name: Case, contestant: string): number {
    return median(this.of(setting, files, name, contestant).map((run) => run.wallMs));
  }

  /** The largest peak of our own process, in bytes; NaN if that was not measured. */
  ownPeak(setting: string, files: number): number {
    const peaks = this.#runs
      .filter((run) => run.setting === setting && run.files === files)
      .flatMap(({ ownPeakBytes }) => ownPeakBytes ?? []);
    return peaks.length === 0 ? Number.NaN : Math.max(...peaks);
  }

  summary(setting: string, files: number, name: Case, contestant: string): Summary {
    const runs = this.of(setting, files, name, contestant);
    const wallMs = this.wall(setting, files, name, contestant);
    const ours = this.oursIn(setting, files, name);
    return {
      setting,
      files,
      case: name,
      contestant,
      wallMs,
      cpuMs: median(runs.map((run) => run.userMs + run.systemMs)),
      oursIs: this.wall(setting, files, name, ours) / wallMs,
    };
  }

  /** The first contestant of a race that is mirrorlatch. */
  oursIn(setting: string, files: number, name: Case): string {
    const contestants = this.#runs
      .filter((run) => run.setting === setting && run.files === files && run.case === name)
      .map(({ contestant }) => contestant);
    return contestants.includes(own)
      ? own
      : (contestants.find((one) => one.startsWith(own)) ?? own);
  }

  summaries(): Summary[] {
    return this.races().flatMap(({ setting, files, name, contestants }) =>
      contestants.map((contestant) => this.summary(setting, files, name, contestant)),
    );
  }

  /** What was measured, in order, and who took part. */
  races(): { setting: string; files: number; name: Case; contestants: string[] }[] {
    const unique = <Value>(values: readonly Value[]) => [...new Set(values)];
    return unique(this.#runs.map(({ setting }) => setting)).flatMap((setting) => {
      const runs = this.#runs.filter((run) => run.setting === setting);
      return unique(runs.map(({ files }) => files)).flatMap((files) =>
        cases.flatMap((name) => {
          const those = runs.filter((run) => run.files === files && run.case === name);
          const contestants = unique(those.map(({ contestant }) => contestant));
          return contestants.length === 0 ? [] : [{ setting, files, name, contestants }];
        }),
      );
    });
  }
}

/** A table for each case: medians, the spread of the wall time, and the ratio of our time to it. */
export function tables(results: Results): string {
  return results
    .races()
    .map(({ setting, files, name, contestants }) => {
      const rows = contestants.map((contestant) => {
        const runs = results.of(setting, files, name, contestant);
        const wall = runs.map((run) => run.wallMs);
        const { wallMs, cpuMs, oursIs } = results.summary(setting, files, name, contestant);
        return [
          contestant,
          seconds(wallMs),
          `${seconds(Math.min(...wall))} to ${seconds(Math.max(...wall))}`,
          seconds(cpuMs),
          contestant === results.oursIn(setting, files, name) ? '' : `${oursIs.toFixed(2)}x`,
          peaks(runs),
        ];
      });
      const heads = [
        `${setting}, ${count(files)} files, ${name}`,
        'wall s',
        'spread',
        'CPU s',
        'ours is',
        'peak memory of one process, MB',
      ];
      return table(heads, rows);
    })
    .join('\n');
}

function peaks(runs: readonly Run[]): string {
  const largest = new Map<string, number>();
  for (const { peakBytes, ownPeakBytes } of runs) {
    for (const [program, bytes] of Object.entries(peakBytes)) {
      const exact = isOurs(program) && ownPeakBytes !== undefined ? ownPeakBytes : bytes;
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

/** The kernel knows the program by this name, and before it has taken that by Node's. */
function isOurs(program: string): boolean {
  return program === 'node' || program === 'mirrorlatch';
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(2);
}

export function count(value: number): string {
  return value.toLocaleString('en');
}
