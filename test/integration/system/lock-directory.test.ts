import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import {
  lockHolderToken,
  setLockAside,
  takeLockDirectory,
} from '../../../src/system/lock-directory.ts';
import { eventually } from '../../support/eventually.ts';
import { makeScratch, type Scratch, scratchDirectory } from '../../support/scratch.ts';

let program: Scratch;
let contender: string;

beforeAll(async () => {
  program = makeScratch();
  contender = join(program.path, 'contender.mjs');
  await build({
    entryPoints: [fileURLToPath(new URL('lock-contender.ts', import.meta.url))],
    outfile: contender,
    bundle: true,
    platform: 'node',
    format: 'esm',
    // The packages inside still call require.
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
  });
});

afterAll(() => program.remove());

/** Starts contenders, each in a process of its own, and lets them go at the same moment. */
async function startContenders(directory: string, count: number, rounds: number, mode: string) {
  const names = Array.from({ length: count }, (_, at) => `c${at}`);
  const processes = names.map((name) =>
    execa(process.execPath, [contender, directory, name, String(rounds), mode], { reject: false }),
  );
  onTestFinished(() => {
    for (const one of processes) one.kill('SIGKILL');
  });
  await until(() => names.every((name) => existsSync(join(directory, `${name}.ready`))));
  writeFileSync(join(directory, 'go'), '');
  return processes;
}

async function until(isSo: () => boolean): Promise<void> {
  await eventually(() => expect(isSo()).toBe(true));
}

async function resultsOf(processes: Awaited<ReturnType<typeof startContenders>>) {
  const ended = await Promise.all(processes);
  return ended.map(({ stdout, stderr }) => {
    expect(stderr).toBe('');
    return JSON.parse(stdout);
  });
}

function take(directory: string, token: string, onLost: (cause: Error) => void = () => {}) {
  const fill = (inside: string) => writeFileSync(join(inside, 'owner'), token);
  return takeLockDirectory(join(directory, 'sync.lock'), token, fill, onLost);
}

describe('contenders in processes of their own', () => {
  test.each([2, 6])('of %i at most one holds the lock, and it goes round', async (count) => {
    const directory = scratchDirectory();
    const results = await resultsOf(await startContenders(directory, count, 40, 'contend'));
    expect(results.map(({ together }) => together)).toEqual(results.map(() => 0));
    expect(results.reduce((sum, { won }) => sum + won, 0)).toBeGreaterThan(count);
    expect(readdirSync(directory).filter((name) => name.startsWith('sync.lock'))).toEqual([]);
  });

  test('of six that find a dead holder at most one takes its place', async () => {
    const directory = scratchDirectory();
    mkdirSync(join(directory, 'sync.lock/dead'), { recursive: true });
    const results = await resultsOf(await startContenders(directory, 6, 30, 'contend'));
    expect(results.map(({ together }) => together)).toEqual(results.map(() => 0));
    expect(results.reduce((sum, { won }) => sum + won, 0)).toBeGreaterThan(1);
  });

  test('of six that set the same holder aside only one succeeds, each time', async () => {
    const directory = scratchDirectory();
    for (let round = 0; round < 100; round += 1) {
      mkdirSync(join(directory, `lock-${round}/dead`), { recursive: true });
    }
    const results = await resultsOf(await startContenders(directory, 6, 100, 'set-aside'));
    const won: number[] = results.flatMap((result) => result.won);
    expect(won.sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, round) => round));
  });
});

describe('the lock directory', () => {
  test('a holder that was set aside hears of it, and its release leaves the lock of the next', async () => {
    const directory = scratchDirectory();
    const path = join(directory, 'sync.lock');
    const onLost = vi.fn();
    const lock = await take(directory, 'one', onLost);
    // A takeover comes long after: proper-lockfile tells heartbeats apart by the second.
    await sleep(1_100);
    setLockAside(path, 'one');
    await startContenders(directory, 1, 0, 'hold');
    await until(() => existsSync(join(directory, 'c0.holds')));
    await until(() => onLost.mock.calls.length > 0);
    await lock?.release();
    expect(lockHolderToken(path)).toBe('c0');
    expect(onLost).toHaveBeenCalledTimes(1);
  });

  test('a release that comes before the loss is noticed leaves the lock of the next, too', async () => {
    const directory = scratchDirectory();
    const path = join(directory, 'sync.lock');
    const lock = await take(directory, 'one');
    setLockAside(path, 'one');
    await startContenders(directory, 1, 0, 'hold');
    await until(() => existsSync(join(directory, 'c0.holds')));
    await lock?.release();
    await sleep(20);
    expect(lockHolderToken(path)).toBe('c0');
  });
});
