/**
 * Measures what `diff` and `du` cost beside the programs that answer the same questions without us, in one
 * run on one machine:
 *
 *   npm run bench:questions -- [--files N] [--snapshots N] [--rounds N] [--json FILE] [--work DIRECTORY]
 *
 * The snapshots are made by syncs, of which each changes 1 % of the files. Each round runs every command once;
 * medians of CPU times are shown, of all processes, and the largest memory of our own. A slow result is not a
 * failure.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { layoutOf } from '../../src/mirror/layout.ts';
import { quoteForSh } from '../../src/system/quote.ts';
import { type Goal, goalLines, median, table } from './goals.ts';
import { type Command, measure, OwnPeak } from './measure.ts';
import { readCounts } from './options.ts';
import { inDirectory, machine, needPrograms, reportFailure, say } from './session.ts';
import { changeSome, makeTree } from './source-tree.ts';

const usage =
  'usage: npm run bench:questions -- [--files N] [--snapshots N] [--rounds N] [--json FILE] [--work DIRECTORY]';

const MB = 1_000_000;

const COUNTS = {
  files: { byDefault: 100_000, least: 1000 },
  snapshots: { byDefault: 8, least: 2 },
  rounds: { byDefault: 5, least: 1 },
};

/** The command lines to measure, by their names, and what each is compared with. */
interface Contestant {
  readonly name: string;
  readonly command: Command;
  readonly floor?: { name: string; limit: number };
}

interface Result {
  readonly name: string;
  readonly cpuMs: number;
  readonly wallMs: number;
  readonly ownPeakBytes: number;
}

const listing = 'find, of both trees';
const statuses = 'find -printf of size and time, of both';
const compare = 'diff -rq';
const dryRun = 'rsync -nai';
const whole = 'du of coreutils';

function contestants(root: string, own: (...words: string[]) => Command): Contestant[] {
  const { snapshot, snapshots } = layoutOf(root);
  const [one, other] = [snapshot('s0'), snapshot('s1')];
  const quiet = (...words: string[]): Command => ({
    file: 'sh',
    args: ['-c', `${words.map(quoteForSh).join(' ')} >/dev/null || test $? = 1`],
  });
  return [
    {
      name: 'diff, nothing differs',
      command: own('diff', root, 's1', 's1'),
      floor: { name: statuses, limit: 1.2 },
    },
    { name: 'diff, 1 % differs', command: own('diff', root, 's0', 's1') },
    { name: listing, command: quiet('find', one, other) },
    { name: statuses, command: quiet('find', one, other, '-printf', '%s %T@ %P\\n') },
    { name: compare, command: quiet('diff', '-rq', '--no-dereference', one, other) },
    { name: dryRun, command: quiet('rsync', '-nai', '--delete', `${other}/`, `${one}/`) },
    { name: 'du', command: own('du', root), floor: { name: whole, limit: 1.5 } },
    { name: whole, command: quiet('du', '-s', snapshots) },
  ];
}

function goals(all: readonly Contestant[], results: readonly Result[]): Goal[] {
  const cpuOf = (name: string) => results.find((one) => one.name === name)?.cpuMs ?? Number.NaN;
  const ratios = all.flatMap(({ name, floor }): Goal[] =>
    floor === undefined
      ? []
      : [
          {
            goal: `${name}: CPU of ${floor.name}`,
            limit: floor.limit,
            unit: 'x',
            reached: cpuOf(name) / cpuOf(floor.name),
          },
        ],
  );
  const peak = Math.max(...results.map(({ ownPeakBytes }) => ownPeakBytes));
  return [...ratios, { goal: 'our own process', limit: 80, unit: ' MB', reached: peak / MB }];
}

async function main(): Promise<void> {
  const options = readCounts(COUNTS, usage);
  needPrograms({ rsync: 'rsync', diff: 'diffutils', du: 'coreutils' });
  const program = resolve('dist', 'mirrorlatch');
  if (!existsSync(program)) {
    throw new Error(`${program} does not exist: run \`npm run bench:questions\` in the project`);
  }
  await inDirectory(options.work, async (directory, signal) => {
    const at = machine(directory);
    const ownPeak = new OwnPeak(directory);
    const own = (...words: string[]) => ownPeak.command(program, words);
    const [source, root] = [join(directory, 'source'), join(directory, 'mirror')];
    say(`${options.files} files: making the source and ${options.snapshots} snapshots`);
    await makeTree(source, options.files, signal);
    for (let number = 0; number < options.snapshots; number += 1) {
      if (number > 0) changeSome(source, options.files, 100, number);
      const words = ['sync', source, root, '--id', `s${number}`, '--no-prune', '--quiet'];
      await measure(own(...words), directory, signal);
      ownPeak.take();
    }
    const all = contestants(root, own);
    const runs: Result[] = [];
    for (let round = 0; round < options.rounds; round += 1) {
      for (const { name, command } of all) {
        const { wallMs, userMs, systemMs } = await measure(command, directory, signal);
        const isOwn = command.file !== 'sh';
        const ownPeakBytes = isOwn ? ownPeak.take() : 0;
        runs.push({ name, cpuMs: userMs + systemMs, wallMs, ownPeakBytes });
      }
      say(`round ${round + 1} of ${options.rounds}`);
    }
    const results = all.map(({ name }): Result => {
      const same = runs.filter((run) => run.name === name);
      return {
        name,
        cpuMs: median(same.map(({ cpuMs }) => cpuMs)),
        wallMs: median(same.map(({ wallMs }) => wallMs)),
        ownPeakBytes: Math.max(...same.map(({ ownPeakBytes }) => ownPeakBytes)),
      };
    });
    const measured = goals(all, results);
    const rows = results.map(({ name, cpuMs, wallMs, ownPeakBytes }) => [
      name,
      cpuMs.toFixed(0),
      wallMs.toFixed(0),
      ownPeakBytes === 0 ? '-' : (ownPeakBytes / MB).toFixed(0),
    ]);
    process.stdout.write(
      `${options.files} files, ${options.snapshots} snapshots; ${at.processors.length} x ${at.processors[0]}, ${at.filesystem}, Node ${at.node}\n\n` +
        `${table(['command', 'CPU ms', 'wall ms', 'own MB'], rows)}\n${goalLines(measured)}`,
    );
    if (options.json !== undefined) {
      const document = { machine: at, goals: measured, results };
      writeFileSync(options.json, `${JSON.stringify(document, null, 2)}\n`);
    }
  });
}

await reportFailure(main);
