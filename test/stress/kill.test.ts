import { existsSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fileWork } from '../support/file-work.ts';
import {
  type FilesystemType,
  type LoopFilesystem,
  makeLoopFilesystem,
  whyNoLoopFilesystem,
} from '../support/loop-filesystem.ts';
import { type ProgramResult, runProgram, transcript } from '../support/program.ts';
import { makeScratch } from '../support/scratch.ts';
import { describeTree, difference, type Tree } from '../support/tree.ts';
import { changeTree, copyTree, writeFirstTree } from './changing-tree.ts';
import { type Kill, killPlan } from './kill-plan.ts';
import {
  leftBehind,
  linkedId,
  visibleToOthers,
  wrongForReaders,
  wrongHistory,
} from './mirror-checks.ts';
import { HOUR_MS, scale, tellProgress, tellSummary } from './scale.ts';
import { type CountingSource, startCountingSource } from './transfers.ts';
import {
  type Action,
  makeTripwire,
  type Point,
  pointText,
  type TracedRun,
  type Tripwire,
} from './tripwire.ts';

/**
 * A sync whose rsync was killed tries again at once: the waiting is not what is tested. Prunes as
 * soon as it may, so that a prune is part of the run.
 */
const OPTIONS = ['--retries', '2', '--retry-delay', '50ms', '--keep-last', '1', '--grace', '0s'];

/** What is killed. */
interface Scenario {
  readonly name: string;
  /** Makes the mirror that the command starts from. */
  readonly prepare: (root: string) => Promise<void>;
  readonly command: (root: string) => readonly string[];
  readonly actions: readonly Action[];
  /** Part of the sample, too. */
  readonly inSample?: boolean;
  /** Nothing has been published before: there may be no `current`. */
  readonly isFirst?: boolean;
  /** Where the mirror lies; in the scratch directory if left out. */
  readonly filesystem?: FilesystemType;
}

const scenarios: readonly Scenario[] = [
  {
    name: 'a sync',
    prepare: twoSnapshots,
    command: (root) => syncSecond(root, 'second'),
    actions: ['kill-tree', 'kill-process', 'kill-and-hold'],
    inSample: true,
  },
  {
    name: 'the first sync',
    prepare: async () => {},
    command: (root) => syncSecond(root, 'second'),
    actions: ['kill-tree', 'kill-process'],
    isFirst: true,
  },
  {
    name: 'a sync that recovers a killed one',
    prepare: async (root) => {
      await twoSnapshots(root);
      await killHalfway(root);
    },
    command: (root) => syncSecond(root, 'second'),
    actions: ['kill-tree'],
  },
  {
    name: 'a sync by the strategy link-dest',
    prepare: twoSnapshots,
    command: (root) => [...syncSecond(root, 'second'), '--strategy', 'link-dest'],
    actions: ['kill-tree'],
  },
  {
    name: 'a sync by the strategy copy',
    prepare: twoSnapshots,
    command: (root) => [...syncSecond(root, 'second'), '--strategy', 'copy'],
    actions: ['kill-tree'],
  },
  {
    name: 'a sync that clones by reflinks',
    prepare: twoSnapshots,
    command: (root) => [...syncSecond(root, 'second'), '--clone', 'reflink'],
    actions: ['kill-tree'],
    filesystem: 'xfs',
  },
  {
    name: 'a sync that clones by a btrfs snapshot',
    prepare: twoSnapshots,
    command: (root) => [...syncSecond(root, 'second'), '--clone', 'btrfs'],
    actions: ['kill-tree'],
    filesystem: 'btrfs',
  },
  {
    name: 'a rollback',
    prepare: twoSnapshots,
    command: (root) => ['rollback', root],
    actions: ['kill-tree', 'kill-process'],
  },
  {
    name: 'a prune',
    prepare: async (root) => {
      await twoSnapshots(root);
      await succeed(['sync', oldestTree, root, '--id', 'oldest-again', '--no-prune']);
    },
    command: (root) => ['prune', root, '--keep-last', '1', '--grace', '0s'],
    actions: ['kill-tree', 'kill-process'],
  },
];

const scratch = makeScratch();
const oldestTree = join(scratch.path, 'trees', 'oldest');
const firstTree = join(scratch.path, 'trees', 'first');
const secondTree = join(scratch.path, 'trees', 'second');
const known = new Map<string, Tree>();
let tripwire: Tripwire;
let source: CountingSource;

beforeAll(async () => {
  tripwire = makeTripwire(scratch.path);
  fileWork(scratch.path).directory('trees');
  writeFirstTree(firstTree);
  copyTree(firstTree, oldestTree);
  fileWork(oldestTree).write('only in the oldest', 'oldest');
  copyTree(firstTree, secondTree);
  changeTree(secondTree);
  for (const id of ['oldest', 'oldest-again']) known.set(id, describeTree(oldestTree));
  known.set('first', describeTree(firstTree));
  for (const id of ['second', 'next', 'last']) known.set(id, describeTree(secondTree));
  source = await startCountingSource(secondTree);
});

afterAll(async () => {
  await source?.stop();
  await scratch.remove();
});

describe.each(scenarios.filter(({ inSample }) => scale === 'all' || inSample === true))(
  '$name that is killed by SIGKILL',
  (scenario) => {
    it.skipIf(scenario.filesystem !== undefined && whyNoLoopFilesystem !== '')(
      `at ${scale === 'all' ? 'each system call' : 'a sample of the system calls'} that change the disk leaves a mirror that readers can use and the next sync finishes${scenario.filesystem === undefined ? '' : whyNoLoopFilesystem}`,
      { timeout: scale === 'all' ? 4 * HOUR_MS : HOUR_MS / 6 },
      async () => {
        const place = await makePlace(scenario.filesystem);
        try {
          expect(await killAtEach(scenario, place.path)).toEqual([]);
        } finally {
          await place.remove();
        }
      },
    );
  },
);

/** Kills as planned, each run in a mirror of its own, and gathers what was wrong afterwards. */
async function killAtEach(scenario: Scenario, directory: string): Promise<string[]> {
  const plan = killPlan(await pointsOf(scenario, directory), scenario.actions);
  const wrong: string[] = [];
  let missed = 0;
  for (const [index, kill] of plan.entries()) {
    const root = join(directory, `mirror-${index}`);
    await scenario.prepare(root);
    const run = tripwire.start(scenario.command(root), { at: kill.point, action: kill.action });
    try {
      const { reached, sentences } = await killAndRecover(scenario, kill, run, root);
      if (!reached) missed += 1;
      wrong.push(...sentences.map((text) => `${kill.action} at ${pointText(kill.point)}: ${text}`));
    } finally {
      await run.end();
    }
    fileWork(directory).remove(`mirror-${index}`);
    tellProgress(scenario.name, index + 1, plan.length);
  }
  tellSummary(
    `kill: ${scenario.name}: ${plan.length} kills, ${missed} not reached, ${wrong.length} wrong`,
  );
  // Processes that run side by side take turns: a few calls (a write in two pieces, a heartbeat)
  // are not made in each run.
  if (missed > plan.length / 10) wrong.push(`${missed} of ${plan.length} points were not reached`);
  return wrong;
}

async function pointsOf(scenario: Scenario, directory: string): Promise<readonly Point[]> {
  const root = join(directory, 'mirror-whole');
  await scenario.prepare(root);
  const points = await tripwire.points(scenario.command(root));
  fileWork(directory).remove('mirror-whole');
  return points;
}

async function killAndRecover(
  { isFirst }: Scenario,
  { action }: Kill,
  run: TracedRun,
  root: string,
): Promise<{ reached: boolean; sentences: string[] }> {
  const reached = await run.reached;
  if (action === 'kill-tree') await run.result;
  const before = [...wrongForReaders(root, known, isFirst), ...visibleToOthers(root)];
  const finished =
    action === 'kill-tree' ? await finishAfterDeath(root) : await finishBeside(run, root);
  return { reached, sentences: [...before, ...finished, ...(await wrongAtTheEnd(root))] };
}

/** Everything that ran is dead: the next sync goes on at once, and fetches nothing twice (I7, I9). */
async function finishAfterDeath(root: string): Promise<string[]> {
  const finishedBefore = finishedInStaging(root);
  source.reset();
  const next = await runProgram(syncSecond(root, 'next'));
  const twice = source.sent().filter((path) => finishedBefore.has(path));
  return [
    ...(next.exitCode === 0 ? [] : [`I9: ${transcript(next)}`]),
    ...twice.map((path) => `I7: ${path} was in staging and was fetched again`),
  ];
}

/** Something that was started may still live: the next sync names it, or waits for it (I4). */
async function finishBeside(run: TracedRun, root: string): Promise<string[]> {
  const next = await runProgram(syncSecond(root, 'next'));
  if (next.exitCode === 0) {
    const tree = describeTree(root);
    run.release();
    await run.result;
    return difference(tree, describeTree(root)).map(
      (sentence) => `I4: written by what outlived the kill: ${sentence}`,
    );
  }
  const patient = runProgram([...syncSecond(root, 'last'), '--wait', '1m']);
  await pause(300);
  run.release();
  const [end, waited] = await Promise.all([run.result, patient]);
  return [
    ...(next.exitCode === 75 && /pid \d+/.test(next.stderr) ? [] : [`I4: ${transcript(next)}`]),
    ...(waited.exitCode === 0 ? [] : [`I4, I9: ${transcript(waited)}`]),
    ...(end.exitCode === 0 && linkedId(root, 'current') === undefined
      ? ['I8: the killed sync ended well and published nothing']
      : []),
  ];
}

/** After the next sync: it is whole, tidy, told in the history, and once more changes nothing. */
async function wrongAtTheEnd(root: string): Promise<string[]> {
  const again = await runProgram([...syncSecond(root, 'once-more'), '--json']);
  const current = linkedId(root, 'current') ?? 'nothing';
  return [
    ...(again.exitCode === 0 && again.json()['outcome'] === 'unchanged'
      ? []
      : [`I9: a second recovery is not idle: ${transcript(again)}`]),
    ...(known.get(current) === known.get('second') ? [] : [`I9: current names ${current} at last`]),
    ...wrongForReaders(root, known),
    ...leftBehind(root),
    ...wrongHistory(root),
  ];
}

/** What a killed sync had fetched whole: listed in staging with the new content, new in it. */
function finishedInStaging(root: string): ReadonlySet<string> {
  const staging = join(root, '.mirrorlatch', 'staging');
  const trees = existsSync(staging) ? readdirSync(staging) : [];
  const current = known.get(linkedId(root, 'current') ?? '');
  const found = trees
    .filter((name) => known.has(name))
    .flatMap((name) => [...describeTree(join(staging, name))])
    .filter(([path, entry]) => {
      const wanted = known.get('second')?.get(path);
      const isContent = entry['sha256'] !== undefined && entry['sha256'] === wanted?.['sha256'];
      return isContent && current?.get(path)?.['sha256'] !== entry['sha256'];
    });
  return new Set(found.map(([path]) => path));
}

function syncSecond(root: string, id: string): readonly string[] {
  return ['sync', source.url, root, '--id', id, ...OPTIONS];
}

/** `first` is current and `oldest` is before it: the next sync may prune it. */
async function twoSnapshots(root: string): Promise<void> {
  await succeed(['sync', oldestTree, root, '--id', 'oldest', ...OPTIONS]);
  await succeed(['sync', firstTree, root, '--id', 'first', ...OPTIONS]);
}

async function succeed(args: readonly string[]): Promise<ProgramResult> {
  const result = await runProgram(args);
  if (result.exitCode !== 0) throw new Error(transcript(result));
  return result;
}

/** Leaves a sync killed in the middle of its work by rsync. */
async function killHalfway(root: string): Promise<void> {
  const twin = `${root}.twin`;
  await twoSnapshots(twin);
  const points = await tripwire.points(syncSecond(twin, 'second'));
  const renames = points.filter(({ chain, call }) => /rsync$/.test(chain) && /^rename/.test(call));
  const middle = renames[Math.floor(renames.length / 2)];
  if (middle === undefined) throw new Error('rsync renamed nothing');
  await tripwire.start(syncSecond(root, 'second'), { at: middle }).result;
  fileWork(dirname(twin)).remove(basename(twin));
}

async function makePlace(
  type: FilesystemType | undefined,
): Promise<Pick<LoopFilesystem, 'path' | 'remove'>> {
  return type === undefined
    ? { path: scratch.path, remove: async () => {} }
    : await makeLoopFilesystem(type);
}
