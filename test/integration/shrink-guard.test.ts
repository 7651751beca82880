import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { expectFailure } from '../support/expect-failure.ts';
import { runForJson, runProgram, transcript } from '../support/program.ts';
import { copiesOf, type Files, type SmallMirror, smallMirror } from '../support/small-mirror.ts';
import { atTransfer, standInFor } from '../support/stand-in.ts';

const tenNames = Array.from({ length: 10 }, (_, index) => `file-${index}`);
const tenBytes = '0123456789';
const tenFiles: Files = {
  file: null,
  below: null,
  ...Object.fromEntries(tenNames.map((name) => [name, tenBytes])),
};

/** Mirrors of ten files with ten bytes each. */
const withTenFiles = copiesOf((mirror) => mirror.publish('first', tenFiles));

test('I8: a source that has lost more than 30 % of its files is refused with 65, and nothing is published', async () => {
  const mirror = await withTenFiles();
  mirror.change(gone(['file-0', 'file-1', 'file-2', 'file-3']));
  const result = await runProgram(['sync', mirror.root]);
  expectFailure(
    result,
    65,
    /the source has shrunk: 40\.0 % of the files and 40\.0 % of the bytes would vanish/,
    /more than the 30 % allowed/,
    /--allow-shrink/,
  );
  unchanged(mirror);
});

test('by default exactly 30 % may be lost', async () => {
  const mirror = await withTenFiles();
  mirror.change(gone(['file-0', 'file-1', 'file-2']));
  expect(await mirror.sync()).toMatchObject({ outcome: 'published', plan: { deletedFiles: 3 } });
});

test('--max-shrink sets the share for one sync, init for all of them', async () => {
  const mirror = await withTenFiles();
  mirror.change(gone(['file-0', 'file-1']));
  expectFailure(await runProgram(['sync', mirror.root, '--max-shrink', '10']), 65, /10 % allowed/);
  await runForJson(['init', mirror.root, '--max-shrink', '15%']);
  expectFailure(await runProgram(['sync', mirror.root]), 65, /15 % allowed/);
  await mirror.sync('--max-shrink', '20');
  expect(existsSync(join(mirror.root, 'current', 'file-0'))).toBe(false);
});

test('bytes count as well as files: one big file of ten is refused', async () => {
  const mirror = smallMirror();
  await mirror.publish('first', { ...tenFiles, 'file-9': 'x'.repeat(10_000) });
  mirror.change(gone(['file-9']));
  expectFailure(
    await runProgram(['sync', mirror.root]),
    65,
    /10\.0 % of the files and 99\.1 % of the bytes/,
  );
  unchanged(mirror);
});

test('truncated files count by their bytes, although none is gone', async () => {
  const mirror = await withTenFiles();
  mirror.change(Object.fromEntries(tenNames.slice(0, 5).map((name) => [name, ''])));
  expectFailure(await runProgram(['sync', mirror.root]), 65, /0\.0 % of the files and 50\.0 % of/);
  unchanged(mirror);
});

test('renamed files count as lost files, but not as lost bytes', async () => {
  const mirror = await withTenFiles();
  const moved = tenNames.slice(0, 5);
  mirror.change({
    ...gone(moved),
    ...Object.fromEntries(moved.map((name) => [`renamed-${name}`, tenBytes])),
  });
  // Five of ten names go, and a guard cannot know that they are the same files.
  expectFailure(await runProgram(['sync', mirror.root]), 65, /50\.0 % of the files/);
  await mirror.sync('--max-shrink', '50');
});

test('an empty source, as of an unmounted disk, is refused even with --max-shrink 100', async () => {
  const mirror = await withTenFiles();
  mirror.change(gone(tenNames));
  for (const options of [[], ['--max-shrink', '100']]) {
    expectFailure(
      await runProgram(['sync', mirror.root, ...options]),
      65,
      /the source has no file left, the mirror has 10/,
    );
  }
  unchanged(mirror);
});

test('--allow-shrink publishes any loss, even of everything', async () => {
  const mirror = await withTenFiles();
  mirror.change(gone(tenNames));
  expect(await mirror.sync('--allow-shrink')).toMatchObject({
    outcome: 'published',
    plan: { deletedFiles: 10, source: { files: 0 } },
  });
  expect(existsSync(join(mirror.root, 'current', 'file-0'))).toBe(false);
  mirror.change({ 'file-0': 'back' });
  expect(await mirror.sync(), 'from nothing there is nothing to lose').toMatchObject({
    outcome: 'published',
  });
});

test('a first sync of an empty source is accepted', async () => {
  const mirror = smallMirror();
  mirror.change({ file: null, below: null });
  expect(await mirror.sync()).toMatchObject({ outcome: 'published' });
});

test.for(['link-dest', 'copy'])('the guard also works with --strategy %s', async (strategy) => {
  const mirror = await withTenFiles();
  mirror.change(gone(tenNames.slice(0, 9)));
  expectFailure(await runProgram(['sync', mirror.root, '--strategy', strategy]), 65, /90\.0 %/);
  unchanged(mirror);
});

test.for(['plan', 'link-dest'])(
  'I8: a source that shrinks after it has been planned is refused, too, with --strategy %s',
  async (strategy) => {
    const mirror = await withTenFiles();
    mirror.change({ 'file-0': 'changed' });
    const shrinks = atTransfer(`rm -f '${mirror.source}'/file-[0-5]`);
    const PATH = standInFor('rsync', join(mirror.home, 'programs'), shrinks);
    const words = ['sync', mirror.root, '--strategy', strategy, '--retry-delay', '0'];
    expectFailure(await runProgram(words, { env: { PATH } }), 65, /60\.0 % of the files/);
    unchanged(mirror);
  },
);

test('files that a new option excludes count as lost', async () => {
  const mirror = await withTenFiles();
  const result = await runProgram(['sync', mirror.root, '--', '--exclude=file-[0-4]']);
  expectFailure(result, 65, /50\.0 % of the files/);
  unchanged(mirror);
});

test('with --without delete nothing is lost, because removed files stay', async () => {
  const mirror = await withTenFiles();
  mirror.change(gone(tenNames));
  await mirror.sync('--without', 'delete');
  expect(readFileSync(join(mirror.root, 'current', 'file-0'), 'utf8')).toBe(tenBytes);
});

test('with --json the error has the shares as numbers', async () => {
  const mirror = await withTenFiles();
  mirror.change(gone(tenNames.slice(0, 4)));
  const result = await runProgram(['sync', mirror.root, '--json']);
  expect(result.exitCode, transcript(result)).toBe(65);
  expect(result.json()).toMatchObject({
    error: { code: 'SHRUNKEN_SOURCE', exitCode: 65, shrinkage: { files: 0.4, bytes: 0.4 } },
  });
});

test('a refused sync is reported by status, and the next good one succeeds', async () => {
  const mirror = await withTenFiles();
  mirror.change(gone(tenNames.slice(0, 4)));
  expect((await runProgram(['sync', mirror.root])).exitCode).toBe(65);
  expect((await runProgram(['status', mirror.root])).stdout).toMatch(/^last +failed, .* shrunk/m);
  mirror.change(Object.fromEntries(tenNames.map((name) => [name, tenBytes])));
  expect((await runProgram(['sync', mirror.root])).exitCode).toBe(0);
  expect((await runProgram(['status', mirror.root])).exitCode).toBe(0);
});

function gone(names: readonly string[]): Files {
  return Object.fromEntries(names.map((name) => [name, null]));
}

function unchanged(mirror: SmallMirror): void {
  expect(mirror.snapshots()).toEqual(['first']);
  expect(mirror.linked('current')).toBe('first');
  expect(readFileSync(join(mirror.root, 'current', 'file-0'), 'utf8')).toBe(tenBytes);
}
