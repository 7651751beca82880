import { createHash } from 'node:crypto';
import { mkdirSync, rmSync, symlinkSync, truncateSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { execaSync } from 'execa';
import { expect, test } from 'vitest';
import { rot } from '../support/flip-bit.ts';
import { runForJson, runProgram, transcript } from '../support/program.ts';
import { type SmallMirror, smallMirror } from '../support/small-mirror.ts';
import { listOf, summedFiles } from '../support/summed-files.ts';
import { damageIn, verify } from '../support/verified.ts';

/** A mirror that a command of `lock` has filled with this: it has a record without checksums. */
async function filled(files: Readonly<Record<string, string>>): Promise<SmallMirror> {
  const mirror = smallMirror();
  mirror.change(files);
  await runForJson(['init', mirror.root]);
  await fill(mirror);
  return mirror;
}

async function fill({ root, source }: SmallMirror): Promise<void> {
  const copy = 'rsync -a --delete "$0/" "$MIRRORLATCH_STAGING/"';
  const result = await runProgram(['lock', root, '--', 'sh', '-c', copy, source]);
  if (result.exitCode !== 0) throw new Error(transcript(result));
}

const image = ({ root }: SmallMirror, name = 'a.iso') => join(root, 'current/images', name);

test('a file without a checksum is held against what its repository says of it', async () => {
  const mirror = await filled(summedFiles('one'));
  const well = await verify(mirror, '--bitrot');
  expect(well).toMatchObject({ exitCode: 0, damage: [], read: { files: 2 } });
  // The list, and the two files of every small mirror, are named by nobody.
  expect(well.trees).toMatchObject([{ files: 5, unknown: 5, checked: 2 }]);
  rot(image(mirror));
  const { exitCode, damage } = await verify(mirror, '--bitrot', '--idle', '--jobs', '1');
  expect(exitCode).toBe(65);
  expect(damage).toMatchObject([
    { kind: 'content', name: 'images/a.iso', by: 'images/SHA256SUMS' },
  ]);
  expect(damage[0]).toMatchObject({ expected: expect.stringMatching(/^sha256 /) });
  expect(mirror.history().at(-1)).toMatchObject({ event: 'verified', content: true, damaged: 1 });
  // By size, time and mode all is as it was.
  expect(await damageIn(mirror)).toEqual([]);
});

test('what a repository knows to be damaged is not recorded as right', async () => {
  const mirror = await filled(summedFiles('one'));
  rot(image(mirror));
  expect(await damageIn(mirror, '--record')).toEqual(['content images/a.iso']);
  const again = await verify(mirror, '--bitrot');
  expect(again.damage).toMatchObject([{ name: 'images/a.iso' }]);
  expect(again.trees).toMatchObject([{ files: 5, unknown: 1, checked: 1 }]);
});

test('of more damaged files than are listed none is recorded', async () => {
  const files = Object.fromEntries(
    Array.from({ length: 130 }, (_, index) => [`${index}.iso`, `${index}`]),
  );
  const mirror = await filled({ ...files, SHA256SUMS: listOf(files) });
  for (const name of Object.keys(files)) rot(join(mirror.root, 'current', name));
  expect((await verify(mirror, '--record')).trees).toMatchObject([{ damaged: 130 }]);
  expect((await verify(mirror, '--bitrot')).trees).toMatchObject([{ damaged: 130, unknown: 130 }]);
});

test('a tree of which nothing at all was recorded is known as far as its repositories go', async () => {
  const mirror = await filled(summedFiles('one'));
  rmSync(mirror.state('sums'), { recursive: true });
  expect(await verify(mirror)).toMatchObject({ exitCode: 69 });
  const result = await runProgram(['verify', mirror.root, '--bitrot']);
  expect(result.exitCode).toBe(0);
  expect(result.stdout).toContain(
    'whole: nothing was recorded when it was published, 2 files held against what its repositories say, no checksum was known of 3',
  );
  rot(image(mirror));
  expect(await damageIn(mirror, '--record')).toEqual(['content images/a.iso']);
  expect(await verify(mirror, '--bitrot')).toMatchObject({ trees: [{ unknown: 1, damaged: 1 }] });
});

test('what was recorded counts before what a repository says', async () => {
  const mirror = smallMirror();
  // The upstream itself is wrong: that is a matter of `check`.
  await mirror.publish('wrong', { ...summedFiles('one'), 'images/a.iso': 'another' });
  expect(await verify(mirror, '--bitrot')).toMatchObject({
    ...{ exitCode: 0, read: { files: 5 } },
    trees: [{ unknown: 0, checked: 0 }],
  });
});

test('a file that is damaged by its record is counted once, whatever its repository says', async () => {
  const mirror = await filled(summedFiles('one'));
  truncateSync(image(mirror), 3);
  rmSync(image(mirror, 'b.iso'));
  utimesSync(join(mirror.root, 'current/file'), 1, 1);
  expect(await damageIn(mirror, '--bitrot')).toEqual([
    'missing images/b.iso',
    'size images/a.iso',
    'time file',
  ]);
});

test('what is missing, malformed or excepted by a person is no damage of the disk', async () => {
  const files = { ...summedFiles('one'), 'more/SHA256SUMS': 'nothing that can be understood' };
  const mirror = await filled({ ...files, 'images/b.iso': 'wrong since ever' });
  rmSync(join(mirror.source, 'images/a.iso'));
  await fill(mirror);
  expect(await damageIn(mirror, '--bitrot')).toEqual(['content images/b.iso']);
  await runForJson(['init', mirror.root, '--check-except', 'b.iso']);
  expect(await damageIn(mirror, '--bitrot')).toEqual([]);
  const { stderr } = await runProgram(['verify', mirror.root, '--bitrot']);
  expect(stderr).toContain('check-except b.iso: 1 finding refuses nothing');
});

test('what snapshots share is read once for all, and damaged in all', async () => {
  const mirror = await filled(summedFiles('one'));
  const first = mirror.linked('current');
  const list = listOf({ 'a.iso': 'one a', 'b.iso': 'b again' });
  await mirror.publish('second', { 'images/b.iso': 'b again', 'images/SHA256SUMS': list });
  const { trees, read } = await verify(mirror, '--all', '--bitrot');
  expect(read).toMatchObject({ files: 4 });
  expect(trees).toMatchObject([{ checked: 2 }, { id: 'second', checked: 1 }]);
  rot(image(mirror));
  expect((await verify(mirror, '--all', '--bitrot')).damage).toMatchObject([
    { id: first, name: 'images/a.iso', alsoIn: ['second/images/a.iso'] },
    { id: 'second', name: 'images/a.iso' },
  ]);
});

test('without a program that a list needs, a warning says so, and all else is verified', async () => {
  const packages = execaSync('xz', { input: 'Package: a\n\n', encoding: 'buffer' }).stdout;
  const list = 'main/binary-amd64/Packages.xz';
  const hash = createHash('sha256').update(packages).digest('hex');
  const mirror = smallMirror();
  mirror.change({ 'dists/x/Release': `SHA256:\n ${hash} ${packages.length} ${list}\n` });
  mirror.change({ [`dists/x/${list}`]: Buffer.from(packages) });
  await runForJson(['init', mirror.root]);
  await fill(mirror);
  const programs = join(mirror.home, 'programs');
  mkdirSync(programs);
  for (const name of ['sh', 'sort', 'find', 'rsync', 'setpriv', 'flock']) {
    const { stdout } = execaSync('sh', ['-c', `command -v ${name}`]);
    symlinkSync(stdout, join(programs, name));
  }
  const words = ['verify', mirror.root, '--bitrot'];
  const result = await runProgram(words, { env: { PATH: programs } });
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(result.stderr).toMatch(/^mirrorlatch: warning: what the repositories say .* xz/m);
  expect(result.stdout).toContain('no checksum was known of 4');
  expect(await verify(mirror, '--bitrot')).toMatchObject({ trees: [{ checked: 1 }] });
});
