/**
 * Compares `mirrorlatch sync` with the tools that people use today, in one run on one machine:
 *
 *   npm run bench -- [--large] [--files N,...] [--repeat N] [--rest SECONDS] [--json FILE] [--work DIRECTORY]
 *
 * Each case runs in rounds, which begin with another contestant each; all runs are kept, and the
 * medians are shown. A slow result is not a failure.
 *
 * On ext4 new directories are slow for up to six minutes after a tree was removed: the kernel skips
 * each inode that was freed in that time (recently_deleted in fs/ext4/ialloc.c). So each contestant
 * pays for what the one before it removed. --rest waits before each run, as real syncs run hours
 * apart.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type Contestant, contestants, own } from './contestants.ts';
import { goalLines } from './goals.ts';
import { measure, OwnPeak } from './measure.ts';
import { type Case, count, goals, Results, type Run, tables } from './report.ts';
import { inDirectory, machine, needPrograms, remove, reportFailure, say } from './session.ts';
import {
  changeOnePercent,
  deleteOnePercent,
  directoriesOf,
  fileBytes,
  makeTree,
} from './source-tree.ts';

const usage =
  'usage: npm run bench -- [--large] [--files N,...] [--repeat N] [--rest SECONDS] [--json FILE] [--work DIRECTORY]';

interface Options {
  readonly sizes: readonly number[];
  readonly repeat: number;
  /** The pause before each run, in seconds. */
  readonly rest: number;
  readonly json: string | undefined;
  readonly work: string;
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      large: { type: 'boolean', default: false },
      files: { type: 'string' },
      repeat: { type: 'string', default: '3' },
      rest: { type: 'string', default: '0' },
      json: { type: 'string' },
      work: { type: 'string', default: tmpdir() },
    },
  });
  const sizes = values.files?.split(',').map(Number) ?? [10_000, 100_000];
  if (values.large) sizes.push(1_000_000);
  const repeat = Number(values.repeat);
  const rest = Number(values.rest);
  if (!(rest >= 0)) throw new Error(`--rest takes seconds\n${usage}`);
  // Each round changes 1 % of the files and deletes another 1 %: there are 50 of each.
  if (![...sizes, repeat].every((n) => Number.isSafeInteger(n) && n > 0) || repeat > 50) {
    throw new Error(
      `--files and --repeat take whole numbers above 0, --repeat at most 50\n${usage}`,
    );
  }
  return {
    sizes: [...new Set(sizes)],
    repeat,
    rest,
    json: values.json,
    work: resolve(values.work),
  };
}

/** The atomic-rsync script that the rsync package ships among its examples. */
function findAtomicRsync(): string {
  const places = [
    '/usr/share/rsync/scripts',
    '/usr/share/doc/rsync/scripts',
    '/usr/share/doc/rsync/support',
  ];
  const script = places.map((place) => join(place, 'atomic-rsync')).find(existsSync);
  if (script === undefined)
    throw new Error(`there is no atomic-rsync in ${places.join(', ')}: apt-get install rsync`);
  return script;
}

/**
 * Checks that the disk has room for the source and four trees a round, with a margin.
 *
 * @throws Error that names the bytes or inodes that are needed and free.
 */
function needSpace(work: string, files: number, repeat: number): void {
  const { bavail, bsize, ffree, files: inodes } = statfsSync(work);
  const trees = 1 + 4 * repeat;
  const directories = directoriesOf(files) * (trees + 8);
  const bytes = (files * trees * 1.1 + directories) * Math.max(4096, fileBytes);
  if (bavail * bsize < bytes) {
    throw new Error(
      `${count(files)} files need ${Math.ceil(bytes / 1e9)} GB in ${work}, but only ${Math.floor((bavail * bsize) / 1e9)} GB are free`,
    );
  }
  // A filesystem that allocates inodes on demand reports 0.
  if (inodes > 0 && ffree < files * trees + directories) {
    throw new Error(
      `${count(files)} files need ${count(files * trees + directories)} inodes in ${work}, but only ${count(ffree)} are free`,
    );
  }
}

/** Measures all cases and keeps the runs. */
class Bench {
  readonly runs: Run[] = [];
  readonly #options: Options;
  readonly #directory: string;
  readonly #signal: AbortSignal;
  readonly #ownPeak: OwnPeak;
  readonly #contestants: readonly (readonly Contestant[])[];

  constructor(options: Options, directory: string, program: string, signal: AbortSignal) {
    this.#options = options;
    this.#directory = directory;
    this.#signal = signal;
    this.#ownPeak = new OwnPeak(directory);
    this.#contestants = contestants(program, findAtomicRsync(), this.#ownPeak);
  }

  async size(files: number): Promise<void> {
    needSpace(this.#directory, files, this.#options.repeat);
    const base = join(this.#directory, String(files));
    const source = join(base, 'source');
    say(`${count(files)} files: making the source`);
    await makeTree(source, files, this.#signal);
    const rounds = async (name: Case, begin: (round: number) => void) => {
      for (let round = 0; round < this.#options.repeat; round++) {
        begin(round);
        await this.#round(files, name, round, base);
      }
    };
    await rounds('first sync', (round) => {
      // Keep the old rooms: removing them would slow down the next run (see above).
      if (round > 0) renameSync(join(base, 'rooms'), join(base, `rooms-${round}`));
      for (const [room, contestant] of this.#rooms(base)) {
        mkdirSync(room, { recursive: true });
        contestant.prepare(room);
      }
    });
    await rounds('nothing changed', () => {});
    await rounds('1 % changed', (round) => changeOnePercent(source, files, round));
    await rounds('1 % deleted', (round) => deleteOnePercent(source, files, round));
    this.#verify(source, base);
    await remove(base);
  }

  /** Each room with its first contestant. */
  *#rooms(base: string): Generator<[string, Contestant]> {
    for (const [index, [contestant]] of this.#contestants.entries()) {
      if (contestant !== undefined) yield [join(base, 'rooms', String(index)), contestant];
    }
  }

  async #round(files: number, name: Case, round: number, base: string): Promise<void> {
    const source = join(base, 'source');
    for (let turn = 0; turn < this.#contestants.length; turn++) {
      const index = (turn + round) % this.#contestants.length;
      for (const contestant of this.#contestants[index] ?? []) {
        const room = join(base, 'rooms', String(index));
        // Only mirrorlatch waits for the disk, and must not pay for what the others wrote.
        execFileSync('sync', ['-f', base]);
        await setTimeout(this.#options.rest * 1000, undefined, { signal: this.#signal });
        const { stdout, ...measured } = await measure(
          contestant.command(source, room),
          this.#directory,
          this.#signal,
        );
        const ours =
          contestant.name === own
            ? { ownPeakBytes: this.#ownPeak.take(), summary: JSON.parse(stdout) as unknown }
            : {};
        this.runs.push({ files, case: name, contestant: contestant.name, ...measured, ...ours });
        say(
          `${count(files)} files, ${name}, round ${round + 1}: ${contestant.name} ${(measured.wallMs / 1000).toFixed(2)} s`,
        );
      }
    }
  }

  /** @throws Error for a contestant that did not mirror the source: its times mean nothing. */
  #verify(source: string, base: string): void {
    for (const [room, contestant] of this.#rooms(base)) {
      const differences = execFileSync(
        'rsync',
        ['-a', '-n', '-i', '--delete', '--', `${source}/`, `${contestant.newest(room)}/`],
        { encoding: 'utf8' },
      );
      if (differences !== '') {
        throw new Error(
          `${contestant.name} did not mirror the source:\n${differences.slice(0, 2000)}`,
        );
      }
    }
  }
}

async function main(): Promise<void> {
  const options = readOptions();
  needPrograms({ rsync: 'rsync', rsnapshot: 'rsnapshot', python3: 'python3' });
  const program = resolve('dist', 'bin', 'main.cjs');
  if (!existsSync(program))
    throw new Error(`${program} does not exist: run \`npm run bench\` in the project`);
  await inDirectory(options.work, async (directory, signal) => {
    const rsync = execFileSync('rsync', ['--version'], { encoding: 'utf8' }).split('\n')[0];
    const at = { ...machine(directory), rsync };
    const bench = new Bench(options, directory, program, signal);
    for (const files of options.sizes) await bench.size(files);
    const results = new Results(bench.runs);
    const measured = goals(results);
    const loads = bench.runs.map(({ load }) => load);
    process.stdout.write(
      `${at.processors.length} x ${at.processors[0]}, ${at.filesystem}, Node ${at.node}, ${at.rsync}\n` +
        `load ${Math.min(...loads).toFixed(1)} to ${Math.max(...loads).toFixed(1)}; medians of ${options.repeat} rounds, ${options.rest} s of rest before each run\n\n`,
    );
    for (const files of results.sizes) process.stdout.write(`${tables(results, files)}\n`);
    process.stdout.write(goalLines(measured));
    if (options.json !== undefined) {
      const document = {
        machine: at,
        repeat: options.repeat,
        restSeconds: options.rest,
        goals: measured,
        medians: results.summaries(),
        runs: bench.runs,
      };
      writeFileSync(options.json, `${JSON.stringify(document, null, 2)}\n`);
    }
  });
}

await reportFailure(main);
