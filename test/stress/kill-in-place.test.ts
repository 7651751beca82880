import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { fileWork } from '../support/file-work.ts';
import { nobody, runsAsRoot } from '../support/privilege.ts';
import { runProgram, transcript } from '../support/program.ts';
import { makeScratch } from '../support/scratch.ts';
import { describeTree, difference, type Tree } from '../support/tree.ts';
import { changeTree, copyTree, FILL_STAGING, writeFirstTree } from './changing-tree.ts';
import { type Kill, killPlan } from './kill-plan.ts';
import { leftBehind } from './mirror-checks.ts';
import { byScale, HOUR_MS, scale, tellProgress, tellSummary, tellWrong } from './scale.ts';
import { makeTripwire, pointText, type TracedRun, type Tripwire } from './tripwire.ts';

const OPTIONS = ['--retries', '2', '--retry-delay', '50ms', '--drain', '10s'];
const TIMEOUT = ['--', '--timeout=5'];

/** Prints one hash of all files that a guarded reader can read. */
const DIGEST = 'find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum';

const users = runsAsRoot ? [{}, nobody] : [{}];
const scratch = makeScratch();
const firstTree = join(scratch.path, 'trees', 'first');
const secondTree = join(scratch.path, 'trees', 'second');
const where = scale === 'all' ? 'each' : 'a sample';
const limit = { timeout: byScale({ sample: HOUR_MS / 6, all: 4 * HOUR_MS }) };
let tripwire: Tripwire;
let first: Tree;
let second: Tree;
let wholeDigests: string[];

beforeAll(() => {
  tripwire = makeTripwire(scratch.path);
  fileWork(scratch.path).directory('trees');
  writeFirstTree(firstTree);
  copyTree(firstTree, secondTree);
  changeTree(secondTree);
  first = describeTree(firstTree);
  second = describeTree(secondTree);
  // The users see different parts of a tree: one file of the second is private to its owner.
  wholeDigests = users.flatMap((user) =>
    [firstTree, secondTree].map((cwd) =>
      execFileSync('sh', ['-c', DIGEST], { ...user, cwd, encoding: 'utf8', stdio: 'pipe' }),
    ),
  );
});

afterAll(() => scratch.remove());

/** A command to kill, and the check that follows. */
interface Scenario {
  readonly name: string;
  readonly actions: Parameters<typeof killPlan>[1];
  /** The number of kills in the sample. */
  readonly sample: number;
  /** Prepares a new directory for the command. */
  readonly prepare: (home: string) => Promise<void>;
  readonly command: (home: string) => readonly string[];
  /** Returns what is wrong after the kill and after the recovery, one sentence each. */
  readonly check: (home: string, kill: Kill, run: TracedRun) => Promise<string[]>;
}

const rootOf = (home: string) => join(home, 'known.mirror');
const knownOf = (home: string) => join(home, 'known');
const syncSecond = (home: string, ...more: string[]) => [
  ...['sync', secondTree, rootOf(home), '--other-source', ...OPTIONS, ...more],
  ...TIMEOUT,
];

const scenarios: readonly Scenario[] = [
  {
    name: 'an in-place sync',
    actions: ['kill-tree', 'kill-process', 'orphan'],
    sample: 9,
    prepare: async (home) => {
      await succeed(['init', rootOf(home), '--in-place']);
      await succeed(['sync', firstTree, rootOf(home)]);
    },
    command: (home) => syncSecond(home),
    check: checkSyncInPlace,
  },
  {
    name: 'a command under the lock of an in-place mirror',
    actions: ['kill-tree'],
    sample: 6,
    prepare: async (home) => {
      await succeed(['init', rootOf(home), '--in-place']);
      await succeed(['sync', firstTree, rootOf(home)]);
    },
    command: (home) => ['lock', rootOf(home), '--', ...FILL_STAGING, secondTree],
    check: checkSyncInPlace,
  },
  ...(['snapshots', 'in-place'] as const).flatMap((mode): Scenario[] => {
    const flags = mode === 'in-place' ? ['--in-place'] : [];
    const adopt = (home: string) => ['init', '--adopt', knownOf(home), ...flags];
    const prepare = async (home: string) => copyTree(firstTree, knownOf(home));
    return [
      {
        name: `an adoption as a mirror with ${mode}`,
        actions: ['kill-tree'],
        sample: 5,
        prepare,
        command: adopt,
        check: (home) => checkAdoption(home, adopt(home)),
      },
      {
        name: `the end of an adoption as a mirror with ${mode}`,
        actions: ['kill-tree'],
        sample: 5,
        prepare: async (home) => {
          await prepare(home);
          await succeed(adopt(home));
        },
        command: (home) => ['init', '--unadopt', knownOf(home)],
        check: checkUnadoption,
      },
    ];
  }),
];

for (const scenario of scenarios) {
  it(
    `A kill at ${where} of the system calls by which ${scenario.name} changes the disk harms no reader, and the next command repairs the mirror`,
    limit,
    async () => {
      expect(await killAtEach(scenario)).toEqual([]);
    },
  );
}

async function killAtEach({ name, actions, sample, prepare, command, check }: Scenario) {
  const directory = join(scratch.path, 'kills');
  const newHome = async (index: number | string) => {
    const home = join(directory, String(index));
    mkdirSync(home, { recursive: true });
    await prepare(home);
    return home;
  };
  const plan = killPlan(await tripwire.points(command(await newHome('whole'))), actions, sample);
  const wrong: string[] = [];
  let missed = 0;
  for (const [index, kill] of plan.entries()) {
    const home = await newHome(index);
    const run = tripwire.start(command(home), { at: kill.point, action: kill.action });
    try {
      if (!(await run.reached)) missed += 1;
      if (kill.action === 'kill-tree') await run.result;
      const told = await check(home, kill, run);
      const sentences = told.map((text) => `${kill.action} at ${pointText(kill.point)}: ${text}`);
      tellWrong(sentences);
      wrong.push(...sentences);
    } finally {
      await run.end();
    }
    fileWork(directory).remove(String(index));
    tellProgress(name, index + 1, plan.length);
  }
  fileWork(scratch.path).remove('kills');
  tellSummary(`kill: ${name}: ${plan.length} kills, ${missed} not reached, ${wrong.length} wrong`);
  if (missed > plan.length / 10) wrong.push(`${missed} of ${plan.length} points were not reached`);
  return wrong;
}

async function checkSyncInPlace(home: string, { action }: Kill, run: TracedRun): Promise<string[]> {
  const root = rootOf(home);
  const wrong = [...(await wrongForGuarded(root)), ...(await wrongForBare(root))];
  // Refused whatever is left to delete: a command that repairs the gate and writes nothing.
  const refused = await runProgram(syncSecond(home, '--max-shrink', '0'));
  if (action === 'kill-tree') wrong.push(...wrongGate(root, ['open', 'dirty']));
  if (![0, 65, 75].includes(refused.exitCode ?? -1)) wrong.push(`I9: ${transcript(refused)}`);
  if (refused.exitCode === 75 && !/pid \d+/.test(refused.stderr)) {
    wrong.push(`I4: ${transcript(refused)}`);
  }
  wrong.push(...(await wrongForGuarded(root)));
  const next = runProgram(syncSecond(home, '--wait', '1m'));
  run.release();
  const { exitCode } = await run.result;
  const mended = await next;
  if (mended.exitCode !== 0) wrong.push(`I9: ${transcript(mended)}`);
  const wasKilled = action === 'kill-tree' && (await run.reached);
  if (exitCode === 0 && wasKilled) wrong.push('the killed sync ended well');
  wrong.push(...wrongGate(root, ['open']), ...(await wrongForGuarded(root, 1)));
  wrong.push(
    ...difference(second, describeTree(join(root, 'gate/live'))).map((text) => `I9: ${text}`),
  );
  const again = await runProgram(syncSecond(home, '--json'));
  if (again.exitCode !== 0 || again.json()['outcome'] !== 'unchanged') {
    wrong.push(`I9: a second recovery is not idle: ${transcript(again)}`);
  }
  return [...wrong, ...leftBehind(root, 'in-place')];
}

/** DIR still leads to the tree; adopting it again succeeds, and moves the same tree. */
async function checkAdoption(home: string, adopt: readonly string[]): Promise<string[]> {
  const known = knownOf(home);
  const inode = statSync(known).ino;
  const wrong = wrongTree(known, first);
  const told = existsSync(join(rootOf(home), '.mirrorlatch/mirror.json'))
    ? await runProgram(['status', rootOf(home)])
    : undefined;
  if (told !== undefined && ![0, 69].includes(told.exitCode ?? -1)) wrong.push(transcript(told));
  const again = await runProgram(adopt);
  if (again.exitCode !== 0) return [...wrong, `I9: ${transcript(again)}`];
  if (!lstatSync(known).isSymbolicLink()) wrong.push('I9: the path is not a symlink in the end');
  if (statSync(known).ino !== inode) wrong.push('I9: another tree lies there');
  wrong.push(...wrongTree(known, first));
  const status = await runProgram(['status', rootOf(home)]);
  if (status.exitCode !== 0) wrong.push(`I9: ${transcript(status)}`);
  const sync = await runProgram(syncSecond(home));
  if (sync.exitCode !== 0) wrong.push(`I9: ${transcript(sync)}`);
  return [...wrong, ...wrongTree(known, second), ...leftBeside(home)];
}

/** The same for unadoption, which may already be complete. */
async function checkUnadoption(home: string): Promise<string[]> {
  const known = knownOf(home);
  const inode = statSync(known).ino;
  const wrong = wrongTree(known, first);
  const again = await runProgram(['init', rootOf(home), '--unadopt', known]);
  const isOver = again.exitCode === 64 && /was not made of/.test(again.stderr);
  if (again.exitCode !== 0 && !isOver) return [...wrong, `I9: ${transcript(again)}`];
  if (!lstatSync(known).isDirectory()) wrong.push('I9: the path is not a directory in the end');
  if (statSync(known).ino !== inode) wrong.push('I9: another tree lies there');
  const left = readdirSync(rootOf(home)).filter((name) => name === 'current');
  return [...wrong, ...wrongTree(known, first), ...left, ...leftBeside(home)];
}

function wrongTree(path: string, tree: Tree): string[] {
  return existsSync(path)
    ? difference(tree, describeTree(path)).map((text) => `at the old path ${text}`)
    : ['I3: nothing is there at the old path'];
}

function leftBeside(home: string): string[] {
  const known = ['known', 'known.mirror'];
  const trees = ['gate', 'snapshots'].map((name) => join(rootOf(home), name)).filter(existsSync);
  return [
    ...readdirSync(home).filter((name) => !known.includes(name)),
    ...trees.flatMap((directory) => readdirSync(directory)).filter((name) => name.startsWith('.')),
  ].map((name) => `I9: ${name} was left`);
}

/**
 * Checks that guarded readers see a whole tree or are refused.
 *
 * @param least how many of them must be admitted.
 */
async function wrongForGuarded(root: string, least = 0): Promise<string[]> {
  const reads = await Promise.all(
    users.map((user) =>
      execa(
        'sh',
        [join(root, '.mirrorlatch/reader'), '--pin', 'cwd', '--wait', '0', 'sh', '-c', DIGEST],
        {
          ...user,
          cwd: '/',
          reject: false,
          stripFinalNewline: false,
        },
      ),
    ),
  );
  const letIn = reads.filter(({ exitCode }) => exitCode === 0);
  return [
    ...letIn
      .filter(({ stdout }) => !wholeDigests.includes(stdout))
      .map(
        () => 'I6: a guarded reader was admitted to a tree that is neither the old nor the new one',
      ),
    ...reads
      .filter(({ exitCode }) => exitCode !== 0 && exitCode !== 75)
      .map(({ exitCode, stderr }) => `a guarded reader ended with ${exitCode}: ${stderr}`),
    ...(letIn.length < least ? ['I9: no guarded reader is admitted in the end'] : []),
  ];
}

/** Checks that another user cannot read a mix, unless the gate is marked as dirty. */
async function wrongForBare(root: string): Promise<string[]> {
  if (!runsAsRoot) return [];
  const tree = join(root, 'gate/live');
  const { exitCode, stdout } = await execa('sh', ['-c', `cd "$1" && { ${DIGEST}; }`, 'sh', tree], {
    ...nobody,
    cwd: '/',
    reject: false,
    stripFinalNewline: false,
  });
  const isMixed = exitCode === 0 && !wholeDigests.includes(stdout);
  return isMixed && stateOf(root) !== 'dirty'
    ? ['I6: another user reads what is being written']
    : [];
}

function wrongGate(root: string, states: readonly string[]): string[] {
  const mode = lstatSync(join(root, 'gate')).mode & 0o7777;
  return [
    ...(mode === 0o755 ? [] : [`I6: the gate has mode ${mode.toString(8)} after the next command`]),
    ...(states.includes(stateOf(root)) ? [] : [`I9: the gate is ${stateOf(root)}`]),
  ];
}

function stateOf(root: string): string {
  return JSON.parse(readFileSync(join(root, '.mirrorlatch/gate.json'), 'utf8')).state;
}

async function succeed(args: readonly string[]): Promise<void> {
  const result = await runProgram(args);
  if (result.exitCode !== 0) throw new Error(transcript(result));
}
