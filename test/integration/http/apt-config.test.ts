import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { expectFailure } from '../../support/expect-failure.ts';
import { whyNotInstalled } from '../../support/installed.ts';
import { runProgram, transcript } from '../../support/program.ts';
import { scratchDirectory } from '../../support/scratch.ts';

const noApt = whyNotInstalled('apt-config');
const SERVER = 'http://mirror.example.org:8080';
const HOST = 'Host::mirror.example.org';

describe.skipIf(noApt !== '')(`the printed settings say to apt where snapshots are${noApt}`, () => {
  test('of a mirror without an archive, for all archives for which apt knows another server', async () => {
    expect(await settingsOf(SERVER, [mirrorOf({})])).toEqual({
      [HOST]: `${SERVER}/debian/snapshots/@SNAPSHOTID@/`,
      'Override::Origin::Debian': `${SERVER}/debian/snapshots/@SNAPSHOTID@/`,
      'Override::Origin::Ubuntu': `${SERVER}/debian/snapshots/@SNAPSHOTID@/`,
      'Override::Label::Debian-Security': `${SERVER}/debian/snapshots/@SNAPSHOTID@/`,
    });
  });

  test.each([
    ['Debian', 'Debian', [HOST, 'Override::Origin::Debian']],
    // Its clients may have Debian itself from another host.
    ['Debian', 'Debian-Security', [HOST, 'Override::Label::Debian-Security']],
    ['Ubuntu', 'Ubuntu', [HOST, 'Override::Origin::Ubuntu']],
    ['Debian Backports', 'Debian Backports', [HOST]],
    // Its Release file names a server of snapshots, which would come before that of the host.
    [
      'Acme',
      'Acme "5%" Tools\nSnapshots: http://acme.example.org/@SNAPSHOTID@/',
      [HOST, 'Override::Label::Acme "5%" Tools'],
    ],
  ])('of an archive of %s, label %j', async (origin, label, expected) => {
    const release = `Origin: ${origin}\nLabel: ${label}\nSHA256:\n 0 0 x\n`;
    const signed = `-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n${release}`;
    for (const files of [
      { 'dists/stable/InRelease': signed },
      { 'dists/stable/updates/Release': release },
    ]) {
      expect(Object.keys(await settingsOf(SERVER, [mirrorOf(files)]))).toEqual(expected);
    }
  });

  test('of all archives of several mirrors, by the paths of their sources', async () => {
    const words = [
      mirrorOf({ 'dists/stable/Release': 'Origin: Debian\nLabel: Debian\n' }),
      `${mirrorOf({ 'dists/noble/Release': 'Origin: Ubuntu\n' })}=/ubuntu/`,
    ];
    const place = `${SERVER}/-/apt/@PATH@/@SNAPSHOTID@/`;
    expect(await settingsOf(SERVER, words)).toEqual({
      [HOST]: place,
      'Override::Origin::Debian': place,
      'Override::Origin::Ubuntu': place,
    });
    expectFailure(await printed(`${SERVER}/sub`, words), 64, /there are several archives/);
  });

  test('of archives in directories of a mirror', async () => {
    const debian = { 'debian/dists/stable/Release': 'Origin: Debian\nLabel: Debian\n' };
    const one = mirrorOf({ ...debian, 'other/file': 'x' });
    const place = `${SERVER}/debian/snapshots/@SNAPSHOTID@/debian/`;
    expect(await settingsOf(SERVER, [one])).toEqual({
      [HOST]: place,
      'Override::Origin::Debian': place,
    });
    const two = mirrorOf({ ...debian, 'ubuntu/dists/noble/Release': 'Origin: Ubuntu\n' });
    expect((await settingsOf(SERVER, [two]))[HOST]).toBe(`${SERVER}/-/apt/@PATH@/@SNAPSHOTID@/`);
  });

  test('but not of what a symlink in the mirror leads to', async () => {
    const elsewhere = scratchDirectory();
    mkdirSync(join(elsewhere, 'noble'));
    writeFileSync(join(elsewhere, 'noble/Release'), 'Origin: Ubuntu\n');
    const mirror = mirrorOf({ 'dists/stable/Release': 'Origin: Acme\n' });
    const dists = join(mirror, 'current/dists');
    symlinkSync(join(elsewhere, 'noble'), join(dists, 'noble'));
    symlinkSync(join(elsewhere, 'noble/Release'), join(dists, 'stable/InRelease'));
    symlinkSync(elsewhere, join(dists, 'stable/updates'));
    expect(Object.keys(await settingsOf(SERVER, [mirror]))).toEqual([HOST]);
  });

  test.each([
    [`${SERVER}/sub/`, `${SERVER}/sub/debian/snapshots/`],
    [`${SERVER}/debian`, `${SERVER}/debian/snapshots/`],
    [`${SERVER}/debian/current/`, `${SERVER}/debian/snapshots/`],
  ])('with a path in %s that is not the own one of the mirror', async (url, snapshots) => {
    const settings = await settingsOf(url, [mirrorOf({})]);
    expect(settings[HOST]).toBe(`${snapshots}@SNAPSHOTID@/`);
  });

  test('by the name that apt has for a host: an IPv6 address has no brackets there', async () => {
    const settings = await settingsOf('http://[2001:db8::5]:8080', [mirrorOf({})]);
    expect(settings['Host::2001:db8::5']).toBe(
      'http://[2001:db8::5]:8080/debian/snapshots/@SNAPSHOTID@/',
    );
  });
});

/** @returns the root of a mirror, which is called `debian`, and whose `current` another program keeps. */
function mirrorOf(files: Readonly<Record<string, string>>): string {
  const root = join(scratchDirectory(), 'debian');
  mkdirSync(join(root, 'tree'), { recursive: true });
  symlinkSync('tree', join(root, 'current'));
  for (const [path, content] of Object.entries(files)) {
    const file = join(root, 'tree', path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  }
  return root;
}

const printed = (url: string, words: readonly string[]) =>
  runProgram(['serve', ...words, '--apt-config', url]);

/** What apt makes of the printed text: a URL by the name of the setting below `Acquire::Snapshots::URI`. */
async function settingsOf(
  url: string,
  words: readonly string[],
): Promise<Readonly<Record<string, string>>> {
  const result = await printed(url, words);
  expect(result.exitCode, transcript(result)).toBe(0);
  const file = join(scratchDirectory(), 'apt.conf');
  writeFileSync(file, result.stdout);
  const options = ['-c', file, 'dump', '--no-empty', '--format', '%f %v%n'];
  const { stdout } = await execa('apt-config', [...options, 'Acquire::Snapshots::URI']);
  const lines = stdout
    .split('\n')
    .map((line) => /^Acquire::Snapshots::URI::(.+) (\S+)$/.exec(line));
  return Object.fromEntries(lines.flatMap((match) => (match === null ? [] : [match.slice(1)])));
}
