import { atomicRsync, floor, inPlace, own, withFileList, withStamp } from './contestants.ts';
import type { Goal } from './goals.ts';
import {
  type Case,
  count,
  directories,
  dryRun,
  here,
  overDaemon,
  type Results,
  withLinks,
  withList,
} from './report.ts';

/** The limits of a sync that makes a generation and removes one. */
const generations = [
  { files: 100_000, ofAtomicRsync: 0.18, ofFloor: 2.0 },
  { files: 1_000_000, ofAtomicRsync: 0.15, ofFloor: 1.6 },
];

/** The numbers of files between which the time per file should not grow. */
const smallest = 10_000;
const largest = 1_000_000;

/** The project's goals for a sync, with the measured values. */
export function syncGoals(results: Results): Goal[] {
  const ratio = (setting: string, files: number, name: Case, one: string, other: string) =>
    measured(results.wall(setting, files, name, one) / results.wall(setting, files, name, other));
  const growth = (name: Case, contestant: string) =>
    measured(
      results.wall(here, largest, name, contestant) /
        results.wall(here, smallest, name, contestant),
    );
  const perFile = (name: Case) => {
    const times = growth(name, own);
    return times === null ? null : times / (largest / smallest);
  };
  const megabytes = (setting: string, files: number) =>
    measured(results.ownPeak(setting, files) / 1e6);
  const againstFloor = (files: number, limit: number, contestant: string) => ({
    goal: `nothing changed, ${count(files)} files: ${contestant}, of ${floor}`,
    limit,
    unit: 'x',
    reached: ratio(here, files, 'nothing changed', contestant, floor),
  });
  return [
    againstFloor(100_000, 1.1, own),
    againstFloor(1_000_000, 1.02, own),
    againstFloor(100_000, 0.15, withStamp),
    againstFloor(1_000_000, 0.15, withStamp),
    {
      goal: `nothing changed: ${withStamp} at ${count(largest)} files, of ${count(smallest)}`,
      limit: 1.2,
      unit: 'x',
      reached: growth('nothing changed', withStamp),
    },
    {
      goal: `0.1 % changed, ${count(largest)} files: ${withFileList}, of ${floor}`,
      limit: 0.3,
      unit: 'x',
      reached: ratio(withList, largest, '0.1 % changed', withFileList, floor),
    },
    ...generations.flatMap(({ files, ofAtomicRsync, ofFloor }) =>
      [here, withLinks].flatMap((setting) =>
        (['1 % changed', '1 % deleted'] as const).flatMap((name) =>
          [
            { contestant: withStamp, other: atomicRsync, limit: ofAtomicRsync },
            { contestant: withStamp, other: floor, limit: ofFloor },
            { contestant: own, other: floor, limit: ofFloor + 1 },
          ].map(({ contestant, other, limit }) => ({
            goal: `${setting}, ${name}, ${count(files)} files: ${contestant}, of ${other}`,
            limit,
            unit: 'x',
            reached: ratio(setting, files, name, contestant, other),
          })),
        ),
      ),
    ),
    ...(['first sync', 'nothing changed', '1 % changed', '1 % deleted'] as const).map((name) => ({
      goal: `${name}: time per file at ${count(largest)} files, of ${count(smallest)}`,
      limit: 1.2,
      unit: 'x',
      reached: perFile(name),
    })),
    {
      goal: `our own process at ${count(largest)} files`,
      limit: 80,
      unit: ' MB',
      reached: megabytes(here, largest),
    },
    {
      goal: `our own process, ${dryRun} of 200,000 entries`,
      limit: 80,
      unit: ' MB',
      reached: megabytes(dryRun, 200_000),
    },
    {
      goal: `one directory of 50,000 names and 500 new ones, rsync://: of ${inPlace}`,
      limit: 1.5,
      unit: 'x',
      reached: ratio(directories, 50_000, '500 new names', own, inPlace),
    },
    {
      goal: 'first sync of small files, rsync://: of rsync -a',
      limit: 1.1,
      unit: 'x',
      reached: ratio(overDaemon, 100_000, 'first sync', own, 'rsync -a'),
    },
  ];
}

function measured(value: number): number | null {
  return Number.isNaN(value) ? null : value;
}
