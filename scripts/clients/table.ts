/**
 * Prints Markdown tables of how real package managers fare on a mirror that flips while they run
 * update and install: by path, and by HTTP. Run it with scripts/clients.sh.
 */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Publishing } from '../../test/support/http/trial.ts';
import type { Client } from '../../test/support/repositories/client.ts';
import { clients, httpClients, missingPrograms } from '../../test/support/repositories/clients.ts';
import { type Names, packageNames } from '../../test/support/repositories/generation.ts';
import { mirrorOfRepositories } from '../../test/support/repositories/mirror.ts';
import { printHttpTable } from './http-table.ts';
import { printPathTable } from './path-table.ts';
import { hasTrouble, say } from './print.ts';

const usage =
  'usage: sh scripts/clients.sh [--over path|http] [--way NAME]... [--runs N] [--every MS|syncs,...] [CLIENT...]';

interface Options {
  readonly runs: number;
  /** The defaults differ if absent. */
  readonly publishing: readonly Publishing[] | undefined;
  readonly isWay: (name: string) => boolean;
  readonly isOver: (road: 'path' | 'http') => boolean;
  readonly isChosen: (client: Client) => boolean;
}

function readOptions(): Options {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      over: { type: 'string' },
      runs: { type: 'string', default: '25' },
      every: { type: 'string' },
      way: { type: 'string', multiple: true },
    },
  });
  const { way } = values;
  const over = values.over ?? (way === undefined ? undefined : 'http');
  const runs = Number(values.runs);
  const publishing = values.every
    ?.split(',')
    .map((word) => (word === 'syncs' ? word : Number(word)));
  const numbers = [runs, ...(publishing ?? [])].filter((each) => each !== 'syncs');
  if (!numbers.every((number) => Number.isSafeInteger(number) && number > 0)) {
    throw new Error(`--runs and --every take whole numbers above 0\n${usage}`);
  }
  if (over !== undefined && over !== 'path' && over !== 'http') {
    throw new Error(`--over takes path or http\n${usage}`);
  }
  const isChosen = ({ name }: Client) =>
    positionals.length === 0 || positionals.some((word) => name.startsWith(word));
  if (!httpClients.some(isChosen)) {
    const names = httpClients.map(({ name }) => name).join('; ');
    throw new Error(`no client begins with ${positionals.join(' or ')}; the clients are: ${names}`);
  }
  const isOver = (road: 'path' | 'http') => over === undefined || over === road;
  const isWay = (name: string) => way === undefined || way.includes(name);
  return { runs, publishing, isOver, isWay, isChosen };
}

/** Those of the clients that are installed. */
function installed(chosen: readonly Client[]): Client[] {
  return chosen.filter((client) => {
    const missing = missingPrograms(client);
    if (missing.length > 0) say(`${client.name} is skipped: ${missing.join(', ')} not installed`);
    return missing.length === 0;
  });
}

async function main(): Promise<void> {
  const { runs, isOver, isWay, isChosen, ...options } = readOptions();
  const work = mkdtempSync(join(tmpdir(), 'mirrorlatch-clients-'));
  process.once('exit', () => {
    if (hasTrouble()) say(`the files of the runs that were not ok are left in ${work}`);
    else rmSync(work, { recursive: true, force: true });
  });
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(name, () => process.exit(1));
  }
  chmodSync(work, 0o755);
  const there = installed(httpClients.filter(isChosen));
  const repositories = new Set(there.map(({ repository }) => repository));
  const program = resolve('dist', 'mirrorlatch');
  const mirrorOf = (names: Names) =>
    mirrorOfRepositories(join(work, names), program, repositories, 6, names);
  const mirror = await mirrorOf('reused');
  const loads: number[] = [];
  const watch = setInterval(() => loads.push(loadavg()[0] ?? 0), 10_000);
  watch.unref();
  if (isOver('path')) {
    const byPath = there.filter((client) => clients.includes(client));
    const rates = (options.publishing ?? [300, 5]).filter((each) => each !== 'syncs');
    await printPathTable({ clients: byPath, mirror, runs, rates, work });
    process.stdout.write('\n');
  }
  if (isOver('http')) {
    const archive = await mirrorOf('own');
    const publishing = options.publishing ?? [2_000, 300, 'syncs'];
    await printHttpTable({ clients: there, mirror, archive, isWay, runs, publishing, work });
  }
  clearInterval(watch);
  process.stdout.write(
    `\n${runs} runs each, every one from scratch: update, then install ${packageNames.length} packages. ${cpus().length} x ${cpus()[0]?.model}, load ${Math.min(...loads).toFixed(1)} to ${Math.max(...loads).toFixed(1)}.\n`,
  );
}

try {
  await main();
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
