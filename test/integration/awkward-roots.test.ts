import { mkdirSync, readFileSync, readlinkSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { expectFailure } from '../support/expect-failure.ts';
import { runForJson, runProgram, transcript } from '../support/program.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { smallMirror } from '../support/small-mirror.ts';
import { describeTree, difference } from '../support/tree.ts';

test.for([
  `spaces  and quotes ' " \`ticks\` $(touch proof) \${x} %i *?[x] `,
  'new\nline and tab\t',
  'back\\slash \\012 and \\#012',
  'ünïcode ✓ 漢字 #hash;semi&amp|pipe:colon',
])('ROOT may be called %j: every command works there', async (name) => {
  const home = scratchDirectory();
  const mirror = smallMirror({ home, root: join(home, name) });
  for (const id of ['first', 'second', 'third']) await mirror.publish(id, { file: id });
  expect(
    difference(describeTree(mirror.source), describeTree(join(mirror.root, 'current'))),
  ).toEqual([]);
  const reader = execa('tail', ['-f', join(mirror.root, 'snapshots', 'first', 'file')], {
    reject: false,
  });
  await expect
    .poll(() => openFiles(reader.pid))
    .toContain(join(mirror.root, 'snapshots', 'first', 'file'));
  const prune = ['prune', mirror.root, '--keep-last', '1', '--grace', '0'];
  expect(await runForJson(prune)).toMatchObject({
    removed: [],
    kept: [{ id: 'first', readers: [{ pid: reader.pid, by: 'fd' }] }, {}, {}],
  });
  expect(await runForJson(['status', mirror.root])).toMatchObject({
    root: mirror.root,
    isHealthy: true,
  });
  reader.kill('SIGKILL');
  await reader;
  expect(await runForJson(prune)).toMatchObject({ removed: ['first'] });
  expect(await runForJson(['rollback', mirror.root])).toMatchObject({ id: 'second' });
});

test('a ROOT that begins with a dash is written as ./-x', async () => {
  const mirror = smallMirror();
  const there = { cwd: mirror.home };
  await runForJson(['sync', './source', './-x'], there);
  expect(readFileSync(join(mirror.home, '-x', 'current', 'file'), 'utf8')).toBe('content');
  expect(await runForJson(['status', './-x'], there)).toMatchObject({
    root: join(mirror.home, '-x'),
  });
  // As it stands, it is an option of rsync, and the source would be the mirror.
  const asOption = await runProgram(['sync', './source', '-x'], there);
  expectFailure(asOption, 66, /no mirror in \.\/source/);
});

test('ROOT may be relative, be ., end with slashes, or lead through .. and symlinks to the same mirror', async () => {
  const mirror = smallMirror();
  await mirror.publish('first', {});
  symlinkSync('mirror', join(mirror.home, 'link'));
  mkdirSync(join(mirror.home, 'a'));
  for (const [index, [root, cwd]] of [
    ['mirror', mirror.home],
    ['.', mirror.root],
    ['./', mirror.root],
    [`${mirror.root}///`, '/'],
    [join(mirror.home, 'link'), '/'],
    [`${join(mirror.home, 'link')}/`, '/'],
    [`${mirror.home}/a/../link/../link`, '/'],
  ].entries()) {
    mirror.change({ file: `turn ${index}` });
    const result = await runForJson(['sync', root ?? '', '--id', `turn-${index}`], {
      cwd: cwd ?? '',
    });
    expect(result).toMatchObject({
      outcome: 'published',
      path: join(mirror.root, 'snapshots', `turn-${index}`),
    });
  }
  expect(readlinkSync(join(mirror.root, 'current'))).toBe('snapshots/turn-6');
  expect(readlinkSync(join(mirror.home, 'link'))).toBe('mirror');
});

test('a first sync makes the mirror in the empty directory that a symlink leads to, and keeps the symlink', async () => {
  const mirror = smallMirror();
  mkdirSync(join(mirror.home, 'disk'));
  symlinkSync('disk', mirror.root);
  await mirror.publish('first', {});
  expect(readlinkSync(mirror.root)).toBe('disk');
  expect(readFileSync(join(mirror.home, 'disk', 'current', 'file'), 'utf8')).toBe('content');
});

test('a mirror that was moved as a whole works in its new place', async () => {
  const mirror = smallMirror();
  await mirror.publish('first', {});
  const moved = join(mirror.home, 'moved');
  await execa('mv', [mirror.root, moved]);
  mirror.change({ file: 'changed' });
  expect(await runForJson(['sync', moved])).toMatchObject({ outcome: 'published' });
  expect(readFileSync(join(moved, 'current', 'file'), 'utf8')).toBe('changed');
});

test('a missing or empty ROOT and too many paths are usage errors', async () => {
  const home = scratchDirectory();
  for (const words of [
    ['sync'],
    ['sync', ''],
    ['sync', 'a', 'b', 'c'],
    ['status'],
    ['status', ''],
  ]) {
    const result = await runProgram(words, { cwd: home });
    expect([64, 66], transcript(result)).toContain(result.exitCode);
    expect(result.stderr).not.toMatch(/^ +at /m);
  }
  expect(describeTree(home).size).toBe(1);
});

function openFiles(pid: number | undefined): string[] {
  return ['3', '4', '5'].flatMap((descriptor) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${descriptor}`)];
    } catch {
      return [];
    }
  });
}
