/**
 * Prints Markdown tables of how real package managers fare on a mirror that flips while they run
 * update and install: by path, and by HTTP. Run it with scripts/clients.sh.
 */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Client } from '../../test/support/repositories/client.ts';
import { clients, httpClients, missingPrograms } from '../../test/support/repositories/clients.ts';
import { type Names, packageNames } from '../../test/support/repositories/generation.ts';
import { mirrorOfRepositories } from '../../test/support/repositories/mirror.ts';
import { printHttpTable } from './http-table.ts';
import { printPathTable } from './path-table.ts';
import { say } from './print.ts';

const usage =
  'usage: sh scripts/clients.sh [--over path|http] [--runs N] [--every MS,...] [CLIENT...]';

interface Options {
  readonly runs: number;
  /** Times between two flips, in ms; the defaults differ if absent. */
  readonly rates: readonly number[] | undefined;
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
    },
  });
  const { over } = values;
  const runs = Number(values.runs);
  const rates = values.every?.split(',').map(Number);
  if (![runs, ...(rates ?? [])].every((number) => Number.isSafeInteger(number) && number > 0)) {
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
  return { runs, rates, isOver: (road) => over === undefined || over === road, isChosen };
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
  const { runs, rates, isOver, isChosen } = readOptions();
  const work = mkdtempSync(join(tmpdir(), 'mirrorlatch-clients-'));
  process.once('exit', () => rmSync(work, { recursive: true, force: true }));
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
  if (isOver('path')) {
    const byPath = there.filter((client) => clients.includes(client));
    await printPathTable({ clients: byPath, mirror, runs, rates: rates ?? [300, 5], work });
    process.stdout.write('\n');
  }
  if (isOver('http')) {
    const archive = await mirrorOf('own');
    const publishing = [...(rates ?? [2_000, 300]), 'syncs' as const];
    await printHttpTable({ clients: there, mirror, archive, runs, publishing, work });
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
