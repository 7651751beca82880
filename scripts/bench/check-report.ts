import { OURS } from './check-peers.ts';
import { type Goal, median, table } from './goals.ts';

export const NAMES = {
  ...OURS,
  plain: 'sync --check none, 1 % changed',
  checked: 'sync --check-content, 1 % changed',
  hashChanged: 'sha256sum of what changed, and of lists',
  hashAll: 'sha256sum of all',
  readAll: 'cat of all',
};

/** One run of a command, or the medians of all its runs. */
export interface Result {
  readonly name: string;
  readonly cpuMs: number;
  readonly wallMs: number;
  /** 0 for what is not ours. */
  readonly ownPeakBytes: number;
  /** The command of ours that does the same, if this is another's. */
  readonly ours?: string | undefined;
}

const MB = 1_000_000;

export function mediansOf(runs: readonly Result[]): Result[] {
  return [...new Set(runs.map(({ name }) => name))].map((name) => {
    const same = runs.filter((one) => one.name === name);
    return {
      name,
      cpuMs: median(same.map(({ cpuMs }) => cpuMs)),
      wallMs: median(same.map(({ wallMs }) => wallMs)),
      ownPeakBytes: peakOf(same),
      ours: same[0]?.ours,
    };
  });
}

function timesOf(results: readonly Result[], name: string): { cpuMs: number; wallMs: number } {
  const unknown = { cpuMs: Number.NaN, wallMs: Number.NaN };
  return results.find((one) => one.name === name) ?? unknown;
}

function peakOf(results: readonly Result[]): number {
  return Math.max(...results.map(({ ownPeakBytes }) => ownPeakBytes));
}

/** @param results by the name of the archive. */
export function resultTable(results: Readonly<Record<string, readonly Result[]>>): string {
  const heads = ['command', 'CPU s', 'wall s', 'own MB', 'ours is: CPU', 'wall'];
  const rows = Object.entries(results).flatMap(([archive, of]) =>
    of.map(({ name, cpuMs, wallMs, ownPeakBytes, ours }) => {
      const own = ours === undefined ? undefined : timesOf(of, ours);
      return [
        `${archive}: ${name}`,
        (cpuMs / 1000).toFixed(2),
        (wallMs / 1000).toFixed(2),
        ownPeakBytes === 0 ? '-' : (ownPeakBytes / MB).toFixed(0),
        own === undefined || cpuMs === 0 ? '' : `${(own.cpuMs / cpuMs).toFixed(2)}x`,
        own === undefined ? '' : `${(own.wallMs / wallMs).toFixed(2)}x`,
      ];
    }),
  );
  return table(heads, rows);
}

function goalsOf(kind: string, results: readonly Result[]): Goal[] {
  const of = (name: string) => timesOf(results, name);
  return [
    {
      goal: `${kind}: ${NAMES.all}: CPU of ${NAMES.hashAll}`,
      limit: 1.5,
      unit: 'x',
      reached: of(NAMES.all).cpuMs / of(NAMES.hashAll).cpuMs,
    },
    {
      goal: `${kind}: what a check adds to a sync, 1 % changed`,
      limit: 10,
      unit: ' s',
      reached: (of(NAMES.checked).wallMs - of(NAMES.plain).wallMs) / 1000,
    },
    { goal: `${kind}: our own process`, limit: 120, unit: ' MB', reached: peakOf(results) / MB },
  ];
}

export function checkGoals(
  few: readonly Result[],
  apt: readonly Result[],
  rpm: readonly Result[],
): Goal[] {
  const flat = {
    goal: 'apt: our own process, by that of a tenth of the packages',
    limit: 1.2,
    unit: 'x',
    reached: peakOf(apt) / peakOf(few),
  };
  return [...goalsOf('apt', apt), flat, ...goalsOf('rpm-md', rpm)];
}
