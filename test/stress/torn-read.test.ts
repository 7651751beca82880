import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';
import { fileWork } from '../support/file-work.ts';
import { nobody, runsAsRoot } from '../support/privilege.ts';
import { runProgram, transcript } from '../support/program.ts';
import { makeScratch } from '../support/scratch.ts';
import { byScale, HOUR_MS, tellSummary } from './scale.ts';

const reader = fileURLToPath(new URL('readers/reader.mjs', import.meta.url));
const shellReader = fileURLToPath(new URL('readers/reader.sh', import.meta.url));

const FILES = 8;
const READS = byScale({ sample: 10_000, all: 200_000 });
const PUBLICATIONS = byScale({ sample: 20, all: 300 });

/** What a reader prints at its end. */
interface Account {
  /** Whole snapshots read. */
  readonly reads: number;
  /** Reads during which `current` was flipped. */
  readonly overtaken: number;
  /** One sentence for each read that saw a mix or missed a file. */
  readonly torn: readonly string[];
}

const scratch = makeScratch();

afterAll(() => scratch.remove());

it(`Readers that resolve current once see no mix and miss no file in ${READS} reads while syncs publish`, {
  timeout: byScale({ sample: HOUR_MS / 6, all: HOUR_MS }),
}, async () => {
  const source = join(scratch.path, 'source');
  const root = join(scratch.path, 'mirror');
  let generation = 0;
  const publish = async () => {
    generation += 1;
    writeGeneration(source, generation);
    // Prunes each time, so only the grace time keeps a reader's snapshot.
    const result = await runProgram(['sync', source, root, '--keep-last', '1', '--grace', '10s']);
    if (result.exitCode !== 0) throw new Error(transcript(result));
  };
  await publish();

  // As another user if possible, because readers need nothing but read permission.
  const user = runsAsRoot ? nobody : {};
  const readers = [
    startReader(process.execPath, [reader, root, String(FILES), '0'], user),
    // A slow reader is overtaken by a publication in nearly every read.
    startReader(process.execPath, [reader, root, String(FILES), '200'], user),
    startReader('sh', [shellReader, root, String(FILES)], user),
  ];
  const enough = () =>
    generation > PUBLICATIONS && readers.reduce((sum, { reads }) => sum + reads(), 0) >= READS;
  while (!enough()) await publish();
  const accounts = await Promise.all(readers.map(({ end }) => end()));

  const total = (count: (account: Account) => number) =>
    accounts.reduce((sum, account) => sum + count(account), 0);
  tellSummary(
    `torn read: ${total(({ torn }) => torn.length)} torn of ${total(({ reads }) => reads)} reads, ${total(({ overtaken }) => overtaken)} of them overtaken by one of ${generation} publications`,
  );
  expect(accounts.flatMap(({ torn }) => torn)).toEqual([]);
  expect(total(({ reads }) => reads)).toBeGreaterThanOrEqual(READS);
  expect(total(({ overtaken }) => overtaken)).toBeGreaterThan(0);
});

/** Writes files that contain only the number of the generation, so that a mix is seen. */
function writeGeneration(source: string, generation: number): void {
  const work = fileWork(source);
  if (generation === 1) {
    mkdirSync(source, { mode: 0o755 });
    work.directory('below');
  }
  for (let file = 0; file < FILES; file += 1) {
    work.write(file % 2 === 0 ? `file-${file}` : `below/file-${file}`, `${generation}\n`);
  }
}

/** Starts a reader, which prints `N reads` at intervals and its account after SIGTERM. */
function startReader(file: string, args: readonly string[], user: { uid?: number; gid?: number }) {
  const subprocess = spawn(file, args, { ...user, cwd: '/', stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  let reads = 0;
  subprocess.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString('utf8');
    reads = Number(/(\d+) reads\n[^\n]*$/.exec(text)?.[1] ?? reads);
  });
  const ended = new Promise<Account>((resolve, reject) => {
    subprocess.once('error', reject);
    subprocess.once('close', () => {
      try {
        resolve(JSON.parse(text.trimEnd().split('\n').at(-1) ?? '') as Account);
      } catch (cause) {
        reject(new Error(`${file} gave no account: ${text.slice(-500)}`, { cause }));
      }
    });
  });
  return {
    reads: () => reads,
    end: () => {
      subprocess.kill('SIGTERM');
      return ended;
    },
  };
}
