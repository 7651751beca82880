import { createHash } from 'node:crypto';
import { mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { execaSync } from 'execa';
import { expect, test } from 'vitest';
import { checkTree, wrong } from '../../support/checked.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { checkedMirror, summedFiles } from '../../support/summed-files.ts';

/** So often, the few lines of a list are so many that all files of the tree are listed at once. */
const OFTEN = 4000;

test('many files are judged as few', async () => {
  const tree = join(scratchDirectory(), 'tree');
  const files = ['right', 'wrong', '.hidden/right', 'real/right', 'with\nline'];
  for (const name of files) {
    mkdirSync(dirname(join(tree, name)), { recursive: true });
    writeFileSync(join(tree, name), name);
  }
  writeFileSync(join(tree, '../outside'), 'outside');
  symlinkSync('right', join(tree, 'link'));
  symlinkSync('real', join(tree, 'linked'));
  symlinkSync('../outside', join(tree, 'outside'));
  mkdirSync(join(tree, 'directory'));
  const listed = { link: 'right', 'linked/right': 'real/right', wrong: 'it', with: 'line' };
  const names = [...files, 'missing', 'directory', 'outside', ...Object.keys(listed)];
  const lines = names.map((name) => {
    const content = name in listed ? listed[name as keyof typeof listed] : name;
    const hex = createHash('sha256').update(content).digest('hex');
    return name.includes('\n') ? `\\${hex}  ${name.replace('\n', '\\n')}` : `${hex}  ${name}`;
  });
  const judged = async (times: number) => {
    writeFileSync(join(tree, 'SHA256SUMS'), `${lines.join('\n')}\n`.repeat(times));
    const { findings, files: found, read } = await checkTree(tree, { kinds: ['auto'] });
    return { findings, found, read };
  };
  const few = await judged(1);
  expect(wrong(few)).toEqual([
    'hash wrong',
    'missing missing',
    'missing with',
    'not-regular directory',
    'not-regular outside',
  ]);
  expect(await judged(OFTEN)).toEqual(few);
});

test.each([
  ['with nanoseconds', '2026-01-02T03:04:05.012345678Z'],
  ['of no fraction of a second', '2026-01-02T03:04:05Z'],
  ['before 1970', '1969-12-31T23:59:57.987654321Z'],
])(
  'a file with a time %s is still known when there are many, and when there are few again',
  async (_, time) => {
    const mirror = await checkedMirror();
    const touch = (path: string) => execaSync('touch', ['--no-dereference', '-d', time, path]);
    const list = summedFiles('first')['images/SHA256SUMS'] ?? '';
    touch(join(mirror.source, 'images/a.iso'));
    const spoil = (letter: string) => {
      const path = join(mirror.root, 'current/images/a.iso');
      writeFileSync(path, letter.repeat(statSync(path).size));
      touch(path);
    };
    await mirror.sync();
    const once = ['--retries', '0', '--allow-shrink'];
    // What is known need not be read, so that this is not found.
    spoil('X');
    mirror.change({ 'images/SHA256SUMS': list.repeat(OFTEN * 2) });
    expect(await mirror.sync(...once)).toMatchObject({ outcome: 'published' });
    spoil('Y');
    mirror.change({ 'images/SHA256SUMS': list });
    expect(await mirror.sync(...once)).toMatchObject({ outcome: 'published' });
  },
);
