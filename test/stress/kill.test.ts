import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
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
import { changeTree, copyTree, FILL_STAGING, writeFirstTree } from './changing-tree.ts';
import { type Kill, killPlan } from './kill-plan.ts';
import {
  leftBehind,
  linkedId,
  visibleToOthers,
  wrongForReaders,
  wrongHistory,
} from './mirror-checks.ts';
import { HOUR_MS, scale, tellProgress, tellSummary, tellWrong } from './scale.ts';
import { type CountingSource, startCountingSource } from './transfers.ts';
import { type Action, makeTripwire, pointText, type TracedRun, type Tripwire } from './tripwire.ts';

/**
 * A sync whose rsync was killed retries at once, because waiting is not tested here. It prunes as
 * early as possible, so that a prune is part of the run.
 */
const OPTIONS = ['--retries', '2', '--retry-delay', '50ms', '--keep-last', '1', '--grace', '0s'];

/** Publishes the oldest tree once more. */
const AGAIN = ['--other-source', '--id', 'oldest-again'];

/**
 * An rsync that has lost one of its processes may wait for it this long; mirrorlatch's default is
 * some minutes.
 */
const RSYNC_TIMEOUT_S = 5;

/** The programs that a sync starts to write to the mirror. */
const WRITERS: ReadonlySet<string> = new Set(['rsync', 'cp', 'rm', 'sync', 'btrfs', 'find']);

/** A command to kill. */
interface Scenario {
  readonly name: string;
  /** Makes the mirror on which the command runs. */
  readonly prepare: (root: string) => Promise<void>;
  readonly command: (root: string) => readonly string[];
  readonly actions: readonly Action[];
  /** Part of the sample; a number is its number of kills. */
  readonly inSample?: boolean | number;
  /** Fetches files, so that some kills must leave finished files, if they are more than a small sample. */
  readonly fetches?: boolean;
  /** Nothing has been published before, so there may be no `current`. */
  readonly isFirst?: boolean;
  /** False to make each mirror anew, because records of what changed are not valid in a copy. */
  readonly isCopied?: boolean;
  /** The filesystem of the mirror. Default: that of the scratch directory. */
  readonly filesystem?: FilesystemType;
}

const scenarios: readonly Scenario[] = [
  {
    name: 'a sync',
    prepare: twoSnapshots,
    command: (root) => syncSecond(root, 'second'),
    actions: ['kill-tree', 'kill-process', 'orphan'],
    inSample: true,
    fetches: true,
  },
  {
    name: 'a sync that recycles an old snapshot and keeps another',
    prepare: async (root) => {
      await twoSnapshots(root);
      await succeed(['sync', oldestTree, root, ...AGAIN, ...OPTIONS]);
    },
    command: (root) => syncSecond(root, 'second'),
    actions: ['kill-tree', 'kill-process', 'orphan'],
    isCopied: false,
    inSample: 12,
    fetches: true,
  },
  {
    name: 'a sync that finds nothing new and recycles for the next',
    prepare: async (root) => {
      await twoSnapshots(root);
      await succeed(['sync', oldestTree, root, ...AGAIN, ...OPTIONS]);
    },
    command: (root) => ['sync', oldestTree, root, '--id', 'unused', ...OPTIONS],
    actions: ['kill-tree', 'kill-process'],
    isCopied: false,
    inSample: 7,
  },
  {
    name: 'a command under the lock',
    prepare: twoSnapshots,
    command: (root) => [
      ...['lock', root, '--id', 'second', '--keep-last', '1', '--grace', '0s'],
      ...['--', ...FILL_STAGING, secondTree],
    ],
    actions: ['kill-tree', 'kill-process'],
    inSample: 7,
  },
  {
    name: 'the first sync',
    prepare: async () => {},
    command: (root) => syncSecond(root, 'second'),
    actions: ['kill-tree', 'kill-process'],
    isFirst: true,
  },
  {
    name: 'a sync that recovers one killed amid its transfer',
    prepare: async (root) => {
      await twoSnapshots(root);
      await killSync(root, /rsync$/, / -> .*\/staging\//);
    },
    command: (root) => syncSecond(root, 'second'),
    actions: ['kill-tree'],
  },
  {
    name: 'a sync that recovers one killed between its renames',
    prepare: async (root) => {
      await twoSnapshots(root);
      await killSync(root, /^mirrorlatch$/, / -> .*\/current$/);
    },
    command: (root) => syncSecond(root, 'second'),
    actions: ['kill-tree'],
  },
  {
    name: 'a sync by the strategy link-dest',
    prepare: twoSnapshots,
    command: (root) => syncSecond(root, 'second', '--strategy', 'link-dest'),
    actions: ['kill-tree'],
  },
  {
    name: 'a sync by the strategy copy',
    prepare: twoSnapshots,
    command: (root) => syncSecond(root, 'second', '--strategy', 'copy'),
    actions: ['kill-tree'],
  },
  {
    name: 'a sync that clones by reflinks',
    prepare: twoSnapshots,
    command: (root) => syncSecond(root, 'second', '--clone', 'reflink'),
    actions: ['kill-tree'],
    filesystem: 'xfs',
  },
  {
    name: 'a sync that clones by a btrfs snapshot',
    prepare: twoSnapshots,
    command: (root) => syncSecond(root, 'second', '--clone', 'btrfs'),
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
      await succeed(['sync', oldestTree, root, ...AGAIN, '--no-prune']);
    },
    command: (root) => ['prune', root, '--keep-last', '1', '--grace', '0s'],
    actions: ['kill-tree', 'kill-process'],
  },
  {
    name: 'a prune that trims the history',
    prepare: async (root) => {
      await twoSnapshots(root);
      addPast(root);
    },
    command: (root) => ['prune', root],
    actions: ['kill-tree'],
    inSample: 6,
  },
];

const scratch = makeScratch();
const oldestTree = join(scratch.path, 'trees', 'oldest');
const firstTree = join(scratch.path, 'trees', 'first');
const secondTree = join(scratch.path, 'trees', 'second');
const known = new Map<string, Tree>();
let second: Tree;
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
  second = describeTree(secondTree);
  for (const id of ['killed', 'second', 'next', 'last']) known.set(id, second);
  source = await startCountingSource(secondTree);
});

afterAll(async () => {
  await source?.stop();
  await scratch.remove();
});

for (const scenario of scenarios.filter(
  ({ inSample }) => scale === 'all' || inSample !== undefined,
)) {
  const why = scenario.filesystem === undefined ? '' : whyNoLoopFilesystem;
  const where = scale === 'all' ? 'each' : 'a sample';
  it.skipIf(why !== '')(
    `A kill at ${where} of the system calls by which ${scenario.name} changes the disk leaves a mirror that readers can use and the next sync finishes${why}`,
    { timeout: scale === 'all' ? 4 * HOUR_MS : HOUR_MS / 6 },
    async () => {
      const place = await makePlace(scenario.filesystem);
      const work = fileWork(place.path);
      try {
        work.directory('kills');
        expect(await killAtEach(scenario, join(place.path, 'kills'))).toEqual([]);
      } finally {
        work.remove('kills');
        await place.remove();
      }
    },
  );
}

/** Writes what syncs that found nothing would have recorded before, so much that it is to be trimmed. */
function addPast(root: string): void {
  const file = join(root, '.mirrorlatch', 'history.jsonl');
  const past = Array.from({ length: 10_000 }, (_, minute) => {
    const at = new Date(Date.UTC(2020, 0, 1, 0, minute)).toISOString();
    return `${JSON.stringify({ event: 'unchanged', at, current: 'first' })}\n`;
  });
  writeFileSync(file, past.join('') + readFileSync(file, 'utf8'));
}

/** Kills as planned, each run in its own mirror, and returns what was wrong afterwards. */
async function killAtEach(scenario: Scenario, directory: string): Promise<string[]> {
  const work = fileWork(directory);
  const newMirror = await mirrorsLike(scenario, directory);
  const whole = join(directory, 'mirror-whole');
  await newMirror(whole);
  const points = await tripwire.points(scenario.command(whole));
  const sample = typeof scenario.inSample === 'number' ? scenario.inSample : undefined;
  const mustFinish = scenario.fetches === true && (scale === 'all' || sample === undefined);
  const plan = killPlan(points, scenario.actions, sample);
  work.remove('mirror-whole');
  const wrong: string[] = [];
  let missed = 0;
  let reused = 0;
  for (const [index, kill] of plan.entries()) {
    const root = join(directory, `mirror-${index}`);
    await newMirror(root);
    const run = tripwire.start(scenario.command(root), { at: kill.point, action: kill.action });
    try {
      const { reached, sentences, finished } = await killAndRecover(scenario, kill, run, root);
      if (!reached) missed += 1;
      reused += finished;
      const told = sentences.map((text) => `${kill.action} at ${pointText(kill.point)}: ${text}`);
      tellWrong(told);
      wrong.push(...told);
    } finally {
      await run.end();
    }
    work.remove(`mirror-${index}`);
    tellProgress(scenario.name, index + 1, plan.length);
  }
  tellSummary(
    `kill: ${scenario.name}: ${plan.length} kills, ${missed} not reached, ${reused} finished files found, ${wrong.length} wrong`,
  );
  // Concurrent processes do not make exactly the same calls in each run: a write may come in two
  // pieces, or a heartbeat in between.
  if (missed > plan.length / 10) wrong.push(`${missed} of ${plan.length} points were not reached`);
  if (mustFinish && reused === 0) wrong.push('I7: no kill left a finished file');
  return wrong;
}

/** Makes mirrors for the scenario by copying one, except on btrfs: a copy loses subvolumes. */
async function mirrorsLike(
  { prepare, filesystem, isCopied = filesystem !== 'btrfs' }: Scenario,
  directory: string,
): Promise<(root: string) => Promise<void>> {
  if (!isCopied) return prepare;
  const pattern = join(directory, 'mirror-pattern');
  await prepare(pattern);
  return async (root) => {
    if (existsSync(pattern)) copyTree(pattern, root);
  };
}

async function killAndRecover(
  { isFirst }: Scenario,
  { action }: Kill,
  run: TracedRun,
  root: string,
): Promise<{ reached: boolean; sentences: string[]; finished: number }> {
  const reached = await run.reached;
  if (action === 'kill-tree') await run.result;
  const before = [...wrongForReaders(root, known, isFirst), ...visibleToOthers(root)];
  const finished = action === 'kill-tree' ? finishedInStaging(root) : new Set<string>();
  const after =
    action === 'kill-tree' ? await finishAfterDeath(root, finished) : await finishBeside(run, root);
  const sentences = [...before, ...after, ...(await wrongAtTheEnd(root))];
  return { reached, sentences, finished: finished.size };
}

/** Every process is dead: the next sync succeeds at once and fetches nothing twice (I7, I9). */
async function finishAfterDeath(root: string, finished: ReadonlySet<string>): Promise<string[]> {
  source.reset();
  const next = await runProgram(syncSecond(root, 'next'));
  const twice = source.sent().filter((path) => finished.has(path));
  return [
    ...(next.exitCode === 0 ? [] : [`I9: ${transcript(next)}`]),
    ...twice.map((path) => `I7: ${path} was in staging and was fetched again`),
  ];
}

/** Some processes may still be alive: the next sync names them or waits for them (I4). */
async function finishBeside(run: TracedRun, root: string): Promise<string[]> {
  const next = await runProgram(syncSecond(root, 'next'));
  if (next.exitCode === 0) {
    const tree = describeTree(root);
    const beside = run.alive().filter((name) => WRITERS.has(name));
    run.release();
    await run.result;
    return [
      ...beside.map((name) => `I4: the next sync did not wait for ${name}`),
      ...difference(tree, describeTree(root)).map(
        (sentence) => `I4: written by what outlived the kill: ${sentence}`,
      ),
    ];
  }
  const patient = runProgram(syncSecond(root, 'last', '--wait', '1m'));
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

/** After the next sync the mirror is whole, tidy and recorded, and another sync changes nothing. */
async function wrongAtTheEnd(root: string): Promise<string[]> {
  const again = await runProgram(syncSecond(root, 'once-more', '--json'));
  const current = linkedId(root, 'current') ?? 'nothing';
  return [
    ...(again.exitCode === 0 && again.json()['outcome'] === 'unchanged'
      ? []
      : [`I9: a second recovery is not idle: ${transcript(again)}`]),
    ...(known.get(current) === second ? [] : [`I9: current names ${current} in the end`]),
    ...wrongForReaders(root, known),
    ...leftBehind(root),
    ...wrongHistory(root),
  ];
}

/** The files that a killed sync had fetched completely: those in staging with new content. */
function finishedInStaging(root: string): ReadonlySet<string> {
  const staging = join(root, '.mirrorlatch', 'staging');
  const trees = existsSync(staging) ? readdirSync(staging) : [];
  const current = known.get(linkedId(root, 'current') ?? '');
  const found = trees
    .filter((name) => known.has(name))
    .flatMap((name) => [...describeTree(join(staging, name))])
    .filter(([path, entry]) => {
      const wanted = second.get(path);
      const isContent = entry['sha256'] !== undefined && entry['sha256'] === wanted?.['sha256'];
      return isContent && current?.get(path)?.['sha256'] !== entry['sha256'];
    });
  return new Set(found.map(([path]) => path));
}

function syncSecond(root: string, id: string, ...more: string[]): readonly string[] {
  const own = ['sync', source.url, root, '--other-source', '--id', id, ...OPTIONS, ...more];
  return [...own, '--', `--timeout=${RSYNC_TIMEOUT_S}`];
}

/** Publishes `oldest`, which the next sync may prune, and then `first`. */
async function twoSnapshots(root: string): Promise<void> {
  await succeed(['sync', oldestTree, root, '--id', 'oldest', ...OPTIONS]);
  await succeed(['sync', firstTree, root, '--other-source', '--id', 'first', ...OPTIONS]);
}

async function succeed(args: readonly string[]): Promise<ProgramResult> {
  const result = await runProgram(args);
  if (result.exitCode !== 0) throw new Error(transcript(result));
  return result;
}

/** Kills a sync before the middle one of the renames by `chain` that match `path`. */
async function killSync(root: string, chain: RegExp, path: RegExp): Promise<void> {
  const twin = `${root}.twin`;
  await twoSnapshots(twin);
  const renames = (await tripwire.points(syncSecond(twin, 'killed'))).filter(
    (point) => /^rename/.test(point.call) && chain.test(point.chain) && path.test(point.path),
  );
  const at = renames[Math.floor(renames.length / 2)];
  if (at === undefined) throw new Error(`${chain} renamed nothing to ${path}`);
  await tripwire.start(syncSecond(root, 'killed'), { at }).result;
  fileWork(dirname(twin)).remove(basename(twin));
}

async function makePlace(
  type: FilesystemType | undefined,
): Promise<Pick<LoopFilesystem, 'path' | 'remove'>> {
  return type === undefined
    ? { path: scratch.path, remove: async () => {} }
    : await makeLoopFilesystem(type);
}
