/**
 * Measures what checks cost beside the programs that read and hash the same files without us, in one run on one
 * machine:
 *
 *   npm run bench:checks -- [--packages N] [--rounds N] [--json FILE] [--work DIRECTORY]
 *
 * Archives of apt are made, of N packages and of a tenth of that, and one of rpm-md. Two mirrors follow each:
 * one checks, with the content of its packages, and one does not. Each round changes 1 % of the packages, syncs
 * both, and runs every command once. What the check of a sync costs is the difference between the two. Medians
 * of CPU times are shown, of all processes and threads, and the largest memory of our own. A slow result is not
 * a failure.
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { layoutOf } from '../../src/mirror/layout.ts';
import { type Goal, goalLines, median, table } from './goals.ts';
import { type Command, measure, OwnPeak } from './measure.ts';
import { readCounts } from './options.ts';
import { APT, type ArchiveFormat, PackageArchive, RPM_MD } from './package-archive.ts';
import { inDirectory, machine, needPrograms, remove, reportFailure, say } from './session.ts';

const usage =
  'usage: npm run bench:checks -- [--packages N] [--rounds N] [--json FILE] [--work DIRECTORY]';

const MB = 1_000_000;

const COUNTS = {
  packages: { byDefault: 100_000, least: 1000 },
  rounds: { byDefault: 3, least: 1 },
};

/** One package of so many is changed in each round. */
const SHARE = 100;

interface Result {
  readonly name: string;
  readonly cpuMs: number;
  readonly wallMs: number;
  /** 0 for what is not ours. */
  readonly ownPeakBytes: number;
}

const NAMES = {
  plain: 'sync --check none, 1 % changed',
  checked: 'sync --check-content, 1 % changed',
  all: 'check --check-content',
  sizes: 'check, sizes only',
  hashChanged: 'sha256sum of what changed, and of lists',
  hashAll: 'sha256sum of all',
  readAll: 'cat of all',
};

const PROGRAM = resolve('dist', 'mirrorlatch');

/** The two mirrors of an archive: one checks, the other does not. */
const MIRRORS = { plain: ['--check', 'none'], checked: ['--check', 'auto', '--check-content'] };

/** Measures all with one archive, and removes it. @returns the medians of all rounds. */
async function measureArchive(
  kind: string,
  format: ArchiveFormat,
  { packages, rounds }: { packages: number; rounds: number },
  directory: string,
  signal: AbortSignal,
): Promise<Result[]> {
  const place = join(directory, kind);
  mkdirSync(place);
  const source = join(place, 'source');
  const archive = new PackageArchive(source, format);
  const ownPeak = new OwnPeak(directory);
  const runs: Result[] = [];
  const run = async (name: string, command: Command, isOwn: boolean) => {
    const { wallMs, userMs, systemMs } = await measure(command, directory, signal);
    const ownPeakBytes = isOwn ? ownPeak.take() : 0;
    runs.push({ name, cpuMs: userMs + systemMs, wallMs, ownPeakBytes });
  };
  const own = (name: string, ...words: string[]) =>
    run(name, ownPeak.command(PROGRAM, words), true);
  const sync = (mirror: keyof typeof MIRRORS, name: string) => {
    const words = [source, join(place, mirror), '--no-prune', '--quiet', ...MIRRORS[mirror]];
    return own(name, 'sync', ...words);
  };
  const beside = (name: string, program: string, paths: readonly string[]) => {
    const list = join(directory, 'names');
    const { current } = layoutOf(join(place, 'checked'));
    writeFileSync(list, paths.map((path) => `${join(current, path)}\0`).join(''));
    const quiet = 'exec xargs -0 -a "$0" "$1" >/dev/null';
    return run(name, { file: 'sh', args: ['-c', quiet, list, program] }, false);
  };

  say(`${kind}: making ${packages} packages and two mirrors`);
  await archive.make(packages, signal);
  await sync('plain', 'first sync --check none');
  await sync('checked', 'first sync --check-content');
  for (let round = 1; round <= rounds; round += 1) {
    const changed = await archive.update(SHARE, round);
    await sync('plain', NAMES.plain);
    await sync('checked', NAMES.checked);
    await own(NAMES.all, 'check', join(place, 'checked'));
    await own(NAMES.sizes, 'check', join(place, 'checked'), '--no-check-content');
    const all = [...archive.packages, ...archive.lists];
    await beside(NAMES.hashChanged, 'sha256sum', [...changed, ...archive.lists]);
    await beside(NAMES.hashAll, 'sha256sum', all);
    await beside(NAMES.readAll, 'cat', all);
    say(`${kind}: round ${round} of ${rounds}`);
  }
  await remove(place);
  return mediansOf(runs);
}

function mediansOf(runs: readonly Result[]): Result[] {
  return [...new Set(runs.map(({ name }) => name))].map((name) => {
    const same = runs.filter((one) => one.name === name);
    return {
      name,
      cpuMs: median(same.map(({ cpuMs }) => cpuMs)),
      wallMs: median(same.map(({ wallMs }) => wallMs)),
      ownPeakBytes: Math.max(...same.map(({ ownPeakBytes }) => ownPeakBytes)),
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

async function main(): Promise<void> {
  const options = readCounts(COUNTS, usage);
  needPrograms({ rsync: 'rsync', sha256sum: 'coreutils', xargs: 'findutils' });
  if (!existsSync(PROGRAM)) {
    throw new Error(`${PROGRAM} does not exist: run \`npm run bench:checks\` in the project`);
  }
  await inDirectory(options.work, async (directory, signal) => {
    const at = machine(directory);
    const fewer = { ...options, packages: options.packages / 10 };
    const few = await measureArchive('apt, a tenth', APT, fewer, directory, signal);
    const apt = await measureArchive('apt', APT, options, directory, signal);
    const rpm = await measureArchive('rpm-md', RPM_MD, options, directory, signal);
    const flat = {
      goal: 'apt: our own process, by that of a tenth of the packages',
      limit: 1.2,
      unit: 'x',
      reached: peakOf(apt) / peakOf(few),
    };
    const measured = [...goalsOf('apt', apt), flat, ...goalsOf('rpm-md', rpm)];
    const results = { 'apt, a tenth': few, apt, 'rpm-md': rpm };
    const rows = Object.entries(results).flatMap(([archive, of]) =>
      of.map(({ name, cpuMs, wallMs, ownPeakBytes }) => [
        `${archive}: ${name}`,
        (cpuMs / 1000).toFixed(2),
        (wallMs / 1000).toFixed(2),
        ownPeakBytes === 0 ? '-' : (ownPeakBytes / MB).toFixed(0),
      ]),
    );
    const load = `load ${at.load.map((one) => one.toFixed(1)).join(' ')} before`;
    process.stdout.write(
      `${options.packages} packages, ${options.rounds} rounds; ${at.processors.length} x ${at.processors[0]}, ${at.filesystem}, Node ${at.node}, ${load}\n\n` +
        `${table(['command', 'CPU s', 'wall s', 'own MB'], rows)}\n${goalLines(measured)}`,
    );
    if (options.json !== undefined) {
      const document = { machine: at, goals: measured, results };
      writeFileSync(options.json, `${JSON.stringify(document, null, 2)}\n`);
    }
  });
}

await reportFailure(main);
