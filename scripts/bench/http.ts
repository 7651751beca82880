/**
 * Compares `mirrorlatch serve`, and nginx in front of it, with nginx that serves the same snapshot bare, in one
 * run on one machine:
 *
 *   npm run bench:http -- [--rounds N] [--seconds N] [--json FILE] [--work DIRECTORY]
 *
 * The servers have one processor and the clients the others. wrk asks for files of 4 KiB on 16 connections
 * that stay open, for one file or for each of 20,000 in turn; curl fetches 200 MB, 20 times. apt updates and
 * downloads or installs, under `run --http` and without it. Each round measures every server once, and begins
 * with another one; the medians are shown, and what they are of nginx in the same round. A slow result is not
 * a failure.
 */
import { execFile, execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { type Goal, goalLines, median, table } from './goals.ts';
import { type GuardedApt, guardedAptTable, measureGuardedApt } from './guarded-apt.ts';
import { readCounts } from './options.ts';
import { inDirectory, machine, needPrograms, reportFailure, say } from './session.ts';
import {
  ON_CLIENT_CORES,
  startBareNginx,
  startNginxInFront,
  startServe,
  type WebServer,
} from './web-servers.ts';

const usage =
  'usage: npm run bench:http -- [--rounds N] [--seconds N] [--json FILE] [--work DIRECTORY]';

/** `seconds`: how long wrk asks. */
const COUNTS = { rounds: { byDefault: 5, least: 1 }, seconds: { byDefault: 4, least: 1 } };

const SMALL_BYTES = 4096;
const MANY = 20_000;
const IN_DIRECTORY = 1000;
const LARGE_BYTES = 200_000_000;
const LARGE_TIMES = 20;
const NAME = 'bench';

/** Makes a mirror with one snapshot. @returns its root. */
function makeMirror(directory: string, program: string): string {
  const source = join(directory, 'source');
  const root = join(directory, 'mirror');
  // mkdtemp makes a directory that the servers' own user cannot enter.
  chmodSync(directory, 0o755);
  mkdirSync(source);
  writeFileSync(join(source, 'small'), Buffer.alloc(SMALL_BYTES, 'small'));
  writeFileSync(join(source, 'large'), '');
  truncateSync(join(source, 'large'), LARGE_BYTES);
  for (let count = 0; count < MANY; count += 1) {
    const below = join(source, `many-${Math.floor(count / IN_DIRECTORY)}`);
    if (count % IN_DIRECTORY === 0) mkdirSync(below);
    writeFileSync(join(below, `file-${count}`), Buffer.alloc(SMALL_BYTES, `file ${count} `));
  }
  execFileSync(program, ['sync', source, root, '--json'], { stdio: 'pipe' });
  return root;
}

const cases = ['one file of 4 KiB', '20,000 files of 4 KiB', 'one file of 200 MB'] as const;
type Case = (typeof cases)[number];

/** One measurement. */
interface Run {
  readonly round: number;
  readonly server: string;
  readonly case: Case;
  /** Requests a second, or bytes a second of the large file. */
  readonly perSecond: number;
  /** CPU time of the server for a request, in microseconds. */
  readonly cpuMicroseconds: number;
  /** Load average of the machine over one minute at the start. */
  readonly load: number;
}

/** Starts the servers whose figures are compared, by name; `bare` is the first. */
async function startServers(
  directory: string,
  root: string,
  program: string,
): Promise<ReadonlyMap<string, WebServer>> {
  return new Map([
    [bare, await startBareNginx(directory, join(root, 'current'))],
    [own, await startServe(program, root, NAME)],
    [inFront, await startNginxInFront(program, directory, root, NAME)],
  ]);
}

const bare = 'nginx, bare';
const own = 'mirrorlatch serve';
const inFront = 'nginx in front';

/** Runs a client, and counts the requests that it made and how many units it got a second. */
type Client = (
  server: WebServer,
  signal: AbortSignal,
) => Promise<{ requests: number; perSecond: number }>;

function clients(seconds: number, script: string): Readonly<Record<Case, Client>> {
  const wrk = (path: string, ...options: string[]): Client => {
    return async ({ tree }, signal) => {
      const words = ['wrk', '-t', '1', '-c', '16', '-d', `${seconds}s`, ...options];
      const said = await run([...words, `${tree}${path}`], signal);
      if (/Non-2xx|Socket errors/.test(said)) throw new Error(`not all was answered:\n${said}`);
      const figure = (pattern: RegExp) => Number(pattern.exec(said)?.[1]);
      return {
        requests: figure(/(\d+) requests in/),
        perSecond: figure(/Requests\/sec:\s*([\d.]+)/),
      };
    };
  };
  return {
    'one file of 4 KiB': wrk('small'),
    '20,000 files of 4 KiB': wrk('', '-s', script),
    'one file of 200 MB': async ({ tree }, signal) => {
      const words = ['curl', '-sf', '-w', '%{time_total}\\n'];
      for (let count = 0; count < LARGE_TIMES; count += 1) {
        words.push('-o', '/dev/null', `${tree}large`);
      }
      const times = (await run(words, signal)).trim().split('\n').map(Number);
      const taken = times.reduce((total, time) => total + time, 0);
      return { requests: LARGE_TIMES, perSecond: (LARGE_BYTES * LARGE_TIMES) / taken };
    },
  };
}

/** For wrk: each request is for the next of the many files. */
const EACH_IN_TURN = `local count = -1
request = function()
  count = (count + 1) % ${MANY}
  return wrk.format("GET", wrk.path .. "many-" .. math.floor(count / ${IN_DIRECTORY}) .. "/file-" .. count)
end
`;

async function run(words: readonly string[], signal: AbortSignal): Promise<string> {
  const [file = '', ...args] = [...ON_CLIENT_CORES, ...words];
  return (await promisify(execFile)(file, args, { signal })).stdout;
}

async function measure(
  round: number,
  name: Case,
  client: Client,
  [serverName, server]: readonly [string, WebServer],
  signal: AbortSignal,
): Promise<Run> {
  const [load = 0] = loadavg();
  const before = server.cpuMs();
  const { requests, perSecond } = await client(server, signal);
  const cpuMicroseconds = ((server.cpuMs() - before) * 1000) / requests;
  return { round, server: serverName, case: name, perSecond, cpuMicroseconds, load };
}

/** All runs of one server and case. */
interface Summary {
  readonly server: string;
  readonly case: Case;
  /** Median, as are the others. */
  readonly perSecond: number;
  /** What it was of bare nginx in the same round. */
  readonly ofBare: number;
  readonly cpuMicroseconds: number;
}

function summarize(runs: readonly Run[], servers: readonly string[]): Summary[] {
  return cases.flatMap((name) =>
    servers.map((server) => {
      const of = (which: string) => runs.filter((run) => run.case === name && run.server === which);
      const ratios = of(server).map(({ round, perSecond }) => {
        const other = of(bare).find((run) => run.round === round);
        return perSecond / (other?.perSecond ?? Number.NaN);
      });
      return {
        server,
        case: name,
        perSecond: median(of(server).map(({ perSecond }) => perSecond)),
        ofBare: median(ratios),
        cpuMicroseconds: median(of(server).map(({ cpuMicroseconds }) => cpuMicroseconds)),
      };
    }),
  );
}

function goals(summaries: readonly Summary[], peakBytes: number): Goal[] {
  const reached = (server: string, name: Case, figure: 'cpuMicroseconds' | 'ofBare') =>
    summaries.find((one) => one.server === server && one.case === name)?.[figure] ?? null;
  const [small, , large] = cases;
  return [
    {
      goal: `${own}: requests a second of CPU time, ${small}`,
      limit: 10_000,
      isLeast: true,
      unit: '',
      reached: 1e6 / (reached(own, small, 'cpuMicroseconds') ?? Number.NaN),
    },
    ...[
      { server: own, name: large, limit: 0.5 },
      { server: inFront, name: small, limit: 0.6 },
      { server: inFront, name: large, limit: 1 },
    ].map(({ server, name, limit }) => ({
      goal: `${server}, ${name}: of ${bare}`,
      limit,
      isLeast: true,
      unit: 'x',
      reached: reached(server, name, 'ofBare'),
    })),
    { goal: `${own}: memory`, limit: 120, unit: ' MB', reached: peakBytes / 1e6 },
  ];
}

/** Starting Node takes longer than a tenth of what a mere download does: apt's time is that of an upgrade. */
function aptGoals(apt: readonly GuardedApt[]): Goal[] {
  return apt
    .filter(({ repository, end }) => repository === 'realistic' && end === 'install')
    .map(({ wall }) => ({
      goal: 'run --http, time of an upgrade by apt: of apt alone',
      limit: 1.1,
      unit: 'x',
      reached: wall,
    }));
}

function report(summaries: readonly Summary[]): string {
  return table(
    ['what', 'a second', 'of bare', 'CPU us a request', 'server'],
    summaries.map(({ server, case: name, perSecond, ofBare, cpuMicroseconds }) => [
      name,
      name === 'one file of 200 MB'
        ? `${(perSecond / 1e9).toFixed(2)} GB`
        : Math.round(perSecond).toLocaleString('en'),
      `${ofBare.toFixed(2)}x`,
      cpuMicroseconds.toFixed(0),
      server,
    ]),
  );
}

async function main(): Promise<void> {
  const { rounds, seconds, json, work } = readCounts(COUNTS, usage);
  needPrograms({ nginx: 'nginx-light', wrk: 'wrk', curl: 'curl', rsync: 'rsync', xz: 'xz-utils' });
  const program = resolve('dist', 'mirrorlatch');
  if (!existsSync(program)) {
    throw new Error(`${program} does not exist: run \`npm run bench:http\` in the project`);
  }
  await inDirectory(work, async (directory, signal) => {
    const at = machine(directory);
    const script = join(directory, 'each-in-turn.lua');
    writeFileSync(script, EACH_IN_TURN);
    const root = makeMirror(directory, program);
    const servers = await startServers(directory, root, program);
    const contestants = [...servers];
    const runs: Run[] = [];
    let peakBytes = Number.NaN;
    try {
      for (let round = 0; round < rounds; round += 1) {
        for (const [name, client] of Object.entries(clients(seconds, script))) {
          for (let turn = 0; turn < contestants.length; turn += 1) {
            const contestant = contestants[(turn + round) % contestants.length];
            if (contestant === undefined) continue;
            runs.push(await measure(round, name as Case, client, contestant, signal));
          }
        }
        say(`round ${round + 1} of ${rounds}`);
      }
      peakBytes = servers.get(own)?.peakBytes() ?? Number.NaN;
    } finally {
      await Promise.all(contestants.map(([, server]) => server.stop()));
    }
    const apt = await measureGuardedApt(directory, program, rounds, signal);
    const summaries = summarize(runs, [...servers.keys()]);
    const measured = [...goals(summaries, peakBytes), ...aptGoals(apt)];
    const loads = runs.map(({ load }) => load);
    process.stdout.write(
      `${at.processors.length} x ${at.processors[0]}, ${at.filesystem}, Node ${at.node}\n` +
        `load ${Math.min(...loads).toFixed(1)} to ${Math.max(...loads).toFixed(1)}; medians of ${rounds} rounds\n\n` +
        `${report(summaries)}\n${guardedAptTable(apt)}\n${goalLines(measured)}`,
    );
    if (json !== undefined) {
      const document = { machine: at, seconds, goals: measured, medians: summaries, runs, apt };
      writeFileSync(json, `${JSON.stringify(document, null, 2)}\n`);
    }
  });
}

await reportFailure(main);
