/**
 * Measures what the commands cost in a mirror that has many snapshots, or has synced for years, compared
 * with a new one, in one run on one machine:
 *
 *   npm run bench:history -- [--rounds N] [--syncs N] [--json FILE] [--work DIRECTORY]
 *
 * The past of a mirror is written by the bench, as its syncs would have left it: 100,000 of them, one each
 * five minutes. Each round runs every command on each mirror once; the medians of their CPU times are shown,
 * those of rsync included, and the largest memory of our process. `--syncs` runs as many syncs that find
 * nothing, one after another, in the mirror whose history is almost too long, so that one of them trims it,
 * and compares the last of them with the first. A slow result is not a failure.
 */
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import type { HistoryEntry } from '../../src/mirror/history/history.ts';
import { type Layout, layoutOf } from '../../src/mirror/layout.ts';
import { quoteForSh } from '../../src/system/quote.ts';
import { type Goal, goalLines, median, table } from './goals.ts';
import { type Command, type Measurement, measure, OwnPeak } from './measure.ts';
import { readCounts } from './options.ts';
import { inDirectory, machine, needPrograms, reportFailure, say } from './session.ts';

const usage =
  'usage: npm run bench:history -- [--rounds N] [--syncs N] [--json FILE] [--work DIRECTORY]';

const MINUTE_MS = 60_000;
const MB = 1_000_000;

const COUNTS = { rounds: { byDefault: 5, least: 1 }, syncs: { byDefault: 0, least: 0 } };

/** A past to compare with that of a new mirror. */
interface Past {
  readonly name: string;
  readonly snapshots: number;
  /** The syncs that found nothing, spread over the time since the first snapshot. */
  readonly unchanged: number;
  /** As a version left it that did not trim: a writer would trim it now, so only readers are measured. */
  readonly isUntrimmed?: boolean;
  /** Trimmed by a command before anything is measured. */
  readonly isTrimmed?: boolean;
}

const NEW: Past = { name: 'new, 4 snapshots', snapshots: 4, unchanged: 0 };
const WIDE: Past = { name: '400 snapshots', snapshots: 400, unchanged: 0 };
const TRIMMED: Past = {
  name: '400, trimmed',
  snapshots: 400,
  unchanged: 100_000,
  isTrimmed: true,
};
const LONGEST: Past = { name: '400, almost too long', snapshots: 400, unchanged: 1_400 };
const UNTRIMMED: Past = {
  name: '400, 100,000 syncs',
  snapshots: 400,
  unchanged: 100_000,
  isUntrimmed: true,
};
const PASTS = [NEW, WIDE, TRIMMED, LONGEST, UNTRIMMED];

/** A mirror with its past, and its source. */
interface Subject {
  readonly past: Past;
  readonly source: string;
  readonly root: string;
}

function prepare(past: Past, directory: string, program: string): Subject {
  const source = join(directory, 'source');
  const root = join(directory, 'mirror');
  mkdirSync(source, { recursive: true });
  for (let count = 0; count < 20; count += 1) writeFileSync(join(source, `file-${count}`), 'old\n');
  const run = (...args: string[]) => execFileSync(program, args, { stdio: 'pipe' });
  run('sync', source, root, '--id', idOf(0), '--keep-last', String(past.snapshots));
  run('init', root, '--grace', '0s');
  run('sync', root);
  const { history } = layoutOf(root);
  const before = writePast(layoutOf(root), past);
  if (!past.isUntrimmed) writeFileSync(history, before);
  // The last of the snapshots, so that a sync made what is current.
  writeFileSync(join(source, 'file-0'), 'new\n');
  run('sync', root);
  if (past.isTrimmed) run('prune', root);
  if (past.isUntrimmed) writeFileSync(history, `${before}${lastLine(history)}\n`);
  return { past, source, root };
}

const lastLine = (file: string): string =>
  readFileSync(file, 'utf8').trimEnd().split('\n').at(-1) ?? '';

const idOf = (number: number): string => `snapshot-${String(number).padStart(4, '0')}`;

/**
 * Makes all snapshots but one.
 *
 * @returns a line for each sync, like those of the two that have been made.
 */
function writePast(layout: Layout, { snapshots, unchanged }: Past): string {
  const [first, same] = readFileSync(layout.history, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as HistoryEntry);
  const between = Math.floor(unchanged / snapshots);
  let time = Date.now() - (snapshots * (between + 1) + 1) * 5 * MINUTE_MS;
  const entries: object[] = [];
  const record = (entry: object) => {
    time += 5 * MINUTE_MS;
    entries.push({ ...entry, at: new Date(time).toISOString() });
  };
  for (let number = 0; number < snapshots - 1; number += 1) {
    const id = idOf(number);
    record({ ...first, id, previous: number === 0 ? null : idOf(number - 1) });
    if (number > 0) makeSnapshot(layout, id, time);
    for (let count = 0; count < between; count += 1) record({ ...same, current: id });
  }
  rmSync(layout.current);
  symlinkSync(`snapshots/${idOf(snapshots - 2)}`, layout.current);
  return entries.map((entry) => `${JSON.stringify(entry)}\n`).join('');
}

function makeSnapshot(layout: Layout, id: string, time: number): void {
  mkdirSync(layout.snapshot(id));
  for (let count = 0; count < 20; count += 1) {
    writeFileSync(join(layout.snapshot(id), `file-${count}`), 'old\n');
  }
  writeFileSync(layout.lease(id), '', { mode: 0o444 });
  utimesSync(layout.lease(id), time / 1000, time / 1000);
  writeFileSync(layout.log(id), 'as rsync said it\n', { mode: 0o600 });
}

/** A command line to measure. */
interface Contestant {
  readonly name: string;
  /** Changes what is measured besides, so it is not for a history that a writer would trim. */
  readonly writes?: boolean;
  readonly before?: (subject: Subject, round: number) => void;
  readonly command: (subject: Subject, start: Start) => Command;
}

type Start = (...args: string[]) => Command;

const CONTESTANTS: readonly Contestant[] = [
  { name: 'status', command: ({ root }, start) => start('status', root) },
  { name: 'list', command: ({ root }, start) => start('list', root) },
  { name: 'current', command: ({ root }, start) => start('current', root) },
  { name: 'wait', command: ({ root }, start) => start('wait', root) },
  { name: 'watch, to its first event', command: ({ root }, start) => watchOnce(root, start) },
  { name: 'prune --dry-run', command: ({ root }, start) => start('prune', root, '--dry-run') },
  {
    name: 'sync, nothing changed',
    writes: true,
    command: ({ root }, start) => start('sync', root),
  },
  {
    name: 'sync, one file changed',
    writes: true,
    before: ({ source }, round) => appendFileSync(join(source, 'file-1'), `${round}\n`),
    command: ({ root }, start) => start('sync', root),
  },
];

/** Ends the watch with the signal that a service gets, after its first line. */
function watchOnce(root: string, start: Start): Command {
  const { file, args } = start('watch', root, '--json');
  const fifo = quoteForSh(`${root}.fifo`);
  const words = [file, ...args].map(quoteForSh).join(' ');
  const script = `rm -f ${fifo} && mkfifo ${fifo} && { ${words} >${fifo} & } && read -r line <${fifo} && kill $! && wait $!; test -n "$line"`;
  return { file: 'sh', args: ['-c', script] };
}

/** One run of a contestant. */
interface Run extends Pick<Measurement, 'wallMs' | 'userMs' | 'systemMs' | 'load'> {
  readonly contestant: string;
  readonly past: string;
  readonly ownPeakBytes: number;
}

/** All runs of a contestant on one mirror. */
interface Summary {
  readonly contestant: string;
  readonly past: string;
  /** Median, as is `wallMs`. */
  readonly cpuMs: number;
  readonly wallMs: number;
  readonly ownPeakBytes: number;
}

function summarize(runs: readonly Run[]): Summary[] {
  return CONTESTANTS.flatMap(({ name: contestant }) =>
    PASTS.flatMap(({ name: past }) => {
      const own = runs.filter((run) => run.contestant === contestant && run.past === past);
      if (own.length === 0) return [];
      return [
        {
          contestant,
          past,
          cpuMs: median(own.map(({ userMs, systemMs }) => userMs + systemMs)),
          wallMs: median(own.map(({ wallMs }) => wallMs)),
          ownPeakBytes: Math.max(...own.map(({ ownPeakBytes }) => ownPeakBytes)),
        },
      ];
    }),
  );
}

function goals(summaries: readonly Summary[]): Goal[] {
  const cpuOf = (contestant: string, past: Past) =>
    summaries.find((one) => one.contestant === contestant && one.past === past.name)?.cpuMs;
  const ratios = CONTESTANTS.flatMap(({ name }) =>
    [WIDE, TRIMMED, LONGEST].map((past): Goal => {
      const [cpu, least] = [cpuOf(name, past), cpuOf(name, NEW)];
      return {
        goal: `${name}, ${past.name}: CPU of a new mirror`,
        limit: 1.5,
        unit: 'x',
        reached: cpu === undefined || least === undefined ? null : cpu / least,
      };
    }),
  );
  const bounded = summaries.filter(({ past }) => past !== UNTRIMMED.name);
  const peak = Math.max(...bounded.map(({ ownPeakBytes }) => ownPeakBytes));
  return [
    ...ratios,
    { goal: 'our own process, trimmed', limit: 80, unit: ' MB', reached: peak / MB },
  ];
}

function report(summaries: readonly Summary[]): string {
  return table(
    ['command', ...PASTS.map(({ name }) => name), 'CPU ms · own MB'],
    CONTESTANTS.map(({ name }) => [
      name,
      ...PASTS.map((past) => {
        const found = summaries.find((one) => one.contestant === name && one.past === past.name);
        if (found === undefined) return '-';
        return `${found.cpuMs.toFixed(0)} · ${(found.ownPeakBytes / MB).toFixed(0)}`;
      }),
      '',
    ]),
  );
}

/** Real syncs, each of which finds nothing: the CPU time of the last tenth, and of the first. */
async function syncOften(
  count: number,
  subject: Subject,
  run: (command: Command) => Promise<Measurement>,
  start: Start,
): Promise<string> {
  const cpu: number[] = [];
  for (let number = 1; number <= count; number += 1) {
    const { userMs, systemMs } = await run(start('sync', subject.root));
    cpu.push(userMs + systemMs);
    if (number % 100 === 0) say(`sync ${number} of ${count}`);
  }
  const tenth = Math.max(1, Math.floor(count / 10));
  const [first, last] = [cpu.slice(0, tenth), cpu.slice(-tenth)].map(median);
  const { history } = layoutOf(subject.root);
  return `${count} syncs that found nothing, in a mirror of ${subject.past.name}: ${first?.toFixed(0)} ms of CPU at first, ${last?.toFixed(0)} ms at last, ${statSync(history).size} bytes of history\n`;
}

async function main(): Promise<void> {
  const options = readCounts(COUNTS, usage);
  needPrograms({ rsync: 'rsync', mkfifo: 'coreutils' });
  const program = resolve('dist', 'mirrorlatch');
  if (!existsSync(program)) {
    throw new Error(`${program} does not exist: run \`npm run bench:history\` in the project`);
  }
  await inDirectory(options.work, async (directory, signal) => {
    const at = machine(directory);
    const ownPeak = new OwnPeak(directory);
    const start: Start = (...args) => ownPeak.command(program, args);
    const subjects = PASTS.map((past, number) =>
      prepare(past, join(directory, String(number)), program),
    );
    const runs: Run[] = [];
    for (let round = 0; round < options.rounds; round += 1) {
      for (const { name: contestant, writes = false, before, command } of CONTESTANTS) {
        for (const subject of subjects) {
          if (writes && subject.past.isUntrimmed) continue;
          before?.(subject, round);
          const { wallMs, userMs, systemMs, load } = await measure(
            command(subject, start),
            directory,
            signal,
          );
          const ownPeakBytes = ownPeak.take();
          const past = subject.past.name;
          runs.push({ contestant, past, wallMs, userMs, systemMs, load, ownPeakBytes });
        }
      }
      say(`round ${round + 1} of ${options.rounds}`);
    }
    const summaries = summarize(runs);
    const measured = goals(summaries);
    const loads = runs.map(({ load }) => load);
    const subject = subjects.find(({ past }) => past === LONGEST);
    const often =
      options.syncs === 0 || subject === undefined
        ? ''
        : await syncOften(
            options.syncs,
            subject,
            (command) => measure(command, directory, signal),
            start,
          );
    process.stdout.write(
      `${at.processors.length} x ${at.processors[0]}, ${at.filesystem}, Node ${at.node}, load ${Math.min(...loads).toFixed(1)} to ${Math.max(...loads).toFixed(1)}\n\n` +
        `${report(summaries)}\n${often}${goalLines(measured)}`,
    );
    if (options.json !== undefined) {
      const document = { machine: at, goals: measured, medians: summaries, runs };
      writeFileSync(options.json, `${JSON.stringify(document, null, 2)}\n`);
    }
  });
}

await reportFailure(main);
