import { chmodSync, existsSync, linkSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, onTestFinished, test } from 'vitest';
import { removeTree } from '../../../src/system/remove-tree.ts';
import { awkwardNames } from '../../support/awkward-tree.ts';
import { fileWork } from '../../support/file-work.ts';
import { mayMount, nobody, runsAsRoot } from '../../support/privilege.ts';
import { scratchDirectory } from '../../support/scratch.ts';

test('a tree goes whatever its names are, and what its symlinks lead to stays', async () => {
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

test('what is not there, a file and a leading dash are no failure', async () => {
  const scratch = scratchDirectory();
  fileWork(scratch).write('-rf', '');
  await removeTree(join(scratch, 'nothing'));
  await removeTree(join(scratch, '-rf'));
  expect(existsSync(join(scratch, '-rf'))).toBe(false);
});

test.skipIf(!mayMount)(
  'it does not go down into another filesystem, and says what holds it',
  async () => {
    const scratch = scratchDirectory();
    const inside = join(scratch, 'tree/mounted');
    mkdirSync(inside, { recursive: true });
    await execa('mount', ['-t', 'tmpfs', 'tmpfs', inside]);
    onTestFinished(async () => {
      await execa('umount', [inside], { reject: false });
    });
    fileWork(inside).write('precious', '');
    await expect(removeTree(join(scratch, 'tree'))).rejects.toMatchObject({
      code: 'IO',
      message: expect.stringContaining('mounted'),
    });
    expect(existsSync(join(inside, 'precious'))).toBe(true);
  },
);

describe.skipIf(!runsAsRoot)('as an ordinary user', () => {
  test.each([
    ['deny writing', 0o555],
    ['deny everything', 0o000],
  ])(
    'directories in directories that %s go, and shared files keep their modes',
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
