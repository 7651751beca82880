import {
  chmodSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { current } from '../../src/index.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { nobody } from '../support/privilege.ts';
import { nobodyRunsTheProgram, runForJson, runProgram, transcript } from '../support/program.ts';
import { bin } from '../support/project.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { mirrorsWith, smallMirror } from '../support/small-mirror.ts';

const twoSnapshots = mirrorsWith('first', 'second');

test('current prints the path of the snapshot, without symlinks and on one line', async () => {
  const mirror = await twoSnapshots();
  const result = await runProgram(['current', mirror.root]);
  expect(result, transcript(result)).toMatchObject({
    exitCode: 0,
    stdout: `${mirror.root}/snapshots/second\n`,
    stderr: '',
  });
  await runForJson(['rollback', mirror.root]);
  expect((await runProgram(['current', mirror.root])).stdout).toBe(
    `${mirror.root}/snapshots/first\n`,
  );
});

test('current --json reports the previous snapshot, the time and the size', async () => {
  const mirror = await twoSnapshots();
  expect(await runForJson(['current', mirror.root])).toEqual({
    root: mirror.root,
    id: 'second',
    path: `${mirror.root}/snapshots/second`,
    managed: true,
    previous: 'first',
    publishedAt: expect.stringMatching(/^\d{4}-.*Z$/),
    files: 2,
    bytes: 19,
  });
});

test('current prints the same path if the mirror is given by a relative path or through a symlink', async () => {
  const mirror = await twoSnapshots();
  symlinkSync('mirror', join(mirror.home, 'link'));
  for (const [root, cwd] of [
    ['mirror', mirror.home],
    ['./link/', mirror.home],
    ['.', mirror.root],
    ['..', join(mirror.root, 'snapshots')],
  ] as const) {
    const { stdout } = await runProgram(['current', root], { cwd });
    expect(stdout, root).toBe(`${mirror.root}/snapshots/second\n`);
  }
});

test('snapshots that were moved to another disk and replaced by a symlink are printed by their real path', async () => {
  const mirror = await twoSnapshots();
  const disk = join(mirror.home, 'disk');
  await execa('mv', [join(mirror.root, 'snapshots'), disk]);
  symlinkSync(disk, join(mirror.root, 'snapshots'));
  expect((await runProgram(['current', mirror.root])).stdout).toBe(`${disk}/second\n`);
});

test.for(['new\nline', ' spaces  and "quotes\' ', '-x', '$(touch proof)', 'ünïcode ✓'])(
  'cd "$(mirrorlatch current …)" leads into the snapshot of a mirror called %j',
  async (name) => {
    const home = scratchDirectory();
    const mirror = smallMirror({ home, root: join(home, name) });
    await mirror.publish('first', { file: 'first' });
    const { stdout } = await execa(
      'sh',
      ['-c', 'cd "$(node "$1" current "./$2")" && cat file', 'sh', bin, name],
      { cwd: home },
    );
    expect(stdout).toBe('first');
    expect(readdirSync(home)).not.toContain('proof');
  },
);

test("current works for the tree of another tool, such as Capistrano's, by its symlink", async () => {
  const home = scratchDirectory();
  const release = join(home, 'releases', '20261122081500');
  mkdirSync(release, { recursive: true });
  mkdirSync(join(home, 'shared'));
  // Capistrano makes an absolute symlink.
  symlinkSync(release, join(home, 'current'));
  expect((await runProgram(['current', home])).stdout).toBe(`${release}\n`);
  expect(await runForJson(['current', home])).toEqual({
    root: home,
    id: '20261122081500',
    path: release,
    managed: false,
    previous: null,
    publishedAt: null,
    files: null,
    bytes: null,
  });
});

test('a chain of symlinks, as atomic-rsync makes it, is followed to its end', () => {
  const home = scratchDirectory();
  mkdirSync(join(home, 'tree-2'));
  symlinkSync('tree-2', join(home, 'tree'));
  symlinkSync('tree', join(home, 'current'));
  expect(current(home)).toMatchObject({ id: 'tree-2', path: join(home, 'tree-2'), managed: false });
});

test('names that are not UTF-8 are printed unchanged', async () => {
  const home = scratchDirectory();
  const release = Buffer.concat([Buffer.from(`${home}/releases/v1-`), Buffer.from([0xe9, 0x0a])]);
  mkdirSync(release, { recursive: true });
  symlinkSync(release, join(home, 'current'));
  const { stdout } = await execa('node', [bin, 'current', home], {
    encoding: 'buffer',
    stripFinalNewline: false,
  });
  expect(Buffer.from(stdout)).toEqual(Buffer.concat([release, Buffer.from('\n')]));
  expect(await runForJson(['current', home])).toMatchObject({
    id: 'v1-\ufffd\n',
    pathBytes: release.toString('hex'),
  });
  expect(realpathSync.native(join(home, 'current'), 'buffer')).toEqual(release);
});

test('without a snapshot it exits with 66 and a hint', async () => {
  const mirror = smallMirror();
  await runForJson(['init', mirror.root]);
  expectFailure(
    await runProgram(['current', mirror.root]),
    66,
    /has no snapshot yet/,
    /mirrorlatch sync/,
  );
  const { exitCode, stdout } = await runProgram(['current', mirror.root, '--json']);
  expect(exitCode).toBe(66);
  expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'NO_MIRROR' } });
});

test('for anything but a mirror or such a tree it exits with 66 and prints no path', async () => {
  const home = scratchDirectory();
  const make = (name: string, fill: (path: string) => void): string => {
    const path = join(home, name);
    mkdirSync(path);
    fill(path);
    return path;
  };
  const wrong = [
    [join(home, 'absent'), /no mirror/],
    [make('empty', () => {}), /no mirror/],
    [make('directory', (path) => mkdirSync(join(path, 'current'))), /no mirror/],
    [make('dangling', (path) => symlinkSync('gone', join(path, 'current'))), /does not lead/],
    [make('loop', (path) => symlinkSync('current', join(path, 'current'))), /ELOOP/],
    [
      make('file', (path) => {
        writeFileSync(join(path, 'file'), '');
        symlinkSync('file', join(path, 'current'));
      }),
      /does not lead/,
    ],
    // An incomplete mirror of mirrorlatch is not the tree of another tool.
    [
      make('half', (path) => {
        mkdirSync(join(path, '.mirrorlatch'));
        mkdirSync(join(path, 'tree'));
        symlinkSync('tree', join(path, 'current'));
      }),
      /no mirror/,
    ],
  ] as const;
  for (const [path, said] of wrong) {
    const result = await runProgram(['current', path]);
    expectFailure(result, path.endsWith('loop') ? 74 : 66, said);
    expect(result.stdout).toBe('');
  }
});

test.skipIf(!nobodyRunsTheProgram)(
  'a user who may not look at the snapshots gets no path, and is not told that one can be read',
  async () => {
    const mirror = await twoSnapshots();
    chmodSync(join(mirror.root, 'snapshots'), 0o700);
    for (const verb of ['current', 'wait']) {
      const result = await runProgram([verb, mirror.root], { user: nobody });
      expectFailure(result, 77, /permission denied \(.*\/snapshots\/second\)/, /its owner/);
      expect(result.stdout).toBe('');
    }
  },
);
