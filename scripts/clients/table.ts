/**
 * Prints a Markdown table of how real package managers fare on a mirror that flips while they run
 * update and install: bare, under `mirrorlatch run`, and under the standalone reader. Run it with
 * scripts/clients.sh.
 */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { accessByPath, pathGuards } from '../../test/support/repositories/access.ts';
import type { Client } from '../../test/support/repositories/client.ts';
import { clients, missingPrograms } from '../../test/support/repositories/clients.ts';
import { Flipper } from '../../test/support/repositories/flipper.ts';
import { packageNames } from '../../test/support/repositories/generation.ts';
import { mirrorOfRepositories } from '../../test/support/repositories/mirror.ts';
import { type Trial, tryClient } from '../../test/support/repositories/trial.ts';

const usage = 'usage: sh scripts/clients.sh [--runs N] [--every MS,...] [CLIENT...]';

interface Options {
  readonly runs: number;
  /** Times between two flips, in ms. */
  readonly rates: readonly number[];
  readonly clients: readonly Client[];
}

function readOptions(): Options {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      runs: { type: 'string', default: '40' },
      every: { type: 'string', default: '300,5' },
    },
  });
  const runs = Number(values.runs);
  const rates = values.every.split(',').map(Number);
  if (![runs, ...rates].every((number) => Number.isSafeInteger(number) && number > 0)) {
    throw new Error(`--runs and --every take whole numbers above 0\n${usage}`);
  }
  const isChosen = ({ name }: Client) =>
    positionals.length === 0 || positionals.some((word) => name.startsWith(word));
  const chosen = clients.filter(isChosen);
  if (chosen.length === 0) {
    const names = clients.map(({ name }) => name).join('; ');
    throw new Error(`no client begins with ${positionals.join(' or ')}; the clients are: ${names}`);
  }
  const there = chosen.filter((client) => {
    const missing = missingPrograms(client);
    if (missing.length > 0) say(`${client.name} is skipped: ${missing.join(', ')} not installed`);
    return missing.length === 0;
  });
  if (there.length === 0) throw new Error('none of the chosen clients is installed');
  return { runs, rates, clients: there };
}

function say(line: string): void {
  process.stderr.write(`clients.sh: ${line}\n`);
}

function row(cells: readonly (string | number)[]): void {
  process.stdout.write(`| ${cells.join(' | ')} |\n`);
}

function figures({ outcomes: { ok, failed, mixed } }: Trial): string {
  return `${ok} / ${failed} / ${mixed === 0 ? mixed : `**${mixed}**`}`;
}

async function main(): Promise<void> {
  const { runs, rates, clients: chosen } = readOptions();
  const work = mkdtempSync(join(tmpdir(), 'mirrorlatch-clients-'));
  process.once('exit', () => rmSync(work, { recursive: true, force: true }));
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(name, () => process.exit(1));
  }
  chmodSync(work, 0o755);
  const repositories = new Set(chosen.map(({ repository }) => repository));
  const program = resolve('dist', 'mirrorlatch');
  const mirror = await mirrorOfRepositories(work, program, repositories, 6);
  const loads: number[] = [];
  row([
    'client',
    'a flip every',
    ...pathGuards.map((guard) => `${guard}: ok / failed / mixed`),
    'flips in a run',
  ]);
  row(['---', '---', ...pathGuards.map(() => '---'), '---']);
  for (const client of chosen) {
    for (const everyMs of rates) {
      const trials: Trial[] = [];
      for (const guard of pathGuards) {
        const publisher = new Flipper(mirror.root, mirror.ids, everyMs);
        const access = accessByPath(guard, mirror);
        const trial = await tryClient(client, { access, publisher, runs, work });
        await publisher.stop();
        trials.push(trial);
        loads.push(loadavg()[0] ?? 0);
        if (guard === 'bare') continue;
        for (const account of trial.accounts) {
          say(`${client.name}, ${guard}: ${account}`);
          process.exitCode = 1;
        }
      }
      const flips = trials.map((trial) => mean(trial.flips).toFixed(1));
      row([client.name, `${everyMs} ms`, ...trials.map(figures), flips.join(' · ')]);
    }
  }
  process.stdout.write(
    `\n${runs} runs each, every one from scratch: update, then install ${packageNames.length} packages. ${cpus().length} x ${cpus()[0]?.model}, load ${Math.min(...loads).toFixed(1)} to ${Math.max(...loads).toFixed(1)}.\n`,
  );
}

function mean(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
}

try {
  await main();
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
