import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { execa, execaSync } from 'execa';
import { expect, test } from 'vitest';
import { expectFailure } from '../../support/expect-failure.ts';
import { mirrorsInPlace } from '../../support/in-place-mirror.ts';
import { nobody } from '../../support/privilege.ts';
import { nobodyRunsTheProgram, runForJson, runProgram, transcript } from '../../support/program.ts';
import { type SmallMirror, smallMirror } from '../../support/small-mirror.ts';
import { summedFiles } from '../../support/summed-files.ts';

const inPlace = mirrorsInPlace();

/** Makes a suite that has no packages. */
function makeSuite({ source }: SmallMirror, suite: string): void {
  const index = join(source, suite, 'main/binary-amd64/Packages');
  mkdirSync(join(index, '..'), { recursive: true });
  writeFileSync(index, '');
  const { stdout } = execaSync('apt-ftparchive', ['release', join(source, suite)]);
  writeFileSync(join(source, suite, 'Release'), `${stdout}\n`);
  writeFileSync(join(source, suite, 'Contents-amd64'), 'what no check begins with');
}

/** The source of a mirror that checks it gets two suites beside its files. */
async function withSuites<Mirror extends SmallMirror>(mirror: Mirror): Promise<Mirror> {
  for (const suite of ['dists/old', 'dists/new']) makeSuite(mirror, suite);
  mirror.change({ 'pool/file': 'content' });
  await runForJson(['init', mirror.root, '--source', mirror.source, '--check', 'auto']);
  const { exitCode } = await runProgram(['sync', mirror.root]);
  expect(exitCode).toBe(0);
  return mirror;
}

const syncOf = ({ root }: SmallMirror, ...words: string[]) =>
  runProgram(['sync', root, '--retries', '0', '--allow-shrink', ...words]);

const read = (path: string) => readFileSync(path, 'latin1');

const remove = ({ source }: SmallMirror, ...names: string[]) => {
  for (const name of names) rmSync(join(source, name), { recursive: true });
};

test('a repository that has lost what it begins with is not published, in place either', async () => {
  for (const mirror of [await withSuites(smallMirror()), await withSuites(await inPlace())]) {
    remove(mirror, 'dists/old/Release', 'dists/old/main');
    expectFailure(await syncOf(mirror), 65, /: dists\/old\/Release is missing/);
    makeSuite(mirror, 'dists/old');
    const healed = await syncOf(mirror);
    expect(healed.exitCode, transcript(healed)).toBe(0);
  }
});

test('a directory in the place of what a repository begins with is no such file', async () => {
  const mirror = await withSuites(smallMirror());
  remove(mirror, 'dists/old/Release', 'dists/old/main');
  mirror.change({ 'dists/old/Release/file': '' });
  expectFailure(
    await syncOf(mirror),
    65,
    /: dists\/old\/Release: something else, .*, expected a regular file/,
  );
});

test('one of several that goes as a whole is no failure, but the last one is', async () => {
  const mirror = await withSuites(smallMirror());
  remove(mirror, 'dists/old');
  expect((await syncOf(mirror)).exitCode).toBe(0);
  remove(mirror, 'dists');
  expectFailure(await syncOf(mirror), 65, /: dists\/new\/Release is missing/);
  expect((await syncOf(mirror, '--publish-anyway')).exitCode).toBe(0);
  // Then readers have none.
  mirror.change({ 'pool/file': 'new content' });
  expect((await syncOf(mirror)).exitCode).toBe(0);
});

test('one that begins with another file from now on is not missed', async () => {
  const mirror = await withSuites(smallMirror());
  const release = join(mirror.source, 'dists/old/Release');
  const signed = ['-----BEGIN PGP SIGNED MESSAGE-----', 'Hash: SHA256', '', read(release)];
  const signature = ['-----BEGIN PGP SIGNATURE-----', '', '-----END PGP SIGNATURE-----', ''];
  writeFileSync(join(release, '../InRelease'), [...signed, ...signature].join('\n'));
  rmSync(release);
  const result = await syncOf(mirror);
  expect(result.exitCode, transcript(result)).toBe(0);
});

test('one that is left out from now on is not missed, nor one that is not checked any more', async () => {
  const mirror = await withSuites(smallMirror());
  const excluded = await syncOf(mirror, '--', '--exclude=/dists/*/Release', '--exclude=Packages');
  expect(excluded.exitCode, transcript(excluded)).toBe(0);
  const other = await withSuites(smallMirror());
  remove(other, 'dists');
  expect((await syncOf(other, '--check', 'sha256sums,arch')).exitCode).toBe(65);
  expect((await syncOf(other, '--check', 'none')).exitCode).toBe(0);
});

test('what readers have of it counts, whatever tree the last check was of', async () => {
  const mirror = await withSuites(smallMirror());
  const lose = () => remove(mirror, 'dists/old/Release', 'dists/old/main');
  const isMissed = async () =>
    expectFailure(await syncOf(mirror), 65, /: dists\/old\/Release is missing/);
  lose();
  rmSync(mirror.state('checked'));
  await isMissed();
  makeSuite(mirror, 'dists/old');
  mirror.change({ 'pool/file': 'new content' });
  const config = join(mirror.home, 'config.toml');
  writeFileSync(
    config,
    `[mirrors.m]\nroot = ${JSON.stringify(mirror.root)}\nbefore-publish = "false"\n`,
  );
  const hooked = await runProgram(['sync', mirror.root], { env: { MIRRORLATCH_CONFIG: config } });
  expectFailure(hooked, 69, /the hook before-publish/);
  lose();
  await isMissed();
  // Readers of a tree that was published without a check have none.
  expect((await syncOf(mirror, '--check', 'none')).exitCode).toBe(0);
  mirror.change({ 'pool/file': 'other content' });
  const result = await syncOf(mirror);
  expect(result.exitCode, transcript(result)).toBe(0);
});

test.skipIf(!nobodyRunsTheProgram)('what of it may not be read keeps nothing back', async () => {
  const mirror = smallMirror();
  makeSuite(mirror, 'dists/one');
  await mirror.sync();
  execaSync('chown', ['-R', `${nobody.uid}:${nobody.gid}`, mirror.home]);
  chmodSync(join(mirror.root, 'current/dists/one/Release'), 0);
  // So that rsync has no need to read that one either.
  utimesSync(join(mirror.source, 'dists/one/Release'), 1e9, 1e9);
  mirror.change({ 'pool/file': 'content' });
  const words = ['sync', mirror.root, '--check', 'auto', '--retries', '0'];
  const result = await runProgram(words, { user: nobody });
  expect(result.exitCode, transcript(result)).toBe(0);
});

/** A package of npm in files, with one version. */
function npmPackage(name: string): Record<string, string> {
  const tarball = `content of ${name}`;
  const integrity = `sha512-${createHash('sha512').update(tarball).digest('base64')}`;
  const dist = { tarball: `http://localhost/${name}/-/${name}-1.0.0.tgz`, integrity };
  return {
    [`${name}/index.json`]: JSON.stringify({ name, versions: { '1.0.0': { dist } } }),
    [`${name}/-/${name}-1.0.0.tgz`]: tarball,
  };
}

test.each<[what: string, change: Record<string, string | null>, found: RegExp]>([
  [
    'a document of npm beside its tarballs',
    { 'left/index.json': null },
    /left\/index\.json is missing/,
  ],
  [
    'all documents of npm',
    { 'left/index.json': null, 'right/index.json': null },
    /left\/index\.json is missing/,
  ],
  [
    'what a document of npm says',
    { 'left/index.json': '{}' },
    /left\/index\.json: it begins no repository any more/,
  ],
  [
    'what a document of npm is',
    { 'left/index.json': '<html>', 'left/-/left-1.0.0.tgz': null },
    /left\/index\.json: /,
  ],
  ['a flat archive', { 'flat/Release': '<html>' }, /flat\/Release: it begins no repository/],
  [
    'the index of Python packages',
    { 'simple/index.v1_json': null },
    /simple\/index\.v1_json is missing/,
  ],
  [
    'all lines of a list',
    { 'images/SHA256SUMS': '' },
    /SHA256SUMS: it lists no checksums any more/,
  ],
  [
    'a list, for a page of an error',
    { 'images/SHA256SUMS': '<h1>503 Service Unavailable</h1>\n' },
    /SHA256SUMS: it lists no checksums any more/,
  ],
])('%s is not lost without a word, in place either', async (_, change, found) => {
  const good = {
    ...npmPackage('left'),
    ...npmPackage('right'),
    ...summedFiles('first'),
    'flat/Packages': '',
    'flat/Release':
      'SHA256:\n e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 Packages\n',
    'simple/index.v1_json': '{"meta": {"api-version": "1.0"}, "projects": [{"name": "six"}]}',
    'simple/six/index.v1_json': '{"meta": {"api-version": "1.0"}, "name": "six", "files": []}',
  };
  for (const mirror of [smallMirror(), await inPlace()]) {
    mirror.change(good);
    await runForJson(['init', mirror.root, '--source', mirror.source, '--check', 'auto']);
    expect((await syncOf(mirror)).exitCode).toBe(0);
    mirror.change(change);
    const refused = await syncOf(mirror);
    expectFailure(refused, 65, found);
    expect(refused.stderr).not.toMatch(/lists no checksums(?! any more)/);
    mirror.change(good);
    expect((await syncOf(mirror)).exitCode).toBe(0);
  }
});

/** A repository of rpm-md without packages. */
function emptyRpmMd(at: string): Record<string, string> {
  const primary = '<metadata></metadata>';
  const hex = createHash('sha256').update(primary).digest('hex');
  const data = `<checksum type="sha256">${hex}</checksum><location href="repodata/primary.xml"/>`;
  return {
    [`${at}/repodata/primary.xml`]: primary,
    [`${at}/repodata/repomd.xml`]: `<repomd><data type="primary">${data}</data></repomd>`,
  };
}

test('a repository of rpm-md that has lost its repodata, but not its packages, is missed beside others', async () => {
  const mirror = smallMirror();
  mirror.change({ ...emptyRpmMd('el8'), ...emptyRpmMd('el9'), 'el8/Packages/a.rpm': 'a package' });
  await runForJson(['init', mirror.root, '--source', mirror.source, '--check', 'auto']);
  expect((await syncOf(mirror)).exitCode).toBe(0);
  mirror.change({ 'el8/repodata': null });
  expectFailure(await syncOf(mirror), 65, /el8\/repodata\/repomd\.xml is missing/);
  mirror.change({ el8: null });
  expect(await mirror.sync('--allow-shrink')).toMatchObject({ outcome: 'published' });
});

test.each<[what: string, change: (source: string) => void]>([
  [
    'a list of checksums becomes a symlink to another',
    (source) => {
      renameSync(join(source, 'images/SHA256SUMS'), join(source, 'images/SHA256SUMS.new'));
      symlinkSync('SHA256SUMS.new', join(source, 'images/SHA256SUMS'));
    },
  ],
  [
    'a directory with a list becomes a symlink to another',
    (source) => {
      renameSync(join(source, 'images'), join(source, 'images-2'));
      symlinkSync('images-2', join(source, 'images'));
    },
  ],
  [
    'a suite becomes a symlink to another',
    (source) => {
      renameSync(join(source, 'dists/stable'), join(source, 'dists/trixie'));
      symlinkSync('trixie', join(source, 'dists/stable'));
    },
  ],
  [
    'a list is written as openssl does',
    (source) => {
      const list = join(source, 'images/SHA256SUMS');
      const lines = readFileSync(list, 'utf8').replaceAll(/^(\S+) {2}(.*)$/gm, 'SHA256($2)= $1');
      writeFileSync(list, lines);
    },
  ],
  [
    'the last project of an index of Python packages goes',
    (source) => {
      rmSync(join(source, 'simple/six'), { recursive: true });
      writeFileSync(join(source, 'simple/index.html'), pythonList(''));
    },
  ],
])('it is no fault that %s', async (_, change) => {
  const mirror = smallMirror();
  makeSuite(mirror, 'dists/stable');
  mirror.change({
    ...summedFiles('first'),
    'simple/index.html': pythonList('<a href="six/">six</a>'),
    'simple/six/index.html': pythonList(''),
  });
  await runForJson(['init', mirror.root, '--source', mirror.source, '--check', 'auto']);
  expect((await syncOf(mirror)).exitCode).toBe(0);
  change(mirror.source);
  const result = await syncOf(mirror, '--allow-shrink');
  expect(result.exitCode, transcript(result)).toBe(0);
});

function pythonList(content: string): string {
  return `<html><head><meta name="pypi:repository-version" content="1.0"></head><body>${content}</body></html>`;
}

test('a list of checksums may go, and a package of npm as a whole', async () => {
  const mirror = smallMirror();
  mirror.change({ ...npmPackage('left'), ...npmPackage('right'), ...summedFiles('first') });
  await runForJson(['init', mirror.root, '--source', mirror.source, '--check', 'auto']);
  expect((await syncOf(mirror)).exitCode).toBe(0);
  remove(mirror, 'left', 'images/SHA256SUMS');
  const synced = await syncOf(mirror);
  expect(synced.exitCode, transcript(synced)).toBe(0);
});

test('what a repository begins with may be left out by a rule of rsync', async () => {
  const mirror = smallMirror();
  makeSuite(mirror, 'dists/new');
  mkdirSync(join(mirror.source, 'rpm'));
  await execa('createrepo_c', ['--quiet', join(mirror.source, 'rpm')]);
  await runForJson(['init', mirror.root, '--source', mirror.source, '--check', 'auto']);
  const rules = ['--exclude=Release', '--exclude=repomd.xml'];
  const synced = await syncOf(mirror, '--', ...rules);
  expect(synced.exitCode, transcript(synced)).toBe(0);
  expect(existsSync(join(mirror.root, 'current/rpm/repodata'))).toBe(true);
});
