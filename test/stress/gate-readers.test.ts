import { mkdirSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, expect, it } from 'vitest';
import { fileWork } from '../support/file-work.ts';
import { oneOfEachKind } from '../support/guards.ts';
import { nobody, runsAsRoot } from '../support/privilege.ts';
import {
  type RunningProgram,
  runForJson,
  runProgram,
  startProgram,
  transcript,
} from '../support/program.ts';
import { makeScratch } from '../support/scratch.ts';
import { byScale, HOUR_MS, seededRandom, tellSummary } from './scale.ts';

const script = fileURLToPath(new URL('gate-readers/reader.sh', import.meta.url));

const FILES = 12;
const READERS = byScale({ sample: 10, all: 40 });
const DURATION_MS = byScale({ sample: 12_000, all: HOUR_MS / 3 });
/** In KiB per second, so that rsync takes about half a second. */
const SLOWLY = '--bwlimit=400';

const scratch = makeScratch();
const random = seededRandom();
const [run, reader] = oneOfEachKind;

afterAll(() => scratch.remove());

/** The results of the guarded readers. */
interface Account {
  reads: number;
  /** Reads that had to wait for the gate. */
  waited: number;
  /** Reads that ended with 75, because the gate stayed closed. */
  refused: number;
  readonly wrong: string[];
}

it('Guarded readers never see a tree that is being written while in-place syncs run and are killed, and the mode of the gate is always restored', {
  timeout: DURATION_MS + HOUR_MS / 6,
}, async () => {
  const source = join(scratch.path, 'source');
  const root = join(scratch.path, 'mirror');
  mkdirSync(join(source, 'below'), { recursive: true });
  const account: Account = { reads: 0, waited: 0, refused: 0, wrong: [] };
  let generation = 0;
  const sync = (...words: string[]) => {
    generation += 1;
    writeGeneration(source, generation);
    return ['sync', source, root, '--wait', '30s', '--drain', '10s', ...words, '--', SLOWLY];
  };
  await runForJson(['init', root, '--in-place']);
  await runProgram(sync());

  let isOver = false;
  const end = performance.now() + DURATION_MS;
  const readers = Array.from({ length: READERS }, async (_, index) => {
    while (!isOver) await read(root, index, account);
  });
  const counts = { syncs: 0, killed: 0, closed: 0 };
  // On a slow machine go on until a kill has come while the gate was closed.
  while (performance.now() < end || counts.closed === 0) {
    counts.syncs += 1;
    const syncing = startProgram(sync());
    const isKilled = random() < 0.6;
    if (isKilled) {
      if (random() < 0.5) await pause(400 + random() * 1_400);
      else await closed(root, syncing);
      syncing.kill('SIGKILL');
      counts.killed += 1;
    }
    const result = await syncing.result;
    if (!isKilled && result.exitCode !== 0) account.wrong.push(transcript(result));
    if (isKilled) {
      if (modeOf(root) !== 0o755) counts.closed += 1;
    } else if (modeOf(root) !== 0o755) {
      account.wrong.push(`the gate has mode ${modeOf(root).toString(8)} after a sync`);
    }
  }
  const last = await runProgram(sync());
  await pause(500);
  isOver = true;
  await Promise.all(readers);

  tellSummary(
    `gate: ${account.wrong.length} wrong of ${account.reads} guarded reads, ${account.waited} of them after waiting, ${account.refused} refused; ${counts.killed} of ${counts.syncs} in-place syncs killed, ${counts.closed} of them behind a closed gate`,
  );
  expect(last.exitCode, transcript(last)).toBe(0);
  expect(modeOf(root)).toBe(0o755);
  expect(account.wrong).toEqual([]);
  expect(account.reads).toBeGreaterThan(READERS * 3);
  expect(account.waited, 'some of them came while it was closed').toBeGreaterThan(0);
  expect(counts.closed, 'some kills left the gate closed').toBeGreaterThan(0);
});

/** Writes files that contain only the number of the generation and have the same size. */
function writeGeneration(source: string, generation: number): void {
  const work = fileWork(source);
  const content = `${String(generation).padStart(9, '0')}\n`.repeat(2_000);
  for (let file = 0; file < FILES; file += 1) {
    const path = file % 2 === 0 ? `file-${file}` : `below/file-${file}`;
    work.write(path, content);
    utimesSync(join(source, path), generation, generation);
  }
}

/** Reads once under the reader or `run`, as root or as another user. */
async function read(root: string, index: number, account: Account): Promise<void> {
  const guard = index === 0 ? run : reader;
  const isOther = runsAsRoot && index % 2 === 1;
  const [file = '', ...args] =
    guard?.around(
      root,
      ['--pin', index % 5 === 0 ? 'auto' : 'cwd', '--wait', '5s'],
      ['sh', script, ['0', '0.05', '0.3'][index % 3] ?? '0'],
    ) ?? [];
  const { exitCode, stdout, stderr } = await execa(file, args, {
    ...(isOther ? nobody : {}),
    cwd: '/',
    reject: false,
  });
  if (exitCode === 75) {
    account.refused += 1;
    return;
  }
  account.reads += 1;
  if (stderr.includes('waiting: ')) account.waited += 1;
  const told = /^(\d{9}) \/ (\d{9}) $/.exec(stdout);
  if (exitCode !== 0 || told === null || told[1] !== told[2]) {
    account.wrong.push(`${exitCode}: ${stdout}${stderr}`);
  }
}

/** Waits until the gate has been closed for a moment, or the sync has ended. */
async function closed(root: string, syncing: RunningProgram): Promise<void> {
  let hasEnded = false;
  const ended = syncing.result.then(() => {
    hasEnded = true;
  });
  while (!hasEnded && modeOf(root) === 0o755) await pause(5);
  await Promise.race([ended, pause(random() * 400)]);
}

function modeOf(root: string): number {
  return statSync(join(root, 'gate')).mode & 0o7777;
}
