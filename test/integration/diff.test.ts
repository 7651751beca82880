import { existsSync, linkSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { expectFailure } from '../support/expect-failure.ts';
import { mirrorsInPlace } from '../support/in-place-mirror.ts';
import { nobody } from '../support/privilege.ts';
import {
  nobodyRunsTheProgram,
  runForJson,
  runProgram,
  startProgram,
  transcript,
} from '../support/program.ts';
import { mirrorsWith, smallMirror } from '../support/small-mirror.ts';
import { standInFor } from '../support/stand-in.ts';

const oneSnapshot = mirrorsWith('first');
const threeSnapshots = mirrorsWith('first', 'second', 'third');
const mirrorInPlace = mirrorsInPlace();

async function printed(...words: string[]): Promise<string> {
  const result = await runProgram(['diff', ...words]);
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(result.stderr).toBe('');
  return result.stdout;
}

test('diff lists in what current differs from previous, in the words of sync --dry-run', async () => {
  const mirror = smallMirror();
  await mirror.publish('one', { gone: 'gone', 'below/changed': 'x' });
  mirror.change({ gone: null, 'below/changed': 'xyz', 'new file': 'new' });
  const plan = await runProgram(['sync', mirror.source, mirror.root, '--dry-run']);
  await mirror.publish('two', {});

  const lines = (await printed(mirror.root)).trimEnd().split('\n');
  expect(lines).toEqual([
    'attributes . (mtime)',
    'attributes below (mtime)',
    'changed    below/changed (1 B -> 3 B)',
    'deleted    gone (4 B)',
    "new        'new file' (3 B)",
    'one -> two: 1 new, 1 changed, 1 deleted, 2 other (directories, links and attributes); 6 B came, 5 B went',
  ]);
  const words = (text: string[]) => text.slice(0, -1).map((line) => line.replace(/ \(.*\)$/, ''));
  expect(words(lines).toSorted()).toEqual(words(plan.stdout.trimEnd().split('\n')).toSorted());
});

test('diff compares any two snapshots, in either order, by id, path or channel', async () => {
  const { root } = await threeSnapshots();
  await runForJson(['promote', root, 'first', '--to', 'production']);
  const pairs = [
    [[], 'second -> third'],
    [['first'], 'first -> third'],
    [['first', 'previous'], 'first -> second'],
    [['current', join(root, 'snapshots/first/')], 'third -> first'],
    [['production'], 'first -> third'],
  ] as const;
  for (const [words, shown] of pairs) {
    const lines = (await printed(root, ...words)).trimEnd().split('\n');
    expect(lines.filter((line) => !line.startsWith('attributes'))).toEqual([
      expect.stringMatching(/^changed +file \(/),
      expect.stringContaining(`${shown}: 0 new, 1 changed, 0 deleted, `),
    ]);
  }
  expect(await printed(root, 'third', 'current')).toBe('third -> third: no difference\n');
});

test('diff --json has totals, and names that are no UTF-8 also as bytes', async () => {
  const mirror = smallMirror();
  await mirror.publish('one', {});
  writeFileSync(Buffer.from(`${mirror.source}/\xff`, 'latin1'), 'odd');
  await mirror.publish('two', {});
  const found = await runForJson(['diff', mirror.root]);
  expect(found).toMatchObject({ root: mirror.root, from: 'one', to: 'two', areEqual: false });
  expect(found['totals']).toMatchObject({ newFiles: 1, newBytes: 3, deletedFiles: 0 });
  expect(found['differences']).toContainEqual({
    ...{ change: 'new', type: 'file', name: '\\xff', bytes: 'ff' },
    ...{ size: 3, sizeBefore: null },
  });
});

test('diff --names-only prints names alone, and with -0 their bytes', async () => {
  const mirror = smallMirror();
  await mirror.publish('one', {});
  mkdirSync(join(mirror.source, 'd'));
  await mirror.publish('two', { 'd/new\nline': 'x' });
  expect(await printed(mirror.root, '--names-only')).toBe('.\nd\nd/new\\x0aline\n');
  expect(await printed(mirror.root, '--names-only', '-0')).toBe('.\0d\0d/new\nline\0');
  expectFailure(await runProgram(['diff', mirror.root, '-0']), 64, /--null needs --names-only/);
});

test('diff --stat adds up what differs in each directory at the top', async () => {
  const mirror = smallMirror();
  await mirror.publish('one', { 'a/1': '1', 'a/2': '2', 'b/1': '1' });
  await mirror.publish('two', { 'a/1': '12', 'a/2': null, 'a/deep/3': '3', top: 'top' });
  const rows = (await printed(mirror.root, '--stat')).split('\n');
  expect(rows[0]).toMatch(/^DIRECTORY +NEW +CHANGED +DELETED +OTHER +CAME +WENT$/);
  expect(rows[1]).toMatch(/^a +1 +1 +1 +2 +3 B +2 B +\+*~*-*\.*$/);
  expect(rows[2]).toMatch(/^\. +1 +0 +0 +1 +3 B +0 B +\+*\.*$/);
  expect(rows[3]).toMatch(/^one -> two: /);
});

test('diff --exit-code ends with 1 if there is a difference', async () => {
  const { root } = await threeSnapshots();
  expect((await runProgram(['diff', root, '--exit-code'])).exitCode).toBe(1);
  expect((await runProgram(['diff', root, 'third', '--exit-code'])).exitCode).toBe(0);
});

test('a file that both snapshots share under other names is shown as moved', async () => {
  const mirror = smallMirror();
  linkSync(join(mirror.source, 'file'), join(mirror.source, 'old'));
  await mirror.publish('one', {}, '-H');
  renameSync(join(mirror.source, 'old'), join(mirror.source, 'below/renamed'));
  await mirror.publish('two', {}, '--allow-shrink');
  const lines = (await printed(mirror.root)).trimEnd().split('\n');
  expect(lines.filter((line) => !line.startsWith('attributes'))).toEqual([
    'moved      below/renamed (was old)',
    expect.stringMatching(/^one -> two: 0 new, 0 changed, 0 deleted, .*, 1 moved; 0 B came, 0 B/),
  ]);
  const { differences } = await runForJson(['diff', mirror.root]);
  expect(differences).toContainEqual({
    ...{ change: 'moved', type: 'file', name: 'below/renamed', from: 'old' },
    ...{ size: 7, sizeBefore: 7 },
  });
});

test('both snapshots are held while they are compared', async () => {
  const { root, home, snapshots } = await threeSnapshots();
  const wait = `while [ ! -e '${home}/go' ]; do sleep 0.05; done`;
  const PATH = standInFor('find', join(home, 'bin'), `: >'${home}/began'; ${wait}`);
  const running = startProgram(['diff', root, 'first'], { env: { PATH } });
  await expect.poll(() => existsSync(join(home, 'began'))).toBe(true);
  const prune = ['prune', root, '--keep-last', '1', '--keep-within', '0', '--grace', '0s'];
  const { kept } = await runForJson(prune);
  expect(kept).toContainEqual(
    expect.objectContaining({ id: 'first', reasons: ['is held by a reader'] }),
  );
  expect(snapshots()).toContain('first');
  writeFileSync(join(home, 'go'), '');
  const result = await running.result;
  expect(result.exitCode, transcript(result)).toBe(0);
  expect((await runForJson(prune))['removed']).toEqual(['first']);
});

test('diff leaves no temporary files, even if it is interrupted', async () => {
  const { root, home } = await threeSnapshots();
  const TMPDIR = join(home, 'tmp');
  mkdirSync(TMPDIR);
  expect((await runProgram(['diff', root], { env: { TMPDIR } })).exitCode).toBe(0);
  expect(readdirSync(TMPDIR)).toEqual([]);
  const PATH = standInFor('find', join(home, 'bin'), `: >'${home}/began'; exec sleep 60`);
  const running = startProgram(['diff', root], { env: { TMPDIR, PATH } });
  await expect.poll(() => existsSync(join(home, 'began'))).toBe(true);
  running.kill('SIGTERM');
  expect(await running.result).toMatchObject({ exitCode: 143, stdout: '', stderr: '' });
  expect(readdirSync(TMPDIR)).toEqual([]);
});

test.runIf(nobodyRunsTheProgram)('diff says what this user may not look into', async () => {
  const mirror = smallMirror();
  await mirror.publish('one', { 'closed/file': '1', open: '1' });
  const close = [
    'sh',
    '-c',
    'cd "$MIRRORLATCH_STAGING" && rm open && echo 2 >open && chmod 700 closed',
  ];
  await runProgram(['lock', mirror.root, '--id', 'two', '--', ...close]);
  const result = await runProgram(['diff', mirror.root], { user: nobody });
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(result.stdout).toMatch(/^changed +open /m);
  expect(result.stderr).toMatch(
    /may not look into 1 directory, so what is in there is not compared/,
  );
});

test('diff refuses what it cannot compare', async () => {
  const one = await oneSnapshot();
  expectFailure(
    await runProgram(['diff', one.root]),
    66,
    /has no previous snapshot/,
    /name two that there are: mirrorlatch list /,
  );
  expectFailure(
    await runProgram(['diff', one.root, 'no-such']),
    66,
    /has no snapshot named "no-such"/,
  );
  const { root } = await mirrorInPlace();
  expectFailure(await runProgram(['diff', root]), 64, /is written in place: it has no snapshots/);
});
