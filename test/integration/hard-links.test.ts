import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { runForJson, runProgram } from '../support/program.ts';
import { type Files, type SmallMirror, smallMirror } from '../support/small-mirror.ts';

/** So many that rsync works on the first directories before it knows the last (rsync(1), --inc-recursive). */
const many = Object.fromEntries(
  Array.from({ length: 3000 }, (_, at) => [`k/${Math.floor(at / 100)}/${at}`, '']),
);

/** A mirror whose first snapshot has one file with two names, `m/a` and `z/b`. */
async function withLinks(
  options: readonly string[] = [],
  others: Files = {},
): Promise<SmallMirror> {
  const mirror = smallMirror();
  mirror.change(others);
  mirror.change({ 'm/a': 'content', 'z/other': 'other' });
  linkSync(join(mirror.source, 'm/a'), join(mirror.source, 'z/b'));
  await mirror.sync('--', '-H', ...options);
  return mirror;
}

function inCurrent({ root }: SmallMirror, name: string): number {
  return lstatSync(join(root, 'current', name)).ino;
}

test('a new name of a file is a link, wherever it is, and no byte of it is transferred', async () => {
  const mirror = await withLinks([], many);
  const from = join(mirror.source, 'z/b');
  mirror.change({ 'a new directory/file': 'new' });
  const names = ['a new directory/name', 'b', 'z/c'];
  for (const name of names) linkSync(from, join(mirror.source, name));
  const expected = {
    ...{ newFiles: 4, linkedFiles: 3, changedFiles: 0, otherChanges: expect.any(Number) },
    ...{ transferBytes: 3, deletedFiles: 0 },
  };
  const dry = await runForJson(['sync', mirror.root, '--dry-run']);
  expect(dry).toMatchObject({ outcome: 'planned', strategy: 'plan', plan: expected });
  const summary = await runForJson(['sync', mirror.root]);
  expect(summary).toMatchObject({ strategy: 'plan', plan: expected });
  for (const name of [...names, 'm/a'])
    expect(inCurrent(mirror, name), name).toBe(inCurrent(mirror, 'z/b'));
});

test('a mode that all names of a file share is no transfer', async () => {
  const mirror = await withLinks();
  const before = inCurrent(mirror, 'z/b');
  chmodSync(join(mirror.source, 'z/b'), 0o600);
  const { plan } = await runForJson(['sync', mirror.root]);
  const figures = { changedFiles: 0, linkedFiles: 0, otherChanges: 2, transferBytes: 0 };
  expect(plan).toMatchObject(figures);
  expect(inCurrent(mirror, 'm/a')).toBe(inCurrent(mirror, 'z/b'));
  expect(inCurrent(mirror, 'z/b')).not.toBe(before);
});

test.for([{ words: [] }, { words: ['--without', 'settle'] }])(
  'a content that only a checksum tells from the old one reaches all names: $words',
  async ({ words }) => {
    const mirror = await withLinks(['--checksum']);
    for (const content of ['cOntent', 'coNtent']) {
      writeFileSync(join(mirror.source, 'z/b'), content);
      utimesSync(join(mirror.source, 'z/b'), 1_600_000_000, 1_600_000_000);
      await runForJson(['sync', mirror.root, ...words]);
      expect(readFileSync(join(mirror.root, 'current/m/a'), 'utf8')).toBe(content);
      expect(inCurrent(mirror, 'm/a')).toBe(inCurrent(mirror, 'z/b'));
    }
  },
);

/** Makes a directory in which `a` and `b` are one symlink, or one fifo. */
function linkIn(directory: string, kind: 'symlink' | 'fifo'): void {
  mkdirSync(directory, { recursive: true });
  if (kind === 'fifo') execFileSync('mkfifo', [join(directory, 'a')]);
  else symlinkSync('target', join(directory, 'a'));
  linkSync(join(directory, 'a'), join(directory, 'b'));
}

test('a directory in the place of a file may have symlinks that share an inode', async () => {
  const mirror = await withLinks([], { name: 'a file', stamp: '1' });
  rmSync(join(mirror.source, 'name'));
  linkIn(join(mirror.source, 'name'), 'symlink');
  mirror.change({ stamp: '2' });
  await runForJson(['sync', mirror.root, '--allow-shrink', '--probe', 'stamp']);
  expect(inCurrent(mirror, 'name/b')).toBe(inCurrent(mirror, 'name/a'));
  const { outcome } = await runForJson(['sync', mirror.root]);
  expect(outcome).toBe('unchanged');
});

test.each([
  { how: 'a plan', init: [], words: [], options: [] },
  { how: 'a plan of names as they come', init: [], words: [], options: ['--inc-recursive'] },
  { how: 'a whole pass', init: [], words: ['--strategy', 'link-dest'], options: [] },
  { how: 'a mirror in place', init: ['--in-place'], words: [], options: [] },
])(
  'a directory in the place of anything may have symlinks and fifos deep in it that share an inode, for $how',
  async ({ init, words, options }) => {
    const mirror = smallMirror();
    const at = (name: string) => join(mirror.source, name);
    const sync = () => mirror.sync('--allow-shrink', ...words, '--', '-H', ...options);
    await runForJson(['init', mirror.root, ...init]);
    const directories = ['file', 'fifo/below', 'loop', 'other/below/it'];
    symlinkSync('loop', at('loop'));
    execFileSync('mkfifo', [at('fifo')]);
    mirror.change({ other: 'a file' });
    await sync();
    for (const name of ['file', 'fifo', 'loop', 'other']) rmSync(at(name));
    for (const [index, name] of directories.entries())
      linkIn(at(name), index % 2 === 0 ? 'symlink' : 'fifo');
    await sync();
    for (const name of directories)
      expect(inCurrent(mirror, `${name}/b`), name).toBe(inCurrent(mirror, `${name}/a`));
    expect(await sync()).toMatchObject({ outcome: 'unchanged' });
  },
);

test('symlinks in several such directories may share an inode, in a mirror in place too', async () => {
  const mirror = smallMirror();
  const at = (name: string) => join(mirror.source, name);
  const sync = () => mirror.sync('--allow-shrink', '--', '-H');
  await runForJson(['init', mirror.root, '--in-place']);
  mirror.change({ one: 'a file', another: 'a file' });
  await sync();
  for (const name of ['one', 'another']) rmSync(at(name));
  linkIn(at('one'), 'symlink');
  const names = ['one/below/name', 'another/name'];
  for (const name of names) {
    mkdirSync(dirname(at(name)), { recursive: true });
    linkSync(at('one/a'), at(name));
  }
  await sync();
  for (const name of names) expect(inCurrent(mirror, name), name).toBe(inCurrent(mirror, 'one/a'));
});

test('a name that is left out does not make the other names of its file differ each time', async () => {
  const mirror = await withLinks(['--inc-recursive'], many);
  // What a killed rsync of the upstream has left, which comes before the names that are known.
  mirror.change({ 'a/file': 'new' });
  linkSync(join(mirror.source, 'z/b'), join(mirror.source, 'a/.b.aB3dEf'));
  expect(await runForJson(['sync', mirror.root])).toMatchObject({ outcome: 'published' });
  const { plan } = await runForJson(['sync', mirror.root, '--dry-run']);
  expect(plan).toMatchObject({ changedFiles: 0, linkedFiles: 0, leftOut: [{ count: 1 }] });
  expect(await runForJson(['sync', mirror.root])).toMatchObject({ outcome: 'unchanged' });
  expect(inCurrent(mirror, 'm/a')).toBe(inCurrent(mirror, 'z/b'));
});

test('names that are regrouped without a change of content are linked as in the source', async () => {
  const mirror = await withLinks();
  const at = (name: string) => join(mirror.source, name);
  linkSync(at('z/other'), at('new'));
  renameSync(at('new'), at('z/b'));
  const result = await runProgram(['sync', mirror.root, '--without', 'settle']);
  expect(result.stderr).not.toContain('link-dest');
  expect(inCurrent(mirror, 'z/b')).toBe(inCurrent(mirror, 'z/other'));
  expect(inCurrent(mirror, 'z/b')).not.toBe(inCurrent(mirror, 'm/a'));
});
