/**
 * Compares `mirrorlatch sync` with the tools that people use today, in one run on one machine:
 *
 *   npm run bench -- [--only PART,...] [--large] [--files N,...] [--repeat N] [--rest SECONDS]
 *                    [--json FILE] [--work DIRECTORY]
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
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { goalLines } from './goals.ts';
import { OwnPeak } from './measure.ts';
import { COMMON, type CommonOptions } from './options.ts';
import { parts } from './parts.ts';
import type { Track } from './race.ts';
import { Results, type Run, tables } from './report.ts';
import {
  inDirectory,
  isInstalled,
  machine,
  needPrograms,
  remove,
  reportFailure,
  say,
} from './session.ts';
import { mostRounds } from './source-tree.ts';
import { syncGoals } from './sync-goals.ts';

const usage = `usage: npm run bench -- [--only PART,...] [--large] [--files N,...] [--repeat N] [--rest SECONDS] [--json FILE] [--work DIRECTORY]
parts: ${Object.keys(parts).join(', ')}`;

interface Options extends CommonOptions {
  readonly only: readonly string[];
  readonly sizes: readonly number[];
  readonly repeat: number;
  /** The pause before each run, in seconds. */
  readonly rest: number;
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: Object.keys(parts).join() },
      large: { type: 'boolean', default: false },
      files: { type: 'string' },
      repeat: { type: 'string', default: '3' },
      rest: { type: 'string', default: '0' },
      ...COMMON,
    },
  });
  const only = values.only.split(',');
  if (!only.every((part) => Object.hasOwn(parts, part))) throw new Error(usage);
  const sizes = values.files?.split(',').map(Number) ?? [10_000, 100_000];
  if (values.large) sizes.push(1_000_000);
  const repeat = Number(values.repeat);
  const rest = Number(values.rest);
  if (!(rest >= 0)) throw new Error(`--rest takes seconds\n${usage}`);
  const isCount = (n: number) => Number.isSafeInteger(n) && n > 0;
  if (![...sizes, repeat].every(isCount) || repeat > mostRounds) {
    throw new Error(
      `--files and --repeat take whole numbers above 0, --repeat at most ${mostRounds}\n${usage}`,
    );
  }
  return {
    only,
    sizes: [...new Set(sizes)],
    repeat,
    rest,
    json: values.json,
    work: resolve(values.work),
  };
}

/** What the others have measured is worth a report even if one part fails. */
async function runPart(name: string, track: Track, sizes: readonly number[]): Promise<void> {
  const directory = join(track.directory, name);
  mkdirSync(directory);
  try {
    await parts[name]?.({ ...track, directory }, sizes);
  } catch (error) {
    track.signal.throwIfAborted();
    say(`the part ${name} failed: ${error instanceof Error ? error.message : error}`);
    process.exitCode = 1;
  } finally {
    await remove(directory);
  }
}

async function main(): Promise<void> {
  const { only, sizes, repeat, rest, json, work } = readOptions();
  needPrograms({ rsync: 'rsync', python3: 'python3' });
  if (!isInstalled('rsnapshot'))
    say('rsnapshot is not measured: it is not installed: apt-get install rsnapshot');
  const program = resolve('dist', 'mirrorlatch');
  if (!existsSync(program))
    throw new Error(`${program} does not exist: run \`npm run bench\` in the project`);
  await inDirectory(work, async (directory, signal) => {
    const rsync = execFileSync('rsync', ['--version'], { encoding: 'utf8' }).split('\n')[0];
    const at = { ...machine(directory), rsync };
    const runs: Run[] = [];
    const add = (run: Run) => void runs.push(run);
    const ownPeak = new OwnPeak(directory);
    const track = { directory, program, repeat, rest, ownPeak, signal, add };
    for (const name of only) await runPart(name, track, sizes);
    const results = new Results(runs);
    const goals = syncGoals(results);
    const loads = runs.map(({ load }) => load);
    process.stdout.write(
      `${at.processors.length} x ${at.processors[0]}, ${at.filesystem}, Node ${at.node}, ${at.rsync}\n` +
        `load ${Math.min(...loads).toFixed(1)} to ${Math.max(...loads).toFixed(1)}; medians of ${repeat} rounds, ${rest} s of rest before each run\n\n` +
        `${tables(results)}\n${goalLines(goals)}`,
    );
    if (json !== undefined) {
      const document = {
        machine: at,
        repeat,
        restSeconds: rest,
        goals,
        medians: results.summaries(),
        runs,
      };
      writeFileSync(json, `${JSON.stringify(document, null, 2)}\n`);
    }
  });
}

await reportFailure(main);
