import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCheck, wrong } from '../../support/checked.ts';
import { eventually } from '../../support/eventually.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { flipBit } from '../../support/flip-bit.ts';
import { runForJson, runProgram } from '../../support/program.ts';
import {
  makeKey,
  makeSignedArchive,
  release,
  type SigningKey,
  sign,
} from '../../support/repositories/signed-archive.ts';
import { makeScratch, scratchDirectory } from '../../support/scratch.ts';

const scratch = makeScratch();
const original = join(scratch.path, 'archive');
let key: SigningKey;
let otherKey: SigningKey;

beforeAll(async () => {
  key = await makeKey(join(scratch.path, 'key'), 'archive');
  otherKey = await makeKey(join(scratch.path, 'other'), 'other');
  const work = join(scratch.path, 'work');
  for (const directory of [original, work]) mkdirSync(directory);
  await makeSignedArchive(original, work, key);
});

afterAll(() => scratch.remove());

/** A copy of the archive. */
async function archive(): Promise<string> {
  const directory = join(scratchDirectory(), 'debian');
  await execa('cp', ['-a', original, directory]);
  return directory;
}

const check = (directory: string, ...words: string[]) =>
  runCheck(directory, '--check', 'apt', '--check-content', '--check-keyring', key.binary, ...words);

const SUITE = 'dists/stable';
const INDEX = `${SUITE}/main/binary-amd64/Packages`;
const DEB = 'pool/main/beta_1.0_all.deb';

test('a whole archive is right, by either form of its keys', async () => {
  const directory = await archive();
  const checked = await check(directory);
  expect(checked).toMatchObject({ isRight: true, count: 0, notes: [] });
  // 3 packages, 3 sources of 2 files, 5 indexes, 4 of them by their hashes, and the Release of an architecture.
  expect(checked.files).toBe(3 + 6 + 5 + 4 + 1);
  expect(await check(directory, '--check-keyring', key.armored)).toMatchObject({ isRight: true });
  const alone = await runCheck(directory);
  expect(alone.isRight).toBe(true);
  expect(alone.notes).toEqual(['signatures are not checked: no keyring is named']);
});

test('what debmirror keeps for itself is no archive', async () => {
  const directory = await archive();
  const own = join(directory, '.temp');
  mkdirSync(own);
  await execa('cp', ['-a', join(directory, 'dists'), own]);
  expect(await check(directory)).toMatchObject({
    isRight: true,
    kinds: [{ kind: 'apt', found: 1 }],
  });
});

/** Of a Release that was valid until yesterday; s. */
const EXPIRED = ['ValidTime=-86400'];

type Damage = (directory: string) => unknown;

const DAMAGES: [what: string, damage: Damage, findings: RegExp[]][] = [
  ['a missing package', (at) => rmSync(join(at, DEB)), [/^missing pool\/main\/beta_1.0_all.deb$/]],
  ['a package that is cut off', (at) => truncateSync(join(at, DEB), 9), [/^size pool\/main\/beta/]],
  ['a flipped bit in a package', (at) => flipBit(join(at, DEB)), [/^hash pool\/main\/beta/]],
  [
    'a missing source',
    (at) => rmSync(join(at, 'pool/main/gamma_1.0.tar.xz')),
    [/^missing pool\/main\/gamma_1.0.tar.xz$/],
  ],
  [
    'a flipped bit in a description of a source',
    (at) => flipBit(join(at, 'pool/main/gamma_1.0.dsc')),
    [/^hash pool\/main\/gamma_1.0.dsc$/],
  ],
  [
    'an index that is cut off',
    (at) => truncateSync(join(at, `${INDEX}.gz`), 99),
    [/^size .*Packages.gz$/],
  ],
  ['a flipped bit in an index', (at) => flipBit(join(at, `${INDEX}.xz`)), [/^hash .*Packages.xz$/]],
  [
    'half of what is there by hash',
    (at) => {
      const place = join(at, `${SUITE}/main/binary-amd64/by-hash/SHA512`);
      rmSync(join(place, readdirSync(place)[1] ?? ''));
    },
    [/^missing dists\/stable\/main\/binary-amd64\/by-hash\/SHA512\/\w{128}$/],
  ],
  [
    'a flipped bit in what is there by hash',
    (at) => {
      const place = join(at, `${SUITE}/main/source/by-hash/SHA512`);
      flipBit(join(place, readdirSync(place)[0] ?? ''));
    },
    [/^hash dists\/stable\/main\/source\/by-hash\/SHA512\/\w{128}$/],
  ],
  [
    'a stale index below a new Release',
    async (at) => {
      const before = readFileSync(join(at, INDEX));
      appendFileSync(join(at, INDEX), '\n\n');
      await release(at, key);
      writeFileSync(join(at, INDEX), before);
    },
    [/^size .*Packages$/],
  ],
  [
    'an old Release above a new index',
    async (at) => {
      appendFileSync(join(at, INDEX), '\n\n');
    },
    [/^size .*Packages$/],
  ],
  [
    'an InRelease of another time than Release',
    async (at) => {
      const before = readFileSync(join(at, `${SUITE}/InRelease`));
      for (const form of ['', '.gz', '.xz']) appendFileSync(join(at, INDEX + form), '\n\n');
      await release(at, key);
      writeFileSync(join(at, `${SUITE}/InRelease`), before);
    },
    [/^size .*Packages$/, /^size .*Packages.gz$/, /^size .*Packages.xz$/],
  ],
  [
    'a Release that has expired',
    (at) => release(at, key, EXPIRED),
    [/^expired .*\/InRelease$/, /^expired .*\/Release$/],
  ],
  [
    'another key',
    (at) => sign(join(at, `${SUITE}/Release`), otherKey),
    [/^signature .*\/InRelease$/, /^signature .*\/Release.gpg$/],
  ],
  [
    'a Release that was changed after it was signed',
    (at) => {
      const path = join(at, `${SUITE}/Release`);
      writeFileSync(path, readFileSync(path, 'utf8').replace('twelve', 'eleven'));
    },
    [/^signature .*\/Release.gpg$/],
  ],
  [
    'an InRelease that was changed after it was signed',
    (at) => {
      const path = join(at, `${SUITE}/InRelease`);
      writeFileSync(path, readFileSync(path, 'utf8').replace('twelve', 'eleven'));
    },
    [/^signature .*\/InRelease$/],
  ],
  [
    'an InRelease with lines after its signature',
    (at) => appendFileSync(join(at, `${SUITE}/InRelease`), '\n'),
    [/^malformed .*\/InRelease$/],
  ],
  [
    'an InRelease with a line before its text',
    (at) => {
      const path = join(at, `${SUITE}/InRelease`);
      writeFileSync(path, `inserted\n${readFileSync(path, 'utf8')}`);
    },
    [/^malformed .*\/InRelease$/],
  ],
  [
    'an InRelease that is there twice in itself',
    (at) => {
      const path = join(at, `${SUITE}/InRelease`);
      appendFileSync(path, readFileSync(path));
    },
    [/^malformed .*\/InRelease$/],
  ],
  [
    'a Release.gpg with more than its signature, and no InRelease',
    (at) => {
      rmSync(join(at, `${SUITE}/InRelease`));
      appendFileSync(join(at, `${SUITE}/Release.gpg`), 'more\n');
    },
    [/^malformed .*\/Release.gpg$/],
  ],
  [
    'a Release.gpg in binary form, and no InRelease',
    async (at) => {
      rmSync(join(at, `${SUITE}/InRelease`));
      const path = join(at, `${SUITE}/Release.gpg`);
      await execa('gpg', ['--yes', '--output', `${path}.bin`, '--dearmor', path]);
      renameSync(`${path}.bin`, path);
    },
    [/^malformed .*\/Release.gpg$/],
  ],
  [
    'no signature at all',
    (at) => {
      for (const name of ['InRelease', 'Release.gpg']) rmSync(join(at, SUITE, name));
    },
    [/^signature .*\/Release$/],
  ],
  [
    'a Release that is gone',
    (at) => rmSync(join(at, `${SUITE}/Release`)),
    [/^missing .*\/Release$/],
  ],
  [
    'all of them gone',
    (at) => {
      for (const name of ['InRelease', 'Release', 'Release.gpg']) rmSync(join(at, SUITE, name));
    },
    [/^missing dists\/stable\/Release$/],
  ],
  [
    'an empty Release',
    (at) => truncateSync(join(at, `${SUITE}/Release`), 0),
    [/^malformed .*\/Release$/],
  ],
  [
    'an index that leads out of the tree',
    (at) => {
      const path = join(at, INDEX);
      writeFileSync(path, readFileSync(path, 'utf8').replace('pool/main/beta', '../../../beta'));
      return release(at, key);
    },
    [/^malformed .*Packages$/],
  ],
  [
    'an index that cannot be undone, as Release says',
    (at) => {
      rmSync(join(at, INDEX));
      writeFileSync(join(at, `${INDEX}.gz`), 'not compressed');
      return release(at, key);
    },
    [/^malformed .*Packages.gz$/],
  ],
];

test.for(DAMAGES)('%s is found', async ([, damage, findings]) => {
  const directory = await archive();
  await damage(directory);
  const found = wrong(await check(directory));
  expect(found.length, found.join('\n')).toBe(findings.length);
  for (const [at, finding] of findings.entries()) expect(found[at]).toMatch(finding);
});

test('what apt takes of a signed text is right: spaces, two signatures, and a foreign Release.gpg', async () => {
  const directory = await archive();
  const [clear, detached] = ['InRelease', 'Release.gpg'].map((one) => join(directory, SUITE, one));
  if (clear === undefined || detached === undefined) throw new Error('there are two');
  const text = readFileSync(clear, 'utf8');
  const signature = text.slice(text.indexOf('-----BEGIN PGP SIGNATURE'));
  writeFileSync(clear, `${text}${signature}`.replaceAll(/-----$/gm, '-----  ').trimEnd());
  appendFileSync(detached, 'more\n');
  expect(await check(directory)).toMatchObject({ isRight: true });
});

test.for([
  ['zstd', '.zst'],
  ['bzip2', '.bz2'],
  ['xz', '.xz'],
  ['gzip', '.gz'],
])('an index that %s has compressed is read', async ([program = '', form = '']) => {
  const directory = await archive();
  for (const other of ['.gz', '.xz']) rmSync(join(directory, INDEX + other));
  await execa(program, ['-k', join(directory, INDEX)]);
  rmSync(join(directory, INDEX));
  await release(directory, key);
  expect((await check(directory)).isRight).toBe(true);
  rmSync(join(directory, DEB));
  expect(await check(directory)).toMatchObject({ findings: [{ name: DEB, by: INDEX + form }] });
});

test('an archive below a directory, or in a flat one, is found', async () => {
  const directory = await archive();
  const above = join(directory, '..');
  expect((await check(above)).files).toBe(19);
  const flat = join(above, 'flat');
  mkdirSync(flat);
  for (const name of readdirSync(join(directory, 'pool/main')))
    copyFileSync(join(directory, 'pool/main', name), join(flat, name));
  rmSync(directory, { recursive: true });
  const { stdout } = await execa('apt-ftparchive', ['packages', '.'], { cwd: flat });
  writeFileSync(join(flat, 'Packages'), `${stdout}\n`);
  const { stdout: text } = await execa('apt-ftparchive', ['release', '.'], { cwd: flat });
  writeFileSync(join(flat, 'Release'), `${text}\n`);
  const checked = await runCheck(above, '--check-content');
  expect(checked).toMatchObject({ isRight: true, kinds: [{ kind: 'apt', found: 1 }] });
  rmSync(join(flat, 'beta_1.0_all.deb'));
  expect(wrong(await runCheck(above))).toEqual(['missing flat/beta_1.0_all.deb']);
});

test('a pool behind a symlink, and a suite with two names', async () => {
  const directory = await archive();
  renameSync(join(directory, 'pool'), join(directory, 'packages'));
  symlinkSync('packages', join(directory, 'pool'));
  symlinkSync('stable', join(directory, 'dists/twelve'));
  expect(await check(directory)).toMatchObject({ isRight: true, files: 19 });
});

test('what a sync leaves out is not missing, and what its source lacks is', async () => {
  const source = await archive();
  const root = join(source, '../mirror');
  const rules = [
    '--check',
    'apt',
    '--',
    '--exclude=*.tar.xz',
    '--exclude=Sources*',
    '--exclude=by-hash/',
  ];
  expect(await runForJson(['sync', source, root, ...rules])).toMatchObject({
    outcome: 'published',
  });
  expect(existsSync(join(root, 'current', DEB))).toBe(true);
  const checked = await runCheck(root);
  expect(checked.isRight).toBe(true);
  expect(checked.leftOut).toBeGreaterThan(0);
  rmSync(join(source, INDEX));
  for (const form of ['gz', 'xz']) rmSync(join(source, `${INDEX}.${form}`));
  const result = await runProgram(['sync', root, '--retries', '0']);
  expectFailure(result, 65, /binary-amd64\/Packages.xz is missing \(dists\/stable\/InRelease\)/);
});

test('an architecture that its archive does not have is missed only where readers have it', async () => {
  const source = await archive();
  const root = join(source, '../mirror');
  const directory = join(source, SUITE, 'main/binary-arm64');
  await execa('cp', ['-a', join(source, INDEX, '..'), directory]);
  await release(source, key);
  const away = join(source, '../away');
  renameSync(directory, away);
  await runForJson(['sync', source, root, '--check', 'apt']);
  renameSync(away, directory);
  await runForJson(['sync', source, root, '--check', 'apt']);
  renameSync(directory, away);
  const result = await runProgram(['sync', root, '--check', 'apt', '--retries', '0']);
  expectFailure(result, 65, /binary-arm64\/Packages.xz is missing/);
});

test('an archive that has never had anything by hash is right, whatever its Release says', async () => {
  const source = await archive();
  const root = join(source, '../mirror');
  const places = ['binary-amd64', 'source'].map((part) => `${SUITE}/main/${part}/by-hash`);
  const sync = ['sync', source, root, '--check', 'apt', '--allow-shrink', '--retries', '0'];
  for (const place of places) renameSync(join(source, place), join(source, `${place}.away`));
  expect(await runForJson(sync)).toMatchObject({ outcome: 'published' });
  for (const place of places) renameSync(join(source, `${place}.away`), join(source, place));
  expect(await runForJson(sync)).toMatchObject({ outcome: 'published' });
  // Readers have it now.
  rmSync(join(source, places[0] ?? ''), { recursive: true });
  expectFailure(await runProgram(sync), 65, /binary-amd64\/by-hash\/SHA512\/\w+ is missing/);
});

test('an expired Release that readers have already keeps nothing back', async () => {
  const source = await archive();
  const root = join(source, '../mirror');
  await release(source, key, EXPIRED);
  const sync = ['sync', source, root, '--check', 'auto', '--retries', '0'];
  expectFailure(await runProgram(sync), 65, /InRelease: valid until .*, expected a time to come/);
  await runForJson([...sync, '--publish-anyway']);
  writeFileSync(join(source, 'README'), 'new');
  const result = await runProgram(sync);
  expect(result.exitCode).toBe(0);
  expect(result.stderr).toMatch(/stable\/InRelease has expired/);
});

test('a keyring that is not there is an error of the configuration', async () => {
  const directory = await archive();
  const result = await runProgram(['check', directory, '--check-keyring', '/nowhere/keys.gpg']);
  expectFailure(result, 78, /the keyring \/nowhere\/keys.gpg cannot be read/);
});

test('a signature by a key that has expired in the keyring names that key', async () => {
  const directory = await archive();
  const old = await makeKey(join(scratchDirectory(), 'old'), 'old');
  await release(directory, old);
  const gpg = (...words: string[]) => execa('gpg', ['--homedir', old.home, '--batch', ...words]);
  const { stdout } = await gpg('--with-colons', '--list-keys');
  const [, fingerprint = ''] = /^fpr:+(\w+):/m.exec(stdout) ?? [];
  await gpg('--passphrase', '', '--quick-set-expire', fingerprint, 'seconds=1');
  await gpg('--yes', '--output', old.binary, '--export');
  await execa('gpgconf', ['--homedir', old.home, '--kill', 'all']);
  const found = `a signature by the key ${fingerprint.slice(-16)}, which has expired in the keyring`;
  const checked = await eventually(async () => {
    const result = await runCheck(directory, '--check', 'apt', '--check-keyring', old.binary);
    expect(result.isRight).toBe(false);
    return result;
  });
  expect(checked.findings[0]).toMatchObject({ kind: 'signature', found });
});

const NAMED = ` ${'0'.repeat(64)} 1 main/f\n`;

test.each([
  ['a million blank lines', '\n'.repeat(1_000_000), 'it has more than 500000 lines'],
  ['250,000 names', `SHA256:\n${NAMED.repeat(250_000)}`, 'it has more than 16 MiB'],
  ['50,000 names', `SHA256:\n${NAMED.repeat(50_000)}`, undefined],
  ['a million blanks', `Origin: a${' '.repeat(3_000_000)}b\n`, 'it lists no files'],
])('a Release of %s holds no check up', async (_, text, found) => {
  const directory = scratchDirectory();
  mkdirSync(join(directory, SUITE), { recursive: true });
  writeFileSync(join(directory, SUITE, 'Release'), text);
  const { findings } = await runCheck(directory, '--check', 'apt');
  expect(findings[0]?.found).toBe(found);
});
