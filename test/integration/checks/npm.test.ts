import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { checkTree, wrong } from '../../support/checked.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { flipBit } from '../../support/flip-bit.ts';
import { runForJson, runProgram } from '../../support/program.ts';
import { npmRegistry } from '../../support/repositories/npm-registry.ts';
import { writeVerdaccio } from '../../support/repositories/verdaccio-storage.ts';
import { makeScratch, scratchDirectory } from '../../support/scratch.ts';

const scratch = makeScratch();
/** Each made once: a registry of files, and the storage of Verdaccio. */
const originals = {
  files: join(scratch.path, 'files'),
  verdaccio: join(scratch.path, 'verdaccio'),
};

beforeAll(async () => {
  const work = join(scratch.path, 'work');
  for (const directory of [work, ...Object.values(originals)]) mkdirSync(directory);
  const packages = ['alpha', 'beta'].map((name) => ({ name, content: `content of ${name}\n` }));
  const generation = { mark: 'generation-1', version: '1.0', hasOwnNames: false, packages };
  await npmRegistry.make(originals.files, generation, work);
  await verdaccioWith(originals.verdaccio, join(scratch.path, 'sources'));
});

afterAll(() => scratch.remove());

/** Two packages that were published to a Verdaccio, and one of npm's registry of which it was asked for one version. */
async function verdaccioWith(storage: string, sources: string): Promise<void> {
  const packages = ['@mine/scoped', 'mine-plain', 'is-odd'].map((name) => ({
    name,
    isOwn: name !== 'is-odd',
    versions: ['1.0.0', '1.1.0'].map((version) => ({
      version,
      tarball: join(sources, `${name.replace(/^@/, '').replace('/', '-')}-${version}.tgz`),
      isKept: name !== 'is-odd' || version === '1.1.0',
    })),
  }));
  for (const { name, versions } of packages)
    for (const { version, tarball } of versions) {
      const source = tarball.replace(/\.tgz$/, '');
      mkdirSync(source, { recursive: true });
      writeFileSync(join(source, 'package.json'), JSON.stringify({ name, version }));
      writeFileSync(join(source, 'index.js'), `module.exports = '${version}';\n`);
      const pack = ['pack', '--pack-destination', sources, source];
      await execa('npm', pack, { env: { npm_config_cache: `${sources}-cache` } });
    }
  writeVerdaccio(storage, packages);
}

function treeOf(original: keyof typeof originals, below = '.'): string {
  const tree = join(scratchDirectory(), 'tree');
  cpSync(originals[original], join(tree, below), { recursive: true });
  return tree;
}

const check = (tree: string) => checkTree(tree, { kinds: ['npm'], content: true });

test.for<[original: keyof typeof originals, files: number]>([
  ['files', 2],
  // Five tarballs, and the documents that the list names.
  ['verdaccio', 7],
])('a whole registry of %s is right, wherever it lies', async ([original, files]) => {
  for (const below of ['.', 'site/npm']) {
    const checked = await check(treeOf(original, below));
    expect(checked).toMatchObject({ isRight: true, notes: [], files });
    expect(checked.kinds).toEqual([{ kind: 'npm', found: 1 }]);
  }
});

const tarball = 'alpha/-/alpha-1.0.0.tgz';
const scoped = '@mine/scoped/scoped-1.0.0.tgz';

function edit(path: string, change: (text: string) => string): void {
  writeFileSync(path, change(readFileSync(path, 'utf8')));
}

test.for<
  [
    what: string,
    original: keyof typeof originals,
    damage: (tree: string) => unknown,
    finding: string,
  ]
>([
  [
    'the only tarball of a package is missing',
    'files',
    (at) => rmSync(join(at, tarball)),
    `missing ${tarball}`,
  ],
  [
    'a tarball is missing with its directory',
    'files',
    (at) => rmSync(join(at, 'alpha/-'), { recursive: true }),
    `missing ${tarball}`,
  ],
  ['a tarball is cut off', 'files', (at) => truncateSync(join(at, tarball), 99), `hash ${tarball}`],
  ['a bit of a tarball is flipped', 'files', (at) => flipBit(join(at, tarball)), `hash ${tarball}`],
  [
    'a document names a version that is not there yet',
    'files',
    (at) =>
      edit(join(at, 'alpha/index.json'), (text) =>
        text.replace('alpha-1.0.0.tgz', 'alpha-2.0.0.tgz'),
      ),
    'missing alpha/-/alpha-2.0.0.tgz',
  ],
  [
    'a document is older than its tarball',
    'files',
    (at) =>
      edit(join(at, 'alpha/index.json'), (text) => text.replace(/sha512-.{9}/, 'sha512-AAAAAAAAA')),
    `hash ${tarball}`,
  ],
  [
    'a document is cut off',
    'files',
    (at) => truncateSync(join(at, 'alpha/index.json'), 60),
    'malformed alpha/index.json',
  ],
  [
    'a document is empty',
    'files',
    (at) => truncateSync(join(at, 'alpha/index.json'), 0),
    'malformed alpha/index.json',
  ],
  [
    'a document is no JSON',
    'files',
    (at) => edit(join(at, 'alpha/index.json'), () => 'busy'),
    'malformed alpha/index.json',
  ],
  [
    'a tarball of a scope is missing',
    'verdaccio',
    (at) => rmSync(join(at, scoped)),
    `missing ${scoped}`,
  ],
  [
    'a bit is flipped in a tarball of a scope',
    'verdaccio',
    (at) => flipBit(join(at, scoped)),
    `hash ${scoped}`,
  ],
  [
    'a tarball that Verdaccio has fetched is missing',
    'verdaccio',
    (at) => rmSync(join(at, 'is-odd/is-odd-1.1.0.tgz')),
    'missing is-odd/is-odd-1.1.0.tgz',
  ],
  [
    'a tarball that Verdaccio has fetched is cut off',
    'verdaccio',
    (at) => truncateSync(join(at, 'is-odd/is-odd-1.1.0.tgz'), 20),
    'hash is-odd/is-odd-1.1.0.tgz',
  ],
  [
    'a document is missing that Verdaccio lists',
    'verdaccio',
    (at) => rmSync(join(at, 'mine-plain/package.json')),
    'missing mine-plain/package.json',
  ],
  [
    'a document of Verdaccio is cut off',
    'verdaccio',
    (at) => truncateSync(join(at, 'mine-plain/package.json'), 500),
    'malformed mine-plain/package.json',
  ],
  [
    'a bit is flipped in the key of the versions',
    'verdaccio',
    (at) =>
      edit(join(at, 'mine-plain/package.json'), (text) => text.replace('"versions"', '"vershons"')),
    'malformed mine-plain/package.json',
  ],
  [
    'a bit is flipped in the key of the name',
    'files',
    (at) => edit(join(at, 'alpha/index.json'), (text) => text.replace('"name"', '"nbme"')),
    'malformed alpha/index.json',
  ],
  [
    'the list of Verdaccio is cut off',
    'verdaccio',
    (at) => truncateSync(join(at, '.verdaccio-db.json'), 30),
    'malformed .verdaccio-db.json',
  ],
])('it is found that %s', async ([, original, damage, finding]) => {
  const tree = treeOf(original);
  await damage(tree);
  expect(wrong(await check(tree))).toEqual([finding]);
});

test('a registry of documents alone, whose tarballs are elsewhere, is right', async () => {
  const tree = treeOf('files');
  for (const name of ['alpha', 'beta']) rmSync(join(tree, name, '-'), { recursive: true });
  expect(await check(tree)).toMatchObject({ isRight: true, files: 0 });
});

test('a document keeps no endless list of its tarballs', async () => {
  const tree = treeOf('verdaccio');
  const path = join(tree, 'mine-plain', 'package.json');
  const document = JSON.parse(readFileSync(path, 'utf8'));
  const names = Array.from({ length: 100_000 }, (_, at) => [`mine-plain-${at}.tgz`, {}]);
  writeFileSync(path, JSON.stringify({ ...document, _attachments: Object.fromEntries(names) }));
  expect((await check(tree)).findings).toMatchObject([
    { kind: 'malformed', found: 'it has more than 1 MiB of names in _attachments' },
  ]);
});

test('tarballs of which none has come yet are missing', async () => {
  const tree = treeOf('files');
  for (const name of ['alpha', 'beta']) rmSync(join(tree, name, '-', `${name}-1.0.0.tgz`));
  expect(wrong(await check(tree))).toEqual([`missing ${tarball}`, 'missing beta/-/beta-1.0.0.tgz']);
});

test('tarballs are found by the paths of their URLs', async () => {
  const tree = treeOf('files');
  mkdirSync(join(tree, 'npm'));
  for (const name of readdirSync(tree).filter((one) => one !== 'npm')) {
    mkdirSync(join(tree, 'npm', name));
    renameSync(join(tree, name, '-'), join(tree, 'npm', name, '-'));
  }
  expect(await check(tree)).toMatchObject({ isRight: true, files: 2 });
  rmSync(join(tree, 'npm', tarball));
  expect(wrong(await check(tree))).toEqual([`missing npm/${tarball}`]);
});

test('a URL that leads out of the tree names nothing there', async () => {
  const tree = treeOf('files');
  edit(join(tree, 'alpha/index.json'), (text) =>
    text.replace(/http:[^"]*/, '/..%2f..%2f..%2f..%2fetc/passwd'),
  );
  expect(wrong(await check(tree))).toEqual(['missing alpha/-/passwd']);
});

test('what a sync leaves out is not missing, and what its source lacks is', async () => {
  const source = treeOf('verdaccio');
  const root = join(source, '../mirror');
  const rules = ['--check', 'auto', '--allow-shrink', '--', '--exclude=scoped-1.0.0.tgz'];
  expect(await runForJson(['sync', source, root, ...rules])).toMatchObject({
    outcome: 'published',
  });
  rmSync(join(source, 'mine-plain/mine-plain-1.0.0.tgz'));
  const sync = ['sync', root, '--allow-shrink', '--retries', '0', '--check', 'auto'];
  const result = await runProgram(sync);
  expectFailure(result, 65, /mine-plain-1.0.0.tgz is missing \(mine-plain\/package.json/);
  expect(result.stderr).not.toMatch(/scoped/);
});

test('a registry that has lost all of its tarballs is not published', async () => {
  const source = treeOf('files');
  const root = join(source, '../mirror');
  await runForJson(['sync', source, root, '--check', 'auto']);
  for (const name of ['alpha', 'beta']) rmSync(join(source, name, '-'), { recursive: true });
  const sync = ['sync', root, '--allow-shrink', '--retries', '0', '--check', 'auto'];
  expectFailure(await runProgram(sync), 65, /2 findings|beta-1\.0\.0\.tgz is missing/);
});
