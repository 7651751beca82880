import {
  cpSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { expectFailure } from '../support/expect-failure.ts';
import { mayMount } from '../support/privilege.ts';
import { runForJson, runProgram, transcript } from '../support/program.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { mirrorsWith, smallMirror } from '../support/small-mirror.ts';

/** What a person did to a mirror by hand. */

const whyNoMount = mayMount ? '' : ' (skipped: only root with CAP_SYS_ADMIN mounts)';
const fourSnapshots = mirrorsWith('a', 'b', 'c', 'd');
const strict = ['--keep-last', '2', '--grace', '0'];

async function prune(root: string): Promise<{ removed: string[]; said: string }> {
  const result = await runProgram(['prune', root, ...strict, '--json']);
  return { removed: result.json()['removed'] as string[], said: transcript(result) };
}

test('a copy of a snapshot in snapshots is neither pruned nor moved nor counted, and is named', async () => {
  const mirror = await fourSnapshots();
  const golden = join(mirror.root, 'snapshots', 'golden');
  await execa('cp', ['-al', join(mirror.root, 'snapshots', 'a'), golden]);
  expect((await prune(mirror.root)).removed).toEqual(['a', 'b']);
  await mirror.publish('e', { file: 'e' }, ...strict);
  expect(mirror.snapshots()).toEqual(['d', 'e', 'golden']);
  const status = await runProgram(['status', mirror.root]);
  expect(status.exitCode, transcript(status)).toBe(0);
  expect(status.stdout).toMatch(/tree golden in snapshots was not made by mirrorlatch; nothing/);
  const { stderr } = await runProgram(['rollback', mirror.root, 'golden']);
  expect(stderr).toMatch(
    /warning: golden, .* is from now on a snapshot like the others, and pruned/,
  );
});

test.each([
  ['an adopted directory was given back', true],
  ['the first sync has failed', false],
])('a tree in snapshots is left alone by every sync after %s', async (_, isAdopted) => {
  const home = scratchDirectory();
  const [directory, source] = [join(home, 'known'), join(home, 'source')];
  const root = `${directory}.mirror`;
  for (const path of [directory, source]) mkdirSync(path);
  for (const path of [directory, source]) cpSync(import.meta.filename, join(path, 'file'));
  if (isAdopted) await runForJson(['init', '--adopt', directory, '--source', source]);
  else
    expectFailure(
      await runProgram(['sync', 'rsync://127.0.0.1:9/none', root, '--retries', '0']),
      69,
      /127/,
    );
  const mine = join(root, 'snapshots', 'mine');
  mkdirSync(mine);
  writeFileSync(join(mine, 'notes'), 'mine');
  if (isAdopted) await runForJson(['init', '--unadopt', directory]);
  const status = await runProgram(['status', root]);
  expect(status.exitCode, transcript(status)).toBe(69);
  expect(status.stdout).toMatch(/tree mine in snapshots was not made by mirrorlatch; nothing/);
  expect(status.stdout).toMatch(/^why +there is no snapshot yet/m);
  const rules = ['--keep-last', '1', '--keep-within', '0', '--grace', '0'];
  for (const content of ['a', 'b', 'c', 'd']) {
    writeFileSync(join(source, 'file'), content);
    await runForJson(['sync', source, root, ...rules]);
  }
  expect(readdirSync(mine)).toEqual(['notes']);
});

test('a symlink in snapshots takes no place of --keep-last', async () => {
  const mirror = await fourSnapshots();
  symlinkSync('d', join(mirror.root, 'snapshots', 'latest'));
  expect((await prune(mirror.root)).removed).toEqual(['a', 'b']);
  expect(await runForJson(['status', mirror.root])).toMatchObject({ isHealthy: true });
  expectFailure(await runProgram(['rollback', mirror.root, 'latest']), 64, /no snapshot named/);
});

test('a directory in the place of an adopted one is reported by status, and by a quiet sync', async () => {
  const home = scratchDirectory();
  const [directory, source] = [join(home, 'known'), join(home, 'source')];
  for (const path of [directory, source]) mkdirSync(path);
  for (const path of [directory, source]) cpSync(import.meta.filename, join(path, 'file'));
  await runForJson(['init', '--adopt', directory]);
  const root = `${directory}.mirror`;
  await runForJson(['sync', source, root]);
  expect(await runForJson(['status', root])).toMatchObject({ isHealthy: true });
  rmSync(directory);
  mkdirSync(directory);
  const said = /known was adopted, but does not lead to what is current/;
  const sync = await runProgram(['sync', source, root, '--quiet']);
  expect(sync.exitCode, transcript(sync)).toBe(0);
  expect(sync.stderr).toMatch(said);
  expect(sync.stderr).toMatch(/: ln -sT /);
  const status = await runProgram(['status', root]);
  expect(status.exitCode).toBe(69);
  expect(status.stdout).toMatch(said);
  renameSync(directory, `${directory}.away`);
  await execa('sh', ['-c', /ln -sT .*/.exec(status.stdout)?.[0] ?? 'false']);
  expect(await runForJson(['status', root])).toMatchObject({ isHealthy: true });
});

test('a hold is released although nothing is current', async () => {
  const mirror = smallMirror();
  await runForJson(['init', mirror.root]);
  const result = await runForJson(['rollback', mirror.root, '--release']);
  expect(result).toEqual({ id: null, previous: null, hold: null });
  const said = await runProgram(['rollback', mirror.root, '--release']);
  expect(said.exitCode, transcript(said)).toBe(0);
});

test('what is no lease stays among the leases', async () => {
  const mirror = await fourSnapshots();
  mkdirSync(mirror.state('leases', 'notes'));
  writeFileSync(mirror.state('leases', 'KEEP'), 'mine');
  writeFileSync(mirror.state('leases', 'stray'), '');
  mirror.change({ file: 'e' });
  await mirror.sync('--id', 'e');
  expect(readdirSync(mirror.state('leases'))).toEqual(['KEEP', 'a', 'b', 'c', 'd', 'e', 'notes']);
  expect(await runForJson(['status', mirror.root])).toMatchObject({ isHealthy: true });
});

describe.skipIf(!mayMount)(`mounts${whyNoMount}`, () => {
  test('a snapshot that is mounted on itself is not called held by a reader', async () => {
    const mirror = await fourSnapshots();
    const path = join(mirror.root, 'snapshots', 'a');
    await execa('mount', ['--bind', path, path]);
    try {
      const { removed, said } = await prune(mirror.root);
      expect(removed).toEqual(['b']);
      expect(said).toMatch(
        /snapshots\/a cannot be removed: it is a mount point. .* umount \S+\/a"/,
      );
      expect(said).not.toMatch(/held by a reader/);
    } finally {
      await execa('umount', [path]);
    }
  });

  const parts = ['leases', 'logs', 'reserve', 'sync.lock'].map((name) => `.mirrorlatch/${name}`);
  test.each(['snapshots', '.mirrorlatch', ...parts])(
    'a mirror whose %s is a mount of its own is refused before anything changes',
    async (part) => {
      const mirror = await fourSnapshots();
      const path = join(mirror.root, part);
      mkdirSync(path, { recursive: true });
      await execa('mount', ['--bind', path, path]);
      try {
        mirror.change({ file: 'e' });
        const result = await runProgram(['sync', mirror.root, '--id', 'e']);
        expectFailure(result, 78, /lies on several mounts/, new RegExp(`: umount ${path}$`, 'm'));
        expect(mirror.snapshots()).toEqual(['a', 'b', 'c', 'd']);
      } finally {
        await execa('umount', [path]);
      }
      await mirror.sync();
    },
  );

  test('a directory on another mount of the same filesystem is not adopted', async () => {
    const home = scratchDirectory();
    const [place, view] = [join(home, 'place'), join(home, 'view')];
    for (const path of [join(place, 'tree'), view]) mkdirSync(path, { recursive: true });
    await execa('mount', ['--bind', place, view]);
    try {
      const words = ['init', join(home, 'm'), '--adopt', join(view, 'tree')];
      expectFailure(await runProgram(words), 64, /lies on another mount/);
    } finally {
      await execa('umount', [view]);
    }
  });

  test('a snapshot in the lower layer of an overlay says so, and how it is removed', async () => {
    const disk = scratchDirectory();
    const mirror = await fourSnapshots();
    const original = `${mirror.home}.lower`;
    await execa('mount', ['-t', 'tmpfs', 'tmpfs', disk]);
    try {
      renameSync(mirror.home, original);
      mkdirSync(mirror.home);
      for (const name of ['upper', 'work']) mkdirSync(join(disk, name));
      const layers = `lowerdir=${original},upperdir=${disk}/upper,workdir=${disk}/work,redirect_dir=off`;
      await execa('mount', ['-t', 'overlay', 'overlay', '-o', layers, mirror.home]);
      try {
        const { removed, said } = await prune(mirror.root);
        expect(removed).toEqual([]);
        expect(said).toMatch(/lower layer of an overlay filesystem.*: rm -rf -- \S+\/a/);
        await execa('rm', [
          '-rf',
          '--',
          ...['a', 'b'].map((id) => join(mirror.root, 'snapshots', id)),
        ]);
        mirror.change({ file: 'e' });
        await mirror.sync('--id', 'e');
        expect(await runForJson(['status', mirror.root])).toMatchObject({ isHealthy: true });
      } finally {
        await execa('umount', [mirror.home]);
      }
    } finally {
      await execa('umount', [disk]);
      rmSync(original, { recursive: true });
    }
  });
});
