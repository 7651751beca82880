import {
  copyFileSync,
  linkSync,
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
import { gunzipSync } from 'node:zlib';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCheck, wrong } from '../../support/checked.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { flipBit } from '../../support/flip-bit.ts';
import { whyNotInstalled } from '../../support/installed.ts';
import { runForJson, runProgram } from '../../support/program.ts';
import { pacman } from '../../support/repositories/pacman.ts';
import {
  addAll,
  fileOf,
  makePacmanPackage,
  signBeside,
} from '../../support/repositories/pacman-repository.ts';
import { makeKey, type SigningKey } from '../../support/repositories/signed-archive.ts';
import { makeScratch, scratchDirectory } from '../../support/scratch.ts';

const why = whyNotInstalled('repo-add', 'makepkg', 'bsdtar', 'gpg');
const scratch = makeScratch();
const original = join(scratch.path, 'parts');
let key: SigningKey;
let otherKey: SigningKey;

beforeAll(async () => {
  if (why !== '') return;
  key = await makeKey(join(scratch.path, 'key'), 'repository');
  otherKey = await makeKey(join(scratch.path, 'other'), 'other');
  mkdirSync(original);
  for (const name of ['alpha', 'beta', 'gamma']) {
    await makePacmanPackage(original, join(scratch.path, 'work'), name);
    await signBeside(join(original, fileOf(name)), key);
  }
  await addAll(original, '.tar.gz');
});

afterAll(() => scratch.remove());

/** The path of a copy of the repository, in a tree that is its parent. */
async function repository(): Promise<string> {
  const tree = join(scratchDirectory(), 'tree');
  mkdirSync(tree);
  await execa('cp', ['-a', original, tree]);
  return join(tree, 'parts');
}

const check = (at: string, ...words: string[]) =>
  runCheck(join(at, '..'), '--check', 'arch', '--check-content', ...words);

test.for(['gz', 'xz', 'zst', 'bz2'])(
  `a repository of repo-add in %s is right${why}`,
  async (form, { skip }) => {
    if (why !== '') skip();
    const at = await repository();
    await addAll(at, `.tar.${form}`);
    expect(await check(at)).toMatchObject({
      isRight: true,
      kinds: [{ kind: 'arch', found: 1 }],
      files: 3,
      read: { files: 3 },
    });
  },
);

/** The path of its package. */
const beta = (at: string) => join(at, fileOf('beta'));

/** Writes the database anew, with its only `desc` as it then is, of gamma. */
async function writeDescription(at: string, edit: (text: string) => string): Promise<void> {
  const entry = join(at, '../../database/gamma-1.0-1');
  mkdirSync(entry, { recursive: true });
  const { stdout } = await execa('bsdtar', ['-xOf', join(at, 'parts.db'), 'gamma-1.0-1/desc']);
  writeFileSync(join(entry, 'desc'), edit(`${stdout}\n`));
  const database = ['-czf', join(at, 'parts.db.tar.gz'), 'gamma-1.0-1'];
  await execa('bsdtar', ['-C', join(entry, '..'), ...database]);
  rmSync(join(at, 'parts.files'));
  rmSync(join(at, 'parts.files.tar.gz'));
}

test.for<[what: string, damage: (at: string) => unknown, findings: RegExp[]]>([
  ['a missing package', (at) => rmSync(beta(at)), [/^missing parts\/beta-1.0-1-any.pkg.tar$/]],
  ['a package that is cut off', (at) => truncateSync(beta(at), 9), [/^size .*beta/]],
  ['a flipped bit in a package', (at) => flipBit(beta(at)), [/^hash .*beta/]],
  [
    'a package that leads out of the tree',
    (at) => {
      renameSync(beta(at), join(at, '../../beta'));
      symlinkSync('../../beta', beta(at));
    },
    [/^not-regular .*beta/],
  ],
  [
    'a package that leads to nothing',
    (at) => {
      rmSync(beta(at));
      symlinkSync('../pool/beta', beta(at));
    },
    [/^missing .*beta/],
  ],
  [
    'a database of another time',
    async (at) => {
      const before = readFileSync(join(at, 'parts.db.tar.gz'));
      rmSync(beta(at));
      await addAll(at, '.tar.gz');
      writeFileSync(join(at, 'parts.db.tar.gz'), before);
    },
    [/^missing .*beta/],
  ],
  [
    'a list of files of another time',
    async (at) => {
      const before = readFileSync(join(at, 'parts.files.tar.gz'));
      rmSync(beta(at));
      await addAll(at, '.tar.gz');
      writeFileSync(join(at, 'parts.files.tar.gz'), before);
    },
    [/^missing .*beta/],
  ],
  [
    'a database that is cut off',
    (at) => truncateSync(join(at, 'parts.db.tar.gz'), 200),
    [/^malformed parts\/parts.db$/],
  ],
  [
    'a database that is empty',
    (at) => truncateSync(join(at, 'parts.db.tar.gz'), 0),
    [/^malformed parts\/parts.db$/],
  ],
  [
    'a database that is none',
    (at) => writeFileSync(join(at, 'parts.db.tar.gz'), '<html>502 Bad Gateway</html>\n'),
    [/^malformed parts\/parts.db$/],
  ],
  [
    'a flipped bit in a database',
    (at) => flipBit(join(at, 'parts.db.tar.gz')),
    [/^malformed parts\/parts.db$/],
  ],
  [
    'a database without compression that is cut off between two packages',
    (at) => {
      const path = join(at, 'parts.db.tar.gz');
      const whole = gunzipSync(readFileSync(path));
      writeFileSync(path, whole.subarray(0, whole.indexOf('beta-1.0-1/\0')));
    },
    [/^malformed parts\/parts.db$/],
  ],
  [
    'a link to a database that is not there',
    (at) => rmSync(join(at, 'parts.db.tar.gz')),
    [/^missing parts\/parts.db$/, /^missing parts\/parts.db.tar.gz$/],
  ],
  ['no link to a database', (at) => rmSync(join(at, 'parts.db')), [/^missing parts\/parts.db$/]],
  [
    'a name out of the directory',
    (at) => writeDescription(at, (text) => text.replace('gamma-1.0', '../gamma-1.0')),
    [/^malformed parts\/parts.db$/],
  ],
  [
    'an absolute name',
    (at) => writeDescription(at, (text) => text.replace('gamma-1.0', '/etc/gamma-1.0')),
    [/^malformed parts\/parts.db$/],
  ],
  [
    'a description without a name',
    (at) => writeDescription(at, (text) => text.replace('%FILENAME%', '%FILES%')),
    [/^malformed parts\/parts.db$/],
  ],
  [
    'a name with spaces that is not there',
    (at) => writeDescription(at, (text) => text.replace('gamma-1.0', ' gamma 1.0')),
    [/^missing parts\/ gamma 1.0-1-any.pkg.tar$/],
  ],
  [
    'a line that never ends',
    (at) => writeDescription(at, (text) => text + 'x'.repeat(5_000_000)),
    [/^malformed parts\/parts.db$/],
  ],
])(`%s is found${why}`, async ([, damage, findings], { skip }) => {
  if (why !== '') skip();
  const at = await repository();
  await damage(at);
  const found = wrong(await check(at));
  expect(found, found.join('\n')).toHaveLength(findings.length);
  for (const [place, finding] of findings.entries()) expect(found[place]).toMatch(finding);
});

test(`packages in a pool, more of them than are named, and backups are right${why}`, async ({
  skip,
}) => {
  if (why !== '') skip();
  const at = await repository();
  mkdirSync(join(at, '../pool'));
  renameSync(beta(at), join(at, '../pool/beta'));
  symlinkSync('../pool/beta', beta(at));
  writeFileSync(join(at, fileOf('old')), 'whatever');
  writeFileSync(join(at, 'parts.db.tar.gz.old'), 'whatever');
  expect(await check(at)).toMatchObject({ isRight: true, files: 3 });
  rmSync(join(at, 'parts.db'));
  linkSync(join(at, 'parts.db.tar.gz'), join(at, 'parts.db'));
  expect(await check(at)).toMatchObject({ isRight: true, kinds: [{ found: 1 }] });
});

test(`a repository without packages is right${why}`, async ({ skip }) => {
  if (why !== '') skip();
  const at = await repository();
  for (const name of readdirSync(at)) if (!name.startsWith('parts.')) rmSync(join(at, name));
  const names = ['alpha', 'beta', 'gamma'];
  await execa('repo-remove', ['--quiet', 'parts.db.tar.gz', ...names], { cwd: at });
  expect(await check(at)).toMatchObject({ isRight: true, kinds: [{ found: 1 }], files: 0 });
});

test('other files of such names are no repository', async () => {
  const tree = join(scratchDirectory(), 'tree');
  mkdirSync(tree);
  writeFileSync(join(tree, 'Thumbs.db'), Buffer.from('d0cf11e0a1b11ae1', 'hex'));
  writeFileSync(join(tree, 'index.db'), `SQLite format 3\0${'x'.repeat(99)}`);
  writeFileSync(join(tree, 'empty.db'), '');
  writeFileSync(join(tree, 'list.files'), 'one\ntwo\n');
  symlinkSync('/var/lib/none', join(tree, 'none.db'));
  writeFileSync(join(tree, 'note'), 'x');
  await execa('tar', ['-C', tree, '-czf', join(tree, 'backup.db.tar.gz'), 'note']);
  expect(await runCheck(tree)).toMatchObject({ isRight: true, kinds: [] });
  // Beside packages, those that are something else still are.
  writeFileSync(join(tree, 'empty.db'), 'x');
  writeFileSync(join(tree, fileOf('alpha')), 'whatever');
  expect(wrong(await runCheck(tree))).toEqual(['malformed empty.db', 'missing none.db']);
});

test.for<[what: string, damage: (at: string) => unknown, findings: RegExp[]]>([
  ['a database that is not signed', () => {}, []],
  ['a database that is signed', (at) => signDatabase(at, key), []],
  [
    'a signature by another key',
    (at) => signDatabase(at, otherKey),
    [/^signature parts\/parts.db$/],
  ],
  [
    'a signature of another database',
    async (at) => {
      await signDatabase(at, key);
      const before = readFileSync(join(at, 'parts.db.tar.gz.sig'));
      await addAll(at, '.tar.xz');
      writeFileSync(join(at, 'parts.db.sig'), before);
    },
    [/^signature parts\/parts.db$/],
  ],
  [
    'a package without its signature',
    (at) => rmSync(`${beta(at)}.sig`),
    // repo-add has put the signatures into the database.
    [],
  ],
  [
    'a package that nobody has signed',
    (at) =>
      writeDescription(at, (text) => {
        rmSync(join(at, `${fileOf('gamma')}.sig`));
        return text.replace('%PGPSIG%', '%OTHER%');
      }),
    [/^missing parts\/gamma-1.0-1-any.pkg.tar.sig$/],
  ],
])(`with a keyring, %s is judged as by pacman${why}`, async ([, damage, findings], { skip }) => {
  if (why !== '') skip();
  const at = await repository();
  await damage(at);
  const found = wrong(await check(at, '--check-keyring', key.binary));
  expect(found, found.join('\n')).toHaveLength(findings.length);
  for (const [place, finding] of findings.entries()) expect(found[place]).toMatch(finding);
});

/** As `repo-add --sign` does, with a link. */
async function signDatabase(at: string, by: SigningKey): Promise<void> {
  await signBeside(join(at, 'parts.db.tar.gz'), by);
  symlinkSync('parts.db.tar.gz.sig', join(at, 'parts.db.sig'));
}

test(`what a sync leaves out is not missing, and a signature that was there is missed${why}`, async ({
  skip,
}) => {
  if (why !== '') skip();
  const at = await repository();
  await signDatabase(at, key);
  const [tree, root] = [join(at, '..'), join(at, '../../mirror')];
  const rules = ['--check', 'auto', '--check-keyring', key.binary, '--allow-shrink'];
  const sync = [
    'sync',
    tree,
    root,
    ...rules,
    '--retries',
    '0',
    '--',
    '--exclude=alpha*',
    '--exclude=*.files*',
  ];
  expect(await runForJson(sync)).toMatchObject({ outcome: 'published' });
  for (const end of ['.db.sig', '.db.tar.gz.sig']) rmSync(join(at, `parts${end}`));
  rmSync(beta(at));
  const result = await runProgram(sync);
  expectFailure(result, 65, /parts\/beta-1.0-1-any.pkg.tar is missing \(parts\/parts.db\)/);
  expect(result.stderr).toMatch(/parts\/parts.db: no parts.db.sig, expected a signature/);
  expect(result.stderr).toMatch(/only if you know who has made it.* mirrorlatch explain \S+$/m);
  expect(result.stderr).not.toMatch(/alpha|parts.files/);
});

test(`several kinds in one tree are each checked${why}`, async ({ skip }) => {
  if (why !== '') skip();
  const at = await repository();
  const { stdout } = await execa('sha256sum', [fileOf('alpha')], { cwd: at });
  mkdirSync(join(at, '../images'));
  copyFileSync(join(at, fileOf('alpha')), join(at, '../images', fileOf('alpha')));
  writeFileSync(join(at, '../images/SHA256SUMS'), `${stdout}\n`);
  flipBit(join(at, '../images', fileOf('alpha')));
  rmSync(beta(at));
  const checked = await runCheck(join(at, '..'));
  expect(checked.kinds).toMatchObject([{ kind: 'sha256sums' }, { kind: 'arch' }]);
  expect(wrong(checked)).toEqual([
    'hash images/alpha-1.0-1-any.pkg.tar',
    'missing parts/beta-1.0-1-any.pkg.tar',
  ]);
});

const whyNoPacman = why || whyNotInstalled('pacman');

test(`pacman goes on while its upstream is in the middle of an update${whyNoPacman}`, async ({
  skip,
}) => {
  if (whyNoPacman !== '') skip();
  const at = await repository();
  const [tree, root, state] = ['..', '../../mirror', '../../state'].map((path) => join(at, path));
  if (tree === undefined || root === undefined || state === undefined) throw new Error();
  mkdirSync(state);
  pacman.configure(state, `file://${root}/current/parts`);
  const words = ['--config', 'pacman.conf', '--noconfirm'];
  const download = async () => {
    rmSync(join(state, 'cache', fileOf('beta')), { force: true });
    await execa('pacman', [...words, '-Sy'], { cwd: state });
    const result = await execa('pacman', [...words, '-Sw', 'beta'], { cwd: state, reject: false });
    return { exitCode: result.exitCode, files: readdirSync(join(state, 'cache')) };
  };
  const sync = (check: string) =>
    runProgram(['sync', tree, root, '--check', check, '--allow-shrink', '--retries', '0']);
  expect((await sync('auto')).exitCode).toBe(0);
  await makePacmanPackage(at, join(scratch.path, 'work'), 'beta', '2.0');
  rmSync(beta(at));
  await addAll(at, '.tar.gz');
  renameSync(join(at, fileOf('beta', '2.0')), join(at, '../../late'));
  expectFailure(await sync('auto'), 65, /beta-2.0-1-any.pkg.tar is missing/);
  expect(await download()).toEqual({ exitCode: 0, files: [fileOf('beta')] });
  // Without the check, readers have what is not there.
  expect((await sync('none')).exitCode).toBe(0);
  expect(await download()).toEqual({ exitCode: 1, files: [] });
  renameSync(join(at, '../../late'), join(at, fileOf('beta', '2.0')));
  expect((await sync('auto')).exitCode).toBe(0);
  expect(await download()).toEqual({ exitCode: 0, files: [fileOf('beta', '2.0')] });
});
