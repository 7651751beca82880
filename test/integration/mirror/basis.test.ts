import { linkSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { layoutOf } from '../../../src/mirror/layout.ts';
import { makeBasis, NewFiles } from '../../../src/mirror/plan/basis.ts';
import type { Entry } from '../../../src/rsync/itemize.ts';
import { fileWork } from '../../support/file-work.ts';
import { scratchDirectory } from '../../support/scratch.ts';

const { signal } = new AbortController();
const OLD = 'x'.repeat(20_000);

const newFile = (name: string, size: number): Entry => ({
  change: 'new',
  type: 'file',
  name,
  size,
  modified: '',
});

function mirrorWithFiles(...names: readonly string[]) {
  const layout = layoutOf(scratchDirectory());
  const base = join(layout.root, 'base');
  mkdirSync(layout.staging, { recursive: true });
  mkdirSync(base);
  const work = fileWork(base);
  for (const name of names) {
    if (name.includes('/')) mkdirSync(join(base, name, '..'), { recursive: true });
    work.write(name, OLD);
  }
  return { layout, base };
}

test('an earlier version is offered as another name of the file, under the new name', async () => {
  const { layout, base } = mirrorWithFiles('foo-1.iso', 'pool/bar-1.iso', '\xe9-1.iso');
  const newFiles = new NewFiles(layout, true);
  for (const name of ['foo-2.iso', '\xe9-2.iso', 'pool/bar-2.iso', 'pool/baz-2.iso'])
    newFiles.add(newFile(name, 30_000));
  newFiles.close();
  const basis = await makeBasis(layout, base, newFiles, signal);
  expect(basis).toBe(layout.basis);
  expect(readdirSync(layout.basis, { encoding: 'latin1' }).sort()).toEqual([
    'foo-2.iso',
    'pool',
    '\xe9-2.iso',
  ]);
  expect(readdirSync(join(layout.basis, 'pool'))).toEqual(['bar-2.iso']);
  expect(statSync(join(layout.basis, 'foo-2.iso')).ino).toBe(statSync(join(base, 'foo-1.iso')).ino);
  expect(readFileSync(join(layout.basis, 'pool/bar-2.iso'), 'utf8')).toBe(OLD);
});

test('no file is offered that has the size of the new one, or is small, or is there already', async () => {
  const { layout, base } = mirrorWithFiles(
    'same-1.iso',
    'there-1.iso',
    'there-2.iso',
    'small-1.iso',
    'big-1.iso',
  );
  fileWork(base).write('small-1.iso', 'small');
  linkSync(join(base, 'big-1.iso'), join(base, 'other name'));
  const newFiles = new NewFiles(layout, true);
  newFiles.add(newFile('same-2.iso', OLD.length));
  newFiles.add(newFile('there-2.iso', 30_000));
  newFiles.add(newFile('small-2.iso', 30_000));
  newFiles.add(newFile('big-2.iso', 100));
  newFiles.add({ ...newFile('big-3.iso', 30_000), isHardLink: true });
  newFiles.add({ ...newFile('big-4.iso', 30_000), change: 'changed' });
  newFiles.close();
  expect(await makeBasis(layout, base, newFiles, signal)).toBeUndefined();
});

test('a list that cannot be written is no reason to end a sync', async () => {
  const { base } = mirrorWithFiles('foo-1.iso');
  const layout = layoutOf(join(base, 'missing'));
  const newFiles = new NewFiles(layout, true);
  newFiles.add(newFile('foo-2.iso', 30_000));
  newFiles.add(newFile('foo-3.iso', 30_000));
  newFiles.close();
  expect(await makeBasis(layout, base, newFiles, signal)).toBeUndefined();
});
