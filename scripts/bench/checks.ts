/**
 * Measures what checks cost beside the programs that read and hash the same files without us, and beside other programs
 * that keep such a mirror, in one run on one machine:
 *
 *   npm run bench:checks -- [--packages N] [--rounds N] [--json FILE] [--work DIRECTORY]
 *
 * Archives of apt are made, of N packages and of a tenth of that, and one of rpm-md. Two mirrors follow each:
 * one checks, with the content of its packages, and one does not. Each round changes 1 % of the packages, syncs
 * both, and runs every command once. What the check of a sync costs is the difference between the two. Other
 * programs bring their mirrors up to date unmeasured, and then look at them once more. Medians of times are shown, the
 * CPU times of all processes and threads, and the largest memory of our own. A slow result is not a failure.
 */
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { layoutOf } from '../../src/mirror/layout.ts';
import { NO_PEERS, openPeers } from './check-peers.ts';
import { checkGoals, mediansOf, NAMES, type Result, resultTable } from './check-report.ts';
import { goalLines } from './goals.ts';
import { type Command, measure, OwnPeak } from './measure.ts';
import { readCounts } from './options.ts';
import { APT, type ArchiveFormat, PackageArchive, RPM_MD } from './package-archive.ts';
import { inDirectory, machine, needPrograms, remove, reportFailure, say } from './session.ts';

const usage =
  'usage: npm run bench:checks -- [--packages N] [--rounds N] [--json FILE] [--work DIRECTORY]';

const COUNTS = {
  packages: { byDefault: 100_000, least: 1000 },
  rounds: { byDefault: 3, least: 1 },
};

/** One package of so many is changed in each round. */
const SHARE = 100;

/** For so many packages the goals were set. */
const GOALS_FROM = 100_000;

const PROGRAM = resolve('dist', 'mirrorlatch');

/** The two mirrors of an archive: one checks, the other does not. */
const MIRRORS = { plain: ['--check', 'none'], checked: ['--check', 'auto', '--check-content'] };

interface Measured {
  readonly packages: number;
  readonly rounds: number;
  readonly directory: string;
  readonly signal: AbortSignal;
}

/**
 * Measures all with one archive, and removes it.
 *
 * @param peersOf the kind of archive whose other programs take part.
 * @returns the medians of all rounds.
 */
async function measureArchive(
  title: string,
  format: ArchiveFormat,
  { packages, rounds, directory, signal }: Measured,
  peersOf?: 'apt' | 'rpm-md',
): Promise<Result[]> {
  const place = join(directory, title);
  const source = join(place, 'source');
  const rooms = join(place, 'peers');
  mkdirSync(rooms, { recursive: true });
  const archive = new PackageArchive(source, format);
  const ownPeak = new OwnPeak(directory);
  const runs: Result[] = [];
  const run = async (name: string, command: Command, isOwn: boolean, ours?: string) => {
    const { wallMs, userMs, systemMs } = await measure(command, directory, signal);
    const ownPeakBytes = isOwn ? ownPeak.take() : 0;
    runs.push({ name, cpuMs: userMs + systemMs, wallMs, ownPeakBytes, ours });
  };
  const own = (name: string, ...words: string[]) =>
    run(name, ownPeak.command(PROGRAM, words), true);
  const sync = (mirror: keyof typeof MIRRORS, name: string) => {
    const words = [source, join(place, mirror), '--no-prune', '--quiet', ...MIRRORS[mirror]];
    return own(name, 'sync', ...words);
  };
  const beside = (name: string, program: string, paths: readonly string[], ours?: string) => {
    const list = join(directory, 'names');
    const { current } = layoutOf(join(place, 'checked'));
    writeFileSync(list, paths.map((path) => `${join(current, path)}\0`).join(''));
    const quiet = 'exec xargs -0 -a "$0" "$1" >/dev/null';
    return run(name, { file: 'sh', args: ['-c', quiet, list, program] }, false, ours);
  };

  say(`${title}: making ${packages} packages and two mirrors`);
  await archive.make(packages, signal);
  await sync('plain', 'first sync --check none');
  await sync('checked', 'first sync --check-content');
  const { peers, leftOut, close } =
    peersOf === undefined ? NO_PEERS : await openPeers(peersOf, source, rooms);
  for (const line of leftOut) say(line);
  try {
    for (let round = 1; round <= rounds; round += 1) {
      const changed = await archive.update(SHARE, round);
      await sync('plain', NAMES.plain);
      await sync('checked', NAMES.checked);
      await own(NAMES.all, 'check', join(place, 'checked'));
      await own(NAMES.sizes, 'check', join(place, 'checked'), '--no-check-content');
      const all = [...archive.packages, ...archive.lists];
      await beside(NAMES.hashChanged, 'sha256sum', [...changed, ...archive.lists]);
      await beside(NAMES.hashAll, 'sha256sum', all, NAMES.all);
      await beside(NAMES.readAll, 'cat', all, NAMES.all);
      for (const { update, looks } of peers) {
        for (const command of update) await measure(command, directory, signal);
        for (const { name, before, command, ours } of looks) {
          if (before !== undefined) await measure(before, directory, signal);
          await run(name, command, false, ours);
        }
      }
      say(`${title}: round ${round} of ${rounds}`);
    }
  } finally {
    await close();
  }
  await remove(place);
  return mediansOf(runs);
}

async function main(): Promise<void> {
  const options = readCounts(COUNTS, usage);
  needPrograms({ rsync: 'rsync', sha256sum: 'coreutils', xargs: 'findutils' });
  if (!existsSync(PROGRAM)) {
    throw new Error(`${PROGRAM} does not exist: run \`npm run bench:checks\` in the project`);
  }
  await inDirectory(options.work, async (directory, signal) => {
    const at = machine(directory);
    // mkdtemp makes a directory that the server's own user cannot enter.
    chmodSync(directory, 0o755);
    const whole = { ...options, directory, signal };
    const tenth = { ...whole, packages: options.packages / 10 };
    const few = await measureArchive('apt, a tenth', APT, tenth);
    const apt = await measureArchive('apt', APT, whole, 'apt');
    const rpm = await measureArchive('rpm-md', RPM_MD, whole, 'rpm-md');
    const measured = checkGoals(few, apt, rpm);
    const results = { 'apt, a tenth': few, apt, 'rpm-md': rpm };
    const load = `load ${at.load.map((one) => one.toFixed(1)).join(' ')} before`;
    const { packages, rounds } = options;
    const count = `${packages} packages, ${rounds} round${rounds === 1 ? '' : 's'}`;
    const goals =
      packages < GOALS_FROM
        ? `The goals hold from ${GOALS_FROM} packages on: with fewer, a program mostly starts.\n`
        : goalLines(measured);
    process.stdout.write(
      `${count}; ${at.processors.length} x ${at.processors[0]}, ${at.filesystem}, Node ${at.node}, ${load}\n\n` +
        `${resultTable(results)}\n${goals}`,
    );
    if (options.json !== undefined) {
      const document = { machine: at, goals: measured, results };
      writeFileSync(options.json, `${JSON.stringify(document, null, 2)}\n`);
    }
  });
}

await reportFailure(main);
