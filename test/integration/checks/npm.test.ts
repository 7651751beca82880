import { createHash } from 'node:crypto';
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
  await writeVerdaccio(originals.verdaccio, join(scratch.path, 'sources'));
});

afterAll(() => scratch.remove());

/**
 * What Verdaccio 6 keeps of two packages that were published to it, and of one of npm's registry of which it was asked for
 * one version. Its tarballs are made by `npm pack`.
 */
async function writeVerdaccio(storage: string, sources: string): Promise<void> {
  const own = ['@mine/scoped', 'mine-plain'];
  for (const name of [...own, 'is-odd']) {
    const directory = join(storage, name);
    mkdirSync(directory, { recursive: true });
    const versions: Record<string, unknown> = {};
    const attachments: Record<string, unknown> = {};
    const distfiles: Record<string, unknown> = {};
    const base = name.replace(/^.*\//, '');
    for (const version of ['1.0.0', '1.1.0']) {
      const source = join(sources, `${base}-${version}`);
      mkdirSync(source, { recursive: true });
      writeFileSync(join(source, 'package.json'), JSON.stringify({ name, version }));
      writeFileSync(join(source, 'index.js'), `module.exports = '${version}';\n`);
      const pack = ['pack', '--json', '--pack-destination', sources, source];
      const { stdout } = await execa('npm', pack, {
        env: { npm_config_cache: `${sources}-cache` },
      });
      const [packed] = Object.values(JSON.parse(stdout) as object) as { filename: string }[];
      const tarball = readFileSync(join(sources, packed?.filename ?? ''));
      const file = `${base}-${version}.tgz`;
      const hash = (algorithm: string) => createHash(algorithm).update(tarball);
      const shasum = hash('sha1').digest('hex');
      const url = `https://registry.invalid/${name}/-/${file}`;
      const integrity = `sha512-${hash('sha512').digest('base64')}`;
      versions[version] = { name, version, dist: { integrity, shasum, tarball: url } };
      const isOwn = own.includes(name);
      if (!isOwn) distfiles[file] = { url, sha: shasum, registry: 'npmjs' };
      if (!isOwn && version === '1.0.0') continue;
      attachments[file] = isOwn ? { shasum, version } : { shasum };
      writeFileSync(join(directory, file), tarball);
    }
    const document = {
      name,
      versions,
      time: {},
      users: {},
      'dist-tags': { latest: '1.1.0' },
      _uplinks: name === 'is-odd' ? { npmjs: { fetched: 1 } } : {},
      _distfiles: distfiles,
      _attachments: attachments,
      _rev: '6-c2ab533815e78d0d',
      _id: name,
      readme: 'ERROR: No README data found!',
    };
    writeFileSync(join(directory, 'package.json'), JSON.stringify(document, null, '\t'));
  }
  const list = { list: [...own, 'removed-by-hand'], secret: 'secret' };
  writeFileSync(join(storage, '.verdaccio-db.json'), JSON.stringify(list));
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
