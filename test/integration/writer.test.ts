import {
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { expectFailure } from '../support/expect-failure.ts';
import { runForJson, runProgram, startProgram, transcript } from '../support/program.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { mirrorsWith, type SmallMirror, smallMirror } from '../support/small-mirror.ts';

const twoSnapshots = mirrorsWith('first', 'second');

/** The verbs that write to a mirror with snapshots, as command lines. */
const WRITERS = [
  { verb: 'sync', words: (root: string) => ['sync', root] },
  { verb: 'lock', words: (root: string) => ['lock', root, '--', 'true'] },
  { verb: 'rollback', words: (root: string) => ['rollback', root] },
  { verb: 'prune', words: (root: string) => ['prune', root] },
] as const;

describe.each(WRITERS)('$verb, as every writer,', ({ verb, words }) => {
  test('says what it waits for', async () => {
    const mirror = await twoSnapshots();
    const holder = await holdLock(mirror);
    const [command = '', root = '', ...rest] = words(mirror.root);
    const waiting = startProgram([command, root, '--wait', '1m', ...rest]);
    await expect
      .poll(() => waiting.saidSoFar(), { timeout: 30_000 })
      .toMatch(/waiting: .* is locked: lock by /);
    holder.release();
    expect((await waiting.result).exitCode).toBe(0);
  });

  test('refuses a mirror that is half adopted, and changes nothing', async () => {
    const { directory, root } = await halfAdopted();
    expectFailure(
      await runProgram(words(root)),
      verb === 'lock' ? 125 : 78,
      /the adoption of .* was interrupted/,
      /mirrorlatch init .* --adopt/,
    );
    expect(existsSync(join(root, 'current'))).toBe(false);
    expect(readFileSync(join(directory, 'file'), 'utf8')).toBe('the only copy');
  });

  test('puts the reader in place', async () => {
    const mirror = await twoSnapshots();
    rmSync(mirror.state('reader'));
    const result = await runProgram(words(mirror.root));
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(existsSync(mirror.state('reader'))).toBe(true);
  });

  test('finishes what a crash left', async () => {
    const mirror = await twoSnapshots();
    rmSync(mirror.state('leases', 'first'));
    mkdirSync(mirror.state('trash', 'tree'), { recursive: true });
    const result = await runProgram(words(mirror.root));
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(existsSync(mirror.state('leases', 'first'))).toBe(true);
    expect(existsSync(mirror.state('trash', 'tree'))).toBe(false);
  });
});

describe('the settings', () => {
  test('that change while a sync waits for its time are kept', async () => {
    const mirror = smallMirror();
    const at = new Date(Date.now() + 4_000).toISOString();
    const waiting = startProgram(['sync', mirror.source, mirror.root, '--at', at]);
    await expect.poll(() => waiting.saidSoFar(), { timeout: 30_000 }).toMatch(/waiting until/);
    await runForJson(['init', mirror.root, '--keep-last', '7']);
    const result = await waiting.result;
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(settingsOf(mirror)).toMatchObject({ keepLast: 7, source: `${mirror.source}/` });
  });

  test('that change while a sync waits for the lock are those by which it works', async () => {
    const mirror = await twoSnapshots();
    const holder = await holdLock(mirror);
    mirror.change({ 'left-out': 'left out', file: 'third' });
    const waiting = startProgram(['sync', mirror.root, '--wait', '1m', '--id', 'third']);
    await expect.poll(() => waiting.saidSoFar(), { timeout: 30_000 }).toMatch(/waiting: /);
    await runForJson(['init', mirror.root, '--keep-last', '5', '--', '--exclude=/left-out']);
    holder.release();
    const result = await waiting.result;
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(readFileSync(join(mirror.root, 'current/file'), 'utf8')).toBe('third');
    expect(existsSync(join(mirror.root, 'current/left-out'))).toBe(false);
    expect(settingsOf(mirror)).toMatchObject({ keepLast: 5 });
  });

  test('that several commands change at once are all kept', async () => {
    const mirror = await twoSnapshots();
    const changes = [
      ['--keep-last', '8'],
      ['--keep-within', '9d'],
      ['--grace', '10h'],
      ['--max-shrink', '11'],
      ['--source', '/srv/elsewhere'],
    ];
    await Promise.all(changes.map((change) => runForJson(['init', mirror.root, ...change])));
    expect(settingsOf(mirror)).toMatchObject({
      keepLast: 8,
      keepWithinMs: 9 * 24 * 3_600_000,
      graceMs: 10 * 3_600_000,
      maxShrinkPercent: 11,
      source: '/srv/elsewhere/',
    });
  });
});

function settingsOf(mirror: SmallMirror): unknown {
  return JSON.parse(readFileSync(mirror.state('mirror.json'), 'utf8'));
}

/** Starts a command that holds the writer's lock until it is released. */
async function holdLock(mirror: SmallMirror): Promise<{ release(): void }> {
  const release = join(mirror.home, 'release');
  const holding = join(mirror.home, 'holding');
  const script = `: >"$1"; until [ -e "$2" ]; do sleep 0.1; done`;
  const command = ['sh', '-c', script, 'sh', holding, release];
  const holder = startProgram(['lock', mirror.root, '--lock-only', '--', ...command]);
  const end = (): void => writeFileSync(release, '');
  onTestFinished(async () => {
    end();
    await holder.result;
  });
  await expect.poll(() => existsSync(holding), { timeout: 30_000 }).toBe(true);
  return { release: end };
}

/** What a crash leaves that falls right before the exchange of an adoption. */
async function halfAdopted(): Promise<{ directory: string; root: string }> {
  const place = scratchDirectory();
  const directory = join(place, 'known');
  mkdirSync(directory);
  writeFileSync(join(directory, 'file'), 'the only copy');
  const source = join(place, 'upstream');
  mkdirSync(source);
  const init = await runForJson(['init', '--adopt', directory, '--source', source]);
  const root = String(init['root']);
  const tree = join(
    root,
    'snapshots',
    JSON.parse(readFileSync(join(root, '.mirrorlatch/history.jsonl'), 'utf8')).id,
  );
  rmSync(directory);
  renameSync(tree, directory);
  symlinkSync('known.mirror/current', tree);
  return { directory, root };
}
