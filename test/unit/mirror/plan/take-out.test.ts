import { linkSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Removal } from '../../../../src/mirror/plan/plan-lists.ts';
import { takeOut } from '../../../../src/mirror/plan/take-out.ts';
import { awkwardNames } from '../../../support/awkward-tree.ts';
import { below } from '../../../support/byte-path.ts';
import { type FileWork, fileWork } from '../../../support/file-work.ts';
import { nobody, runsAsRoot } from '../../../support/privilege.ts';
import { scratchDirectory } from '../../../support/scratch.ts';

interface Trees {
  tree: FileWork;
  outside: FileWork;
  partial: string;
  take: (...removals: (string | Removal)[]) => Promise<void>;
  left: (directory?: string) => string[];
}

function makeTrees(scratch = scratchDirectory()): Trees {
  const [tree, outside, partial] = ['tree', 'outside', 'partial'].map((name) =>
    join(scratch, name),
  ) as [string, string, string];
  for (const directory of [tree, outside, partial]) mkdirSync(directory);
  return {
    tree: fileWork(tree),
    outside: fileWork(outside),
    partial,
    take: (...removals) =>
      takeOut(
        tree,
        removals.map((one) => (typeof one === 'string' ? { name: one } : one)),
        partial,
        new AbortController().signal,
      ),
    left: (directory = tree) => readdirSync(Buffer.from(directory), { encoding: 'latin1' }).sort(),
  };
}

describe('taking entries out', () => {
  test('never follows a symlink, neither the entry nor one on the way to it', async () => {
    const { tree, outside, take, left } = makeTrees();
    outside.write('passwd', 'precious');
    outside.directory('d');
    outside.write('d/deep', 'precious');
    tree.symlink('a', outside.root);
    tree.symlink('file', `${outside.root}/passwd`);
    tree.directory('real');
    tree.symlink('real/up', '../../outside');
    tree.symlink('chain', 'a');
    await take('a/passwd', 'a/d', 'a/d/deep', 'real/up/passwd', 'chain/d/deep', 'file');
    expect(left(outside.root)).toEqual(['d', 'passwd']);
    expect(readFileSync(join(outside.root, 'd/deep'), 'utf8')).toBe('precious');
    expect(left()).toEqual(['a', 'chain', 'real']);
    await take('a', { name: 'chain', unless: 'directory' }, 'real');
    expect(left()).toEqual([]);
    expect(left(outside.root)).toEqual(['d', 'passwd']);
  });

  test('removes only the symlink where a symlink becomes a directory, before entries are made below it', async () => {
    const { tree, outside, take, left } = makeTrees();
    outside.write('passwd', 'precious');
    tree.symlink('a', outside.root);
    await take({ name: 'a', unless: 'directory' }, 'a/passwd', 'a/new');
    expect(left()).toEqual([]);
    expect(left(outside.root)).toEqual(['passwd']);
  });

  test('accepts names of any bytes, also below a directory that is removed whole', async () => {
    const { tree, take, left } = makeTrees();
    tree.directory('whole');
    for (const name of awkwardNames) {
      tree.write(name, 'x');
      tree.write(`whole/${name}`, 'x');
    }
    await take(...awkwardNames, 'whole');
    expect(left()).toEqual([]);
  });

  test('removes only what is named, whatever the names are', async () => {
    const byteName = fc
      .uint8Array({ min: 1, minLength: 1, maxLength: 20 })
      .map((bytes) => Buffer.from(bytes).toString('latin1').replaceAll('/', '_'))
      .filter((name) => name !== '.' && name !== '..');
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(byteName, { maxLength: 10 }),
        fc.uniqueArray(byteName, { maxLength: 10 }),
        async (going, staying) => {
          const { tree, take, left } = makeTrees();
          const stay = staying.filter((name) => !going.includes(name));
          for (const name of [...going, ...stay]) tree.write(name, '');
          await take(...going);
          expect(left()).toEqual([...stay].sort());
        },
      ),
      { numRuns: 20 },
    );
  });

  test('leaves a directory where a directory is wanted, and ignores the root and missing entries', async () => {
    const { tree, take, left } = makeTrees();
    tree.directory('d');
    tree.write('d/inside', '');
    await take(
      { name: 'd', unless: 'directory' },
      '.',
      'nothing',
      'd/nothing/below',
      'd/inside/below',
    );
    expect(left()).toEqual(['d']);
    expect(left(join(tree.root, 'd'))).toEqual(['inside']);
  });

  test('stops when it is aborted', async () => {
    const { tree, partial } = makeTrees();
    for (let at = 0; at < 600; at += 1) tree.write(`f${at}`, '');
    const names = readdirSync(tree.root).map((name) => ({ name }));
    await expect(
      takeOut(tree.root, names, partial, AbortSignal.abort(new Error('enough'))),
    ).rejects.toThrow('enough');
    expect(readdirSync(tree.root).length).toBeGreaterThan(0);
  });
});

test('I2, I7: a changed file that no other tree shares is kept as a basis for rsync', async () => {
  const { tree, outside, take, left } = makeTrees();
  tree.write('own', '');
  outside.write('shared', '');
  linkSync(join(outside.root, 'shared'), join(tree.root, 'shared'));
  tree.symlink('link', 'own');
  tree.directory('directory');
  await take(
    ...['own', 'shared', 'link', 'directory'].map(
      (name): Removal => ({ name, unless: 'own file' }),
    ),
  );
  expect(left()).toEqual(['own']);
});

describe("rsync's own temporary files", () => {
  test('are kept for the next rsync to continue', async () => {
    const { tree, partial, take, left } = makeTrees();
    tree.write('.large\n.AbCdEf', 'half of it');
    await take('.large\n.AbCdEf');
    expect(left()).toEqual([]);
    expect(readFileSync(below(partial, 'large\n'), 'utf8')).toBe('half of it');
  });

  test('are removed if a published snapshot shares the inode, because rsync would write to it', async () => {
    const { tree, outside, partial, take, left } = makeTrees();
    outside.write('.large.AbCdEf', 'published');
    tree.write('other', '');
    linkSync(join(outside.root, '.large.AbCdEf'), join(tree.root, '.large.AbCdEf'));
    await take('.large.AbCdEf');
    expect(left()).toEqual(['other']);
    expect(left(partial)).toEqual([]);
  });

  test('are removed if they are symlinks', async () => {
    const { tree, outside, partial, take, left } = makeTrees();
    outside.write('precious', '');
    tree.symlink('.large.AbCdEf', join(outside.root, 'precious'));
    await take('.large.AbCdEf');
    expect(left(partial)).toEqual([]);
    expect(left(outside.root)).toEqual(['precious']);
    expect(() => readlinkSync(join(tree.root, '.large.AbCdEf'))).toThrow();
  });
});

describe.skipIf(!runsAsRoot)('as an ordinary user', () => {
  /** Runs with another effective user, for which the kernel checks permissions. */
  async function asNobody(action: () => Promise<void>): Promise<void> {
    process.setegid?.(nobody.gid);
    process.seteuid?.(nobody.uid);
    try {
      await action();
    } finally {
      process.seteuid?.(0);
      process.setegid?.(0);
    }
  }

  test('takes entries out of directories that deny writing, and changes only the modes of those', async () => {
    const { tree, take, left } = makeTrees();
    for (const name of ['closed', 'closed/below', 'closed/other']) tree.directory(name);
    for (const name of ['closed/f', 'closed/below/g', 'closed/other/h']) tree.write(name, '');
    for (const name of [
      'closed/f',
      'closed/below/g',
      'closed/other/h',
      'closed/below',
      'closed/other',
      'closed',
    ]) {
      tree.owner(name, nobody.uid, nobody.gid);
    }
    for (const name of ['closed/below', 'closed/other', 'closed']) tree.mode(name, 0o555);
    await asNobody(() => take('closed/f', 'closed/below/g', 'closed/below'));
    expect(left(join(tree.root, 'closed'))).toEqual(['other']);
    expect(statSync(join(tree.root, 'closed/other')).mode & 0o777).toBe(0o555);
  });

  test('removes a directory that denies writing, with its contents', async () => {
    const { tree, take, left } = makeTrees();
    for (const name of ['.', 'd', 'd/e']) {
      if (name !== '.') tree.directory(name);
      tree.owner(name, nobody.uid, nobody.gid);
    }
    tree.write('d/e/f', '');
    tree.mode('d/e', 0o555);
    tree.mode('d', 0o555);
    await asNobody(() => take('d'));
    expect(left()).toEqual([]);
  });
});
