import { chmodSync, existsSync, linkSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { removeTree } from '../../../src/system/remove-tree.ts';
import { awkwardNames } from '../../support/awkward-tree.ts';
import { fileWork } from '../../support/file-work.ts';
import { mayMount, nobody, runsAsRoot } from '../../support/privilege.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { standInFor } from '../../support/stand-in.ts';

test('a tree is removed whatever its names are, and the targets of its symlinks stay', async () => {
  const scratch = scratchDirectory();
  const work = fileWork(scratch);
  work.directory('outside');
  work.write('outside/precious', '');
  work.directory('tree');
  work.symlink('tree/link', '../outside');
  for (const name of awkwardNames) work.write(`tree/${name}`, '');
  await removeTree(join(scratch, 'tree'));
  expect(existsSync(join(scratch, 'tree'))).toBe(false);
  expect(existsSync(join(scratch, 'outside/precious'))).toBe(true);
});

test('a missing path, a file and a leading dash are accepted', async () => {
  const scratch = scratchDirectory();
  fileWork(scratch).write('-rf', '');
  await removeTree(join(scratch, 'nothing'));
  await removeTree(join(scratch, '-rf'));
  expect(existsSync(join(scratch, '-rf'))).toBe(false);
});

test.skipIf(!mayMount)('what is mounted in it is not entered, and named', async () => {
  const scratch = scratchDirectory();
  const inside = join(scratch, 'tree/mounted');
  mkdirSync(inside, { recursive: true });
  await execa('mount', ['-t', 'tmpfs', 'tmpfs', inside]);
  onTestFinished(async () => {
    await execa('umount', [inside], { reject: false });
  });
  fileWork(inside).write('precious', '');
  await expect(removeTree(join(scratch, 'tree'))).rejects.toMatchObject({
    code: 'CONFIGURATION',
    message: expect.stringContaining('mounted'),
    hint: expect.stringContaining(`umount ${inside}`),
  });
  expect(existsSync(join(inside, 'precious'))).toBe(true);
});

test.skipIf(!mayMount)('what is mounted after the look keeps its entries and modes', async () => {
  const scratch = scratchDirectory();
  const inside = join(scratch, 'tree/mounted');
  mkdirSync(inside, { recursive: true });
  const precious = join(inside, 'precious');
  const mount = `mount -t tmpfs tmpfs ${inside} && mkdir -m 500 ${precious}`;
  vi.stubEnv('PATH', standInFor('rm', join(scratch, 'bin'), `[ -d ${precious} ] || { ${mount}; }`));
  onTestFinished(() => void vi.unstubAllEnvs());
  await expect(removeTree(join(scratch, 'tree'))).rejects.toMatchObject({ code: 'IO' });
  expect(statSync(precious).mode & 0o777).toBe(0o500);
});

describe.skipIf(!runsAsRoot)('as an ordinary user', () => {
  test.each([
    ['deny writing', 0o555],
    ['deny everything', 0o000],
  ])(
    'directories inside directories that %s are removed, and shared files keep their modes',
    async (_, mode) => {
      const scratch = scratchDirectory();
      const work = fileWork(scratch);
      const directories = ['tree', 'tree/a', 'tree/a/b', 'tree/a/b/c'];
      for (const name of directories) work.directory(name);
      work.write('shared', '', 0o444);
      linkSync(join(scratch, 'shared'), join(scratch, 'tree/a/b/c/shared'));
      for (const name of [...directories, 'shared', '.']) work.owner(name, nobody.uid, nobody.gid);
      for (const name of directories.slice(1).reverse()) chmodSync(join(scratch, name), mode);
      process.setegid?.(nobody.gid);
      process.seteuid?.(nobody.uid);
      try {
        await removeTree(join(scratch, 'tree'));
      } finally {
        process.seteuid?.(0);
        process.setegid?.(0);
      }
      expect(existsSync(join(scratch, 'tree'))).toBe(false);
      expect(statSync(join(scratch, 'shared')).mode & 0o777).toBe(0o444);
    },
  );
});
