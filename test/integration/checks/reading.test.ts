import {
  appendFileSync,
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import type { Checked } from '../../support/checked.ts';
import { wrong } from '../../support/checked.ts';
import { eventually } from '../../support/eventually.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { mountTmpfs, whyNoLoopFilesystem } from '../../support/loop-filesystem.ts';
import { nobody } from '../../support/privilege.ts';
import {
  nobodyRunsTheProgram,
  type RunningProgram,
  runProgram,
  startProgram,
} from '../../support/program.ts';
import { scratchDirectory } from '../../support/scratch.ts';

const MB = 1_000_000;
const MIB = 1024 ** 2;

/** As many as are read at once. */
const THREADS = Math.min(4, Math.max(2, availableParallelism()));

/** No file has this checksum. */
const WRONG = '0'.repeat(64);

/** A directory of files of these sizes, with a list that says something else of their content. */
function wronglyListed(sizes: Readonly<Record<string, number>>): string {
  const directory = join(scratchDirectory(), 'tree');
  mkdirSync(directory);
  for (const [name, size] of Object.entries(sizes)) {
    writeFileSync(join(directory, name), '');
    truncateSync(join(directory, name), size);
  }
  const lines = Object.keys(sizes).map((name) => `${WRONG}  ${name}\n`);
  writeFileSync(join(directory, 'SHA256SUMS'), lines.join(''));
  return directory;
}

/** Waits until a program has a file open. */
async function hasOpen({ pid }: RunningProgram, path: string): Promise<void> {
  const open = () =>
    readdirSync(`/proc/${pid}/fd`).map((fd) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${fd}`);
      } catch {
        return '';
      }
    });
  await eventually(() => expect(open()).toContain(path));
}

test.skipIf(!nobodyRunsTheProgram)('a file that may not be read is found to be so', async () => {
  const directory = wronglyListed({ readable: 10, secret: 10 });
  chmodSync(join(directory, 'secret'), 0);
  for (const path of [join(directory, '..'), directory]) chownSync(path, nobody.uid, nobody.gid);
  const result = await runProgram(['check', directory, '--json'], { user: nobody });
  expect(result.exitCode).toBe(65);
  const checked = result.json() as unknown as Checked;
  expect(wrong(checked)).toEqual(['hash readable', 'unreadable secret']);
  expect(checked.findings).toContainEqual(
    expect.objectContaining({ name: 'secret', found: 'EACCES', by: 'SHA256SUMS' }),
  );
});

test('a check that is ended in the middle of a file leaves nothing behind', async () => {
  // Zeros without blocks, which would take minutes.
  const directory = wronglyListed({ giant: 200_000 * MB });
  const temporary = scratchDirectory();
  const checking = startProgram(['check', directory], { env: { TMPDIR: temporary } });
  await hasOpen(checking, join(directory, 'giant'));
  expect(readdirSync(temporary)).toHaveLength(1);
  checking.kill('SIGINT');
  // It has no transfer to speak of, as a sync has.
  expect((await checking.result).stderr).not.toMatch(/published|transferred/);
  expect(readdirSync(temporary)).toEqual([]);
});

test.skipIf(whyNoLoopFilesystem !== '').each([
  ['a claim is written', '1m'],
  ['they are sorted', '4m'],
])('without room for its lists when %s, a check names the directory for them', async (_, size) => {
  const directory = wronglyListed({ listed: 10 });
  const other = Array.from({ length: 15_000 }, (__, index) => `${WRONG}  other${index}\n`);
  appendFileSync(join(directory, 'SHA256SUMS'), other.join(''));
  const TMPDIR = await mountTmpfs(`size=${size}`);
  try {
    expectFailure(
      await runProgram(['check', directory], { env: { TMPDIR } }),
      74,
      new RegExp(`cannot be checked: .*${TMPDIR}$`, 'm'),
      /: TMPDIR=\/var\/tmp mirrorlatch check /,
    );
    expect(readdirSync(TMPDIR)).toEqual([]);
  } finally {
    await execa('umount', [TMPDIR]);
  }
});

test.each([
  ['that has been handed out to wait', THREADS],
  ['that is to be handed out later', THREADS + 2],
])('a file %s is missing when it vanishes', async (_, before) => {
  const large = Array.from({ length: before }, (_, index) => `large${index}`);
  const sizes = Object.fromEntries(large.map((name) => [name, 300 * MB]));
  const directory = wronglyListed({ ...sizes, vanishing: 10 });
  const checking = startProgram(['check', directory, '--json']);
  await hasOpen(checking, join(directory, 'large0'));
  rmSync(join(directory, 'vanishing'));
  const result = await checking.result;
  expect(result.exitCode).toBe(65);
  expect(wrong(result.json() as unknown as Checked)).toContain('missing vanishing');
});

test('the space for new objects does not grow to its limit because threads read', async () => {
  const names = Array.from({ length: 4000 }, (_, number) => [`file${number}`, 10]);
  const directory = wronglyListed(Object.fromEntries(names));
  const scratch = scratchDirectory();
  const [hook, figure] = [join(scratch, 'hook.cjs'), join(scratch, 'figure')];
  writeFileSync(
    hook,
    `const { isMainThread } = require('node:worker_threads');
    const spaceFor = () => require('node:v8').getHeapSpaceStatistics()
      .find(({ space_name: name }) => name === 'new_space').space_size;
    let most = 0;
    const look = () => { most = Math.max(most, spaceFor()); };
    if (isMainThread) {
      setInterval(look, 10).unref();
      process.on('exit', () => require('node:fs').writeFileSync(${JSON.stringify(figure)}, String(most)));
    }`,
  );
  const env = { NODE_OPTIONS: `--require ${JSON.stringify(hook)}` };
  const { exitCode } = await runProgram(['check', directory, '--check-content', '--json'], { env });
  expect(exitCode).toBe(65);
  // Of 16 MiB; it may grow a little while a thread starts.
  expect(Number(readFileSync(figure, 'utf8'))).toBeLessThanOrEqual(8 * MIB);
});
