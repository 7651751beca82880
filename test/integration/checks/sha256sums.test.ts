import {
  linkSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { runCheck, wrong } from '../../support/checked.ts';
import { scratchDirectory } from '../../support/scratch.ts';

const NAMES = ['plain', 'with space', 'two\nlines', 'back\\slash', '-dash'];

/** A directory with a list that sha256sum(1) has made. */
async function sums(): Promise<string> {
  const directory = join(scratchDirectory(), 'tree');
  mkdirSync(directory);
  for (const name of NAMES) writeFileSync(join(directory, name), `content of ${name}`);
  const { stdout } = await execa('sha256sum', ['--', ...NAMES], { cwd: directory });
  writeFileSync(join(directory, 'SHA256SUMS'), `${stdout}\n`);
  return directory;
}

test('what sha256sum has made is right, whatever the names', async () => {
  const directory = await sums();
  expect(await runCheck(directory)).toMatchObject({ isRight: true, files: 5, read: { files: 5 } });
});

test.each<[what: string, damage: (directory: string) => void, findings: string[]]>([
  ['a missing file', (at) => rmSync(join(at, 'two\nlines')), ['missing two\\x0alines']],
  ['a file that is cut off', (at) => truncateSync(join(at, '-dash'), 3), ['hash -dash']],
  [
    'a directory in the place of a file',
    (at) => {
      rmSync(join(at, 'plain'));
      mkdirSync(join(at, 'plain'));
    },
    ['not-regular plain'],
  ],
  [
    'a symlink that leads out',
    (at) => {
      renameSync(join(at, 'plain'), join(at, '../plain'));
      symlinkSync('../plain', join(at, 'plain'));
    },
    ['not-regular plain'],
  ],
  [
    'a symlink to nothing',
    (at) => {
      rmSync(join(at, 'plain'));
      symlinkSync('nothing', join(at, 'plain'));
    },
    ['missing plain'],
  ],
  [
    'a list that is cut off',
    (at) => truncateSync(join(at, 'SHA256SUMS'), 90),
    ['malformed SHA256SUMS'],
  ],
])('%s is found', async (_, damage, findings) => {
  const directory = await sums();
  damage(directory);
  expect(wrong(await runCheck(directory))).toEqual(findings);
});

test('a symlink within the tree is followed, and a hard link read', async () => {
  const directory = await sums();
  renameSync(join(directory, 'plain'), join(directory, 'elsewhere'));
  symlinkSync('elsewhere', join(directory, 'plain'));
  linkSync(join(directory, '-dash'), join(directory, 'also'));
  expect(await runCheck(directory)).toMatchObject({ isRight: true, files: 5 });
});

test('a list that was made elsewhere is about the file beside it', async () => {
  const directory = await sums();
  const { stdout } = await execa('sha256sum', ['plain'], { cwd: directory });
  const list = join(directory, 'plain.sha256');
  writeFileSync(list, `${stdout.replace('plain', 'build/out/plain')}\n`);
  expect((await runCheck(directory)).isRight).toBe(true);
  writeFileSync(
    list,
    `${stdout.slice(0, 64).replace(/^./, (digit) => (digit === '0' ? '1' : '0'))}\n`,
  );
  expect(wrong(await runCheck(directory))).toEqual(['hash plain']);
});

test('what a list says of itself is passed over: sha256sum read it before it had any lines', async () => {
  const directory = scratchDirectory();
  writeFileSync(join(directory, 'a'), 'content');
  await execa('sh', ['-c', 'sha256sum * SHA256SUMS >SHA256SUMS'], { cwd: directory });
  expect(await runCheck(directory)).toMatchObject({ isRight: true, files: 1 });
});

test('what lies in a hidden directory is what some program works on, but the tree itself may have such a name', async () => {
  const directory = await sums();
  const work = join(directory, '.temp/dists');
  mkdirSync(work, { recursive: true });
  renameSync(join(directory, 'SHA256SUMS'), join(work, 'SHA256SUMS'));
  expect(await runCheck(directory)).toMatchObject({ isRight: true, kinds: [] });
  expect(await runCheck(join(directory, '.temp'))).toMatchObject({ isRight: false, count: 5 });
});
