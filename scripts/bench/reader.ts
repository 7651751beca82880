/**
 * Measures how long a guarded command takes to start, compared with the system calls and programs
 * that any guard needs, in one run on one machine:
 *
 *   npm run bench:reader -- [--rounds N] [--json FILE] [--work DIRECTORY]
 *
 * hyperfine -N starts the processes, because starting one takes half a millisecond from its small
 * process but two from Node, as much as some of the results. Each round starts every contestant ten
 * times, and begins with another one; all starts are kept, and the medians are shown. As root it
 * also measures an ordinary user. A slow result is not a failure.
 */
import { execFile, execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { loadavg } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { quoteForSh } from '../../src/system/quote.ts';
import { type Goal, goalLines, median, table } from './goals.ts';
import { readCounts } from './options.ts';
import { inDirectory, machine, needPrograms, reportFailure, say } from './session.ts';

const usage = 'usage: npm run bench:reader -- [--rounds N] [--json FILE] [--work DIRECTORY]';

/** Starts of each contestant in each round. */
const startsInRound = 10;

const COUNTS = { rounds: { byDefault: 20, least: 1 } };

/** The user that starts the processes: root, or an ordinary one, who mounts in a user namespace. */
interface User {
  readonly name: string;
  readonly isRoot: boolean;
  /** The ids to switch to; empty for the user that runs the bench. */
  readonly ids: { readonly uid?: number; readonly gid?: number };
}

function users(): User[] {
  if (process.getuid?.() !== 0) return [{ name: 'user', isRoot: false, ids: {} }];
  return [
    { name: 'root', isRoot: true, ids: {} },
    { name: 'user', isRoot: false, ids: { uid: 65_534, gid: 65_534 } },
  ];
}

const kinds = [
  'cd in sh',
  'flock',
  'cd and flock in sh',
  'node -e 0',
  'unshare and two mounts',
  'reader --pin cwd',
  'reader --pin namespace',
  'mirrorlatch run --pin cwd',
  'mirrorlatch run --pin namespace',
] as const;
type Kind = (typeof kinds)[number];

/** A command line whose start is measured. */
interface Contestant {
  readonly kind: Kind;
  readonly user: User;
  readonly words: readonly string[];
}

/** Makes a mirror, and the contestants that read it. */
function prepare(directory: string, program: string): Contestant[] {
  const source = join(directory, 'source');
  const root = join(directory, 'mirror');
  const id = 'bench';
  // mkdtemp makes a directory that other users cannot enter.
  chmodSync(directory, 0o755);
  mkdirSync(source, { mode: 0o755 });
  writeFileSync(join(source, 'file'), 'content\n');
  execFileSync(program, ['sync', source, root, '--id', id, '--json'], { stdio: 'pipe' });
  const snapshot = join(root, 'snapshots', id);
  const lease = join(root, '.mirrorlatch', 'leases', id);
  const reader = join(root, '.mirrorlatch', 'reader');
  const [tmpfs, bind] = ['tmpfs', 'bind'].map((name) => join(directory, name)) as [string, string];
  for (const mountPoint of [tmpfs, bind]) mkdirSync(mountPoint);

  const inSh = (script: string) => ['sh', '-c', script];
  const unshare = (user: User, words: readonly string[]) => [
    ...['unshare', ...(user.isRoot ? [] : ['--user', '--map-root-user'])],
    ...['--mount', '--propagation', 'slave', ...words],
  ];
  const mounts = `mount -t tmpfs bench ${quoteForSh(tmpfs)} && mount --rbind ${quoteForSh(snapshot)} ${quoteForSh(bind)}`;
  return users().flatMap((user): Contestant[] => {
    const mayMount = succeeds(unshare(user, inSh(mounts)), user);
    if (!mayMount) say(`${user.name} may not mount here: the namespace pin is not measured`);
    const words: Readonly<Record<Kind, readonly string[]>> = {
      'cd in sh': inSh(`cd -P ${quoteForSh(snapshot)} && exec true`),
      flock: ['flock', '-s', lease, 'true'],
      'cd and flock in sh': inSh(
        `cd -P ${quoteForSh(snapshot)} && exec flock -s -n ${quoteForSh(lease)} true`,
      ),
      'node -e 0': [process.execPath, '-e', '0'],
      'unshare and two mounts': unshare(user, inSh(`${mounts} && exec true`)),
      'reader --pin cwd': [reader, '--pin', 'cwd', '--', 'true'],
      'reader --pin namespace': [reader, '--pin', 'namespace', '--', 'true'],
      'mirrorlatch run --pin cwd': [program, 'run', root, '--pin', 'cwd', '--', 'true'],
      'mirrorlatch run --pin namespace': [program, 'run', root, '--pin', 'namespace', '--', 'true'],
    };
    // Node takes the same time for every user, but may be installed where others cannot read it.
    const needsNode = (kind: Kind) => kind.startsWith('mirrorlatch run') || kind === 'node -e 0';
    const needsMount = (kind: Kind) => kind.endsWith('namespace') || kind.startsWith('unshare');
    return kinds
      .filter(
        (kind) =>
          (user.ids.uid === undefined || !needsNode(kind)) && (mayMount || !needsMount(kind)),
      )
      .map((kind) => ({ kind, user, words: words[kind] }));
  });
}

function succeeds([file = '', ...args]: readonly string[], user: User): boolean {
  try {
    execFileSync(file, args, { ...user.ids, cwd: '/', stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** The starts of one contestant in one round. Times in milliseconds. */
interface Batch {
  readonly kind: Kind;
  readonly user: string;
  readonly wallMs: readonly number[];
  /** CPU time of the whole process tree, the mean of the starts. */
  readonly cpuMs: number;
  /** Load average of the machine over one minute at the start. */
  readonly load: number;
}

async function measure(
  { kind, user, words }: Contestant,
  directory: string,
  signal: AbortSignal,
): Promise<Batch> {
  const place = join(directory, 'results');
  mkdirSync(place);
  if (user.ids.uid !== undefined) chownSync(place, user.ids.uid, user.ids.gid ?? -1);
  const file = join(place, 'hyperfine.json');
  const [load = 0] = loadavg();
  await promisify(execFile)(
    'hyperfine',
    [
      ...['-N', '--style', 'none', '--warmup', '1', '--runs', String(startsInRound)],
      ...['--export-json', file, '--', words.map(quoteForSh).join(' ')],
    ],
    { ...user.ids, cwd: '/', env: outsideOfPins(), signal },
  );
  const { results } = JSON.parse(readFileSync(file, 'utf8')) as {
    results: [{ times: number[]; user: number; system: number }];
  };
  rmSync(place, { recursive: true });
  const [{ times, user: userSeconds, system }] = results;
  return {
    kind,
    user: user.name,
    wallMs: times.map((seconds) => seconds * 1000),
    cpuMs: (userSeconds + system) * 1000,
    load,
  };
}

/** The environment without the variables of a pin around the bench. */
function outsideOfPins(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('MIRRORLATCH_')),
  );
}

/** All starts of one contestant. Times in milliseconds. */
interface Summary {
  readonly kind: Kind;
  readonly user: string;
  /** Median, as is `cpuMs`. */
  readonly wallMs: number;
  readonly fastestMs: number;
  readonly slowestMs: number;
  readonly cpuMs: number;
}

function summarize(contestants: readonly Contestant[], batches: readonly Batch[]): Summary[] {
  return contestants.map(({ kind, user }) => {
    const own = batches.filter((batch) => batch.kind === kind && batch.user === user.name);
    const wall = own.flatMap(({ wallMs }) => wallMs);
    return {
      kind,
      user: user.name,
      wallMs: median(wall),
      fastestMs: Math.min(...wall),
      slowestMs: Math.max(...wall),
      cpuMs: median(own.map(({ cpuMs }) => cpuMs)),
    };
  });
}

function goals(summaries: readonly Summary[]): Goal[] {
  const wall = (user: string, kind: Kind) =>
    summaries.find((summary) => summary.user === user && summary.kind === kind)?.wallMs ??
    Number.NaN;
  const reached = (value: number) => (Number.isNaN(value) ? null : value);
  const names = [...new Set(summaries.map(({ user }) => user))];
  const ratio = (kind: Kind, other: Kind, limit: number) =>
    names.map((user) => ({
      goal: `${kind}, ${user}: wall of ${other}`,
      limit,
      unit: 'x',
      reached: reached(wall(user, kind) / wall(user, other)),
    }));
  const [first = ''] = names;
  return [
    ...ratio('reader --pin cwd', 'cd and flock in sh', 2),
    ...ratio('reader --pin namespace', 'unshare and two mounts', 2),
    ...(['mirrorlatch run --pin cwd', 'mirrorlatch run --pin namespace'] as const).map((kind) => ({
      goal: `${kind}, ${first}: more than node -e 0`,
      limit: 40,
      unit: ' ms',
      reached: reached(wall(first, kind) - wall(first, 'node -e 0')),
    })),
  ];
}

function report(summaries: readonly Summary[]): string {
  const ms = (value: number) => value.toFixed(2);
  return table(
    ['start', 'as', 'median ms', 'spread', 'CPU ms'],
    summaries.map(({ kind, user, wallMs, fastestMs, slowestMs, cpuMs }) => [
      kind,
      user,
      ms(wallMs),
      `${ms(fastestMs)} to ${ms(slowestMs)}`,
      ms(cpuMs),
    ]),
  );
}

async function main(): Promise<void> {
  const options = readCounts(COUNTS, usage);
  needPrograms({ hyperfine: 'hyperfine', unshare: 'util-linux', mount: 'mount', rsync: 'rsync' });
  const program = resolve('dist', 'mirrorlatch');
  if (!existsSync(program)) {
    throw new Error(`${program} does not exist: run \`npm run bench:reader\` in the project`);
  }
  await inDirectory(options.work, async (directory, signal) => {
    const version = (name: string) =>
      execFileSync(name, ['--version'], { encoding: 'utf8' }).trim();
    const at = {
      ...machine(directory),
      hyperfine: version('hyperfine'),
      unshare: version('unshare'),
    };
    const contestants = prepare(directory, program);
    const batches: Batch[] = [];
    for (let round = 0; round < options.rounds; round++) {
      for (let turn = 0; turn < contestants.length; turn++) {
        const contestant = contestants[(turn + round) % contestants.length];
        if (contestant !== undefined) batches.push(await measure(contestant, directory, signal));
      }
      say(`round ${round + 1} of ${options.rounds}`);
    }
    const summaries = summarize(contestants, batches);
    const measured = goals(summaries);
    const loads = batches.map(({ load }) => load);
    process.stdout.write(
      `${at.processors.length} x ${at.processors[0]}, ${at.filesystem}, Node ${at.node}, ${at.unshare}, measured with ${at.hyperfine} -N\n` +
        `load ${Math.min(...loads).toFixed(1)} to ${Math.max(...loads).toFixed(1)}; ${options.rounds * startsInRound} starts of each\n\n` +
        `${report(summaries)}\n${goalLines(measured)}`,
    );
    if (options.json !== undefined) {
      const document = { machine: at, goals: measured, medians: summaries, batches };
      writeFileSync(options.json, `${JSON.stringify(document, null, 2)}\n`);
    }
  });
}

await reportFailure(main);
