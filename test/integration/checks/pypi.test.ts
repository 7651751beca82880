import {
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { checkTree, runCheck, wrong } from '../../support/checked.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { flipBit } from '../../support/flip-bit.ts';
import { runForJson, runProgram } from '../../support/program.ts';
import {
  makeWheels,
  placeOfRelease,
  type Wheel,
  writeBandersnatch,
  writePip2pi,
  writeSimple503,
} from '../../support/repositories/simple-indexes.ts';
import { makeScratch, scratchDirectory } from '../../support/scratch.ts';

const scratch = makeScratch();
let alpha: Wheel;
let beta: Wheel;

beforeAll(async () => {
  [alpha, beta] = (await makeWheels(scratch.path)) as [Wheel, Wheel];
});

afterAll(() => scratch.remove());

const LAYOUTS = {
  bandersnatch: writeBandersnatch,
  pip2pi: writePip2pi,
  simple503: writeSimple503,
};

function treeOf(layout: keyof typeof LAYOUTS, below = '.'): string {
  const tree = join(scratchDirectory(), 'tree');
  const top = join(tree, below);
  mkdirSync(top, { recursive: true });
  LAYOUTS[layout](top, [alpha, beta]);
  return tree;
}

const check = (tree: string) => checkTree(tree, { kinds: ['pypi'], content: true });

test.for<[layout: keyof typeof LAYOUTS, files: number]>([
  ['bandersnatch', 4],
  ['pip2pi', 2],
  ['simple503', 4],
])('a whole tree of %s is right, wherever it lies', async ([layout, files]) => {
  for (const below of ['.', 'site/python']) {
    const checked = await check(treeOf(layout, below));
    expect(checked).toMatchObject({ isRight: true, notes: [], files });
    expect(checked.kinds).toEqual([{ kind: 'pypi', found: 1 }]);
  }
});

const page = 'simple/beta-more/index';

test.for<[what: string, damage: (tree: string) => unknown, findings: string[]]>([
  ['a missing release', (at) => rmSync(join(at, placeOfRelease(beta))), ['missing RELEASE']],
  [
    'a release that is cut off, by its size in JSON',
    (at) => truncateSync(join(at, placeOfRelease(beta)), 90),
    ['size RELEASE'],
  ],
  ['a flipped bit in a release', (at) => flipBit(join(at, placeOfRelease(beta))), ['hash RELEASE']],
  [
    'a release in the place of another',
    (at) =>
      writeFileSync(
        join(at, placeOfRelease(beta)),
        readFileSync(join(at, placeOfRelease(alpha))).subarray(0, readFileSync(beta.path).length),
      ),
    ['(hash|size) RELEASE'],
  ],
  [
    'missing metadata',
    (at) => rmSync(join(at, `${placeOfRelease(beta)}.metadata`)),
    ['missing RELEASE.metadata'],
  ],
  [
    'metadata that are cut off',
    (at) => truncateSync(join(at, `${placeOfRelease(beta)}.metadata`), 9),
    ['hash RELEASE.metadata'],
  ],
  [
    'a project without any page',
    (at) => rmSync(join(at, 'simple/beta-more'), { recursive: true }),
    ['missing simple/beta-more/index.html', 'missing simple/beta-more/index.v1_json'],
  ],
  [
    'a stale page in HTML beside a new one in JSON',
    (at) => {
      const html = readFileSync(join(at, `${page}.html`), 'utf8');
      writeFileSync(join(at, `${page}.html`), html.replaceAll('-1.0-', '-0.9-'));
    },
    ['missing .*beta_more-0.9-py3-none-any.whl', 'missing .*beta_more-0.9.*.metadata'],
  ],
  [
    'a stale page in JSON beside a new one in HTML',
    (at) => {
      const json = readFileSync(join(at, `${page}.v1_json`), 'utf8');
      writeFileSync(join(at, `${page}.v1_json`), json.replace(/"size":\d+/, '"size":7'));
    },
    ['size RELEASE'],
  ],
  [
    'a page in HTML that is cut off',
    (at) => truncateSync(join(at, `${page}.html`), 300),
    ['malformed simple/beta-more/index.html'],
  ],
  [
    'a page in HTML that is cut off before it says what it is',
    (at) => truncateSync(join(at, `${page}.html`), 40),
    ['malformed simple/beta-more/index.html'],
  ],
  [
    'an empty page in HTML',
    (at) => truncateSync(join(at, `${page}.html`), 0),
    ['malformed simple/beta-more/index.html'],
  ],
  [
    'a page full of zeros',
    (at) => writeFileSync(join(at, `${page}.html`), Buffer.alloc(600)),
    ['malformed simple/beta-more/index.html'],
  ],
  [
    'a page in JSON that is cut off',
    (at) => truncateSync(join(at, `${page}.v1_json`), 200),
    ['malformed simple/beta-more/index.v1_json'],
  ],
  [
    'a page that is no JSON',
    (at) => writeFileSync(join(at, `${page}.v1_json`), '<html>502 Bad Gateway</html>'),
    ['malformed simple/beta-more/index.v1_json'],
  ],
  [
    'JSON that is no page',
    (at) => writeFileSync(join(at, `${page}.v1_json`), '{"error":"not found"}'),
    ['malformed simple/beta-more/index.v1_json'],
  ],
  [
    'a list of projects that is cut off',
    (at) => truncateSync(join(at, 'simple/index.html'), 190),
    ['malformed simple/index.html'],
  ],
  [
    'a project that leads out of the tree',
    (at) =>
      writeFileSync(
        join(at, 'simple/index.v1_json'),
        '{"meta":{"api-version":"1.0"},"projects":[{"name":"../../../etc"}]}',
      ),
    ['malformed simple/index.v1_json'],
  ],
  [
    'a symlink out of the tree',
    (at) => {
      const release = join(at, placeOfRelease(beta));
      renameSync(release, join(at, '../moved'));
      symlinkSync(join(at, '../moved'), release);
    },
    ['not-regular RELEASE'],
  ],
])('%s is found', async ([, damage, findings]) => {
  const tree = treeOf('bandersnatch');
  await damage(tree);
  const found = wrong(await check(tree));
  expect(found).toHaveLength(findings.length);
  for (const [at, finding] of findings.entries())
    expect(found[at]).toMatch(
      new RegExp(`^${finding.replace('RELEASE', placeOfRelease(beta).replaceAll('.', '\\.'))}$`),
    );
});

test.for<[layout: keyof typeof LAYOUTS, damage: (tree: string) => unknown, finding: string]>([
  ['pip2pi', (at) => rmSync(join(at, 'simple/alpha', alpha.file)), 'missing simple/alpha/alpha-'],
  ['pip2pi', (at) => rmSync(join(at, 'simple/alpha/index.html')), 'missing simple/alpha/index'],
  [
    'pip2pi',
    (at) => truncateSync(join(at, 'simple/alpha/index.html'), 50),
    'malformed simple/alpha/index',
  ],
  ['simple503', (at) => rmSync(join(at, 'alpha', alpha.file)), 'missing alpha/alpha-'],
  ['simple503', (at) => flipBit(join(at, 'alpha', alpha.file)), 'hash alpha/alpha-'],
  ['simple503', (at) => rmSync(join(at, 'alpha/index.html')), 'missing alpha/index.html'],
  [
    'simple503',
    (at) => truncateSync(join(at, 'alpha/index.html'), 0),
    'malformed alpha/index.html',
  ],
])('in a tree of %s damage is found, too: %#', async ([layout, damage, finding]) => {
  const tree = treeOf(layout);
  await damage(tree);
  const found = wrong(await check(tree));
  expect(found).toHaveLength(1);
  expect(found[0]?.slice(0, finding.length)).toBe(finding);
});

/** One page of the project `six`, which names one file in the directory beside. */
function pageOf(text: string, file = 'files/six-1.0.tar.gz', name = 'six/index.html'): string {
  const tree = join(scratchDirectory(), 'tree');
  for (const [path, content] of [
    [`simple/${name}`, text],
    [file, 'content'],
  ] as const) {
    mkdirSync(join(tree, dirname(path)), { recursive: true });
    writeFileSync(Buffer.from(join(tree, path), 'latin1'), Buffer.from(content, 'latin1'));
  }
  return tree;
}

const SUM = 'ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73';
const MD5 = '9a0364b9e99bb480dd25e1f0284c8555';

test.for<[what: string, text: string, file?: string]>([
  [
    'upper case and single quotes',
    `<A CLASS=x HREF='../../files/six-1.0.tar.gz#sha256=${SUM}'>x</A>`,
  ],
  ['no quotes', `<a href=../../files/six-1.0.tar.gz#md5=${MD5}>x</a>`],
  [
    'a line break within a tag',
    `<a\n  rel="x>y"\n  href\n=\n"../../files/six-1.0.tar.gz#sha256=${SUM}"\n>x</a>`,
  ],
  ['a base', `<base href="/files/"><a href="six-1.0.tar.gz#sha256=${SUM}">x</a>`],
  ['a query', `<a href="../../files/six-1.0.tar.gz?download=1#sha256=${SUM}">x</a>`],
  [
    'entities',
    `<a href="..&#x2f;..&#47;files/a&amp;six-1.0.tar.gz#sha256=${SUM}">x</a>`,
    'files/a&six-1.0.tar.gz',
  ],
  [
    'percent-encoding',
    `<a href="../../files/six%201%2b0.tar.gz#sha256=${SUM}">x</a>`,
    'files/six 1+0.tar.gz',
  ],
  [
    'bytes that are no UTF-8',
    `<a href="../../files/six-\xff.tar.gz#sha256=${SUM}">x</a>`,
    'files/six-\xff.tar.gz',
  ],
  [
    'a name with a line break',
    `<a href="../../files/six%0a1.tar.gz#sha256=${SUM}">x</a>`,
    'files/six\n1.tar.gz',
  ],
  ['no hash', '<a href="../../files/six-1.0.tar.gz">x</a>'],
])('a link with %s is followed', async ([, text, file = 'files/six-1.0.tar.gz']) => {
  const comment =
    '<!-- <a href="../../files/six-0.1.zip#sha256=00"> --><script>"<a href=six-2.zip>"</script>';
  const tree = pageOf(comment + text, file);
  expect(await check(tree)).toMatchObject({ isRight: true, files: 1, notes: [] });
  flipBit(Buffer.from(join(tree, file), 'latin1') as unknown as string);
  if (text.includes('=')) expect((await check(tree)).isRight).toBe(!text.includes('#'));
  rmSync(Buffer.from(join(tree, file), 'latin1'));
  expect((await check(tree)).findings).toMatchObject([{ kind: 'missing' }]);
});

test('what lies on another server, or beside the tree, is not missed', async () => {
  const links = [
    `https://example.org/files/six-1.0.tar.gz#sha256=${SUM}`,
    `../../../files/six-1.0.tar.gz#sha256=${SUM}`,
    `../../packages/six-1.0.tar.gz#sha256=${SUM}`,
    `/pool/six-1.0.tar.gz#sha256=${SUM}`,
    `file:///etc/six-1.0.tar.gz#sha256=${SUM}`,
  ].map((href) => `<a href="${href}">x</a>`);
  const checked = await check(pageOf(links.join('\n')));
  expect(checked).toMatchObject({ isRight: true, files: 0 });
  expect(checked.notes).toEqual([expect.stringMatching(/packages\/six.* to lie elsewhere/)]);
});

test('broken pages beside the projects of an index are none of it', async () => {
  const tree = treeOf('simple503');
  mkdirSync(join(tree, 'docs'));
  writeFileSync(join(tree, 'docs/index.html'), '');
  writeFileSync(join(tree, 'docs/index.json'), '{');
  expect(await check(tree)).toMatchObject({ isRight: true, files: 4 });
});

test('other pages of a site, however they are made, are no index', async () => {
  const tree = join(scratchDirectory(), 'tree');
  const pages = {
    'index.html': '<html><a href="simple/">x</a><a href="missing-1.0.tar.gz">download</a>',
    'simple/index.html': '<a href="themes/">x</a>',
    'simple/themes/index.html': '<a href="dark-1.0.zip">x</a><a href="other',
    'empty/index.html': '',
    'api/index.json': '{"files": [{"url": "missing"}], "meta": {"version": 1}}',
    'api/broken/index.json': '{"files": ',
    'source/package.json': '{"name": "source", "version": "1.0.0", "files": ["dist"]}',
    'source/broken/package.json': '{"name": ',
    'source/list/package.json': '["name", "versions"]',
  };
  for (const [path, text] of Object.entries(pages)) {
    mkdirSync(join(tree, dirname(path)), { recursive: true });
    writeFileSync(join(tree, path), text);
  }
  expect(await runCheck(tree)).toMatchObject({ isRight: true, kinds: [], notes: [] });
});

test('several indexes in one tree, and one of bandersnatch by initials, are all found', async () => {
  const tree = treeOf('bandersnatch');
  LAYOUTS.pip2pi(join(tree, 'own'), [alpha]);
  for (const project of ['alpha', 'beta-more']) {
    const initial = join(tree, 'simple', project.slice(0, 1));
    mkdirSync(initial);
    renameSync(join(tree, 'simple', project), join(initial, project));
    for (const name of ['index.html', 'index.v1_html', 'index.v1_json']) {
      const path = join(initial, project, name);
      writeFileSync(path, readFileSync(path, 'utf8').replaceAll('../../', '../../../'));
    }
  }
  const checked = await runCheck(tree, '--check-content');
  expect(checked).toMatchObject({ isRight: true, notes: [], files: 5 });
  expect(checked.kinds).toEqual([{ kind: 'pypi', found: 2 }]);
  rmSync(join(tree, 'own/simple/alpha', alpha.file));
  rmSync(join(tree, 'simple/b'), { recursive: true });
  expect(wrong(await runCheck(tree))).toHaveLength(3);
});

test('what a sync leaves out is not missing, and what its source lacks is', async () => {
  const source = treeOf('bandersnatch');
  const root = join(source, '../mirror');
  const rules = ['--check', 'auto', '--allow-shrink', '--', '--exclude=/simple/beta-more'];
  expect(
    await runForJson(['sync', source, root, ...rules, `--exclude=${basename(alpha.file)}`]),
  ).toMatchObject({ outcome: 'published' });
  rmSync(join(source, `${placeOfRelease(alpha)}.metadata`));
  const result = await runProgram([
    'sync',
    root,
    '--allow-shrink',
    '--retries',
    '0',
    '--check',
    'auto',
  ]);
  expectFailure(result, 65, /alpha-1.0-py3-none-any.whl.metadata is missing \(simple\/alpha/);
  expect(result.stderr).not.toMatch(/beta/);
});

test('of the sizes that only one form of an index has, a rule of rsync leaves out what it would', async () => {
  const source = treeOf('bandersnatch');
  const root = join(source, '../mirror');
  rmSync(join(source, placeOfRelease(alpha)));
  const words = ['sync', source, root, '--check', 'auto', '--retries', '0', '--'];
  const small = await runProgram([...words, '--max-size=1m']);
  expectFailure(small, 65, /alpha-1\.0-py3-none-any\.whl is missing/);
  expect((await runProgram([...words, '--max-size=20'])).exitCode).toBe(0);
});

test('a page with a tag that does not end, and JSON that nests for ever, need no memory', async () => {
  const tree = treeOf('bandersnatch');
  writeFileSync(join(tree, 'simple/alpha/index.v1_html'), `<a href="${'x'.repeat(3e6)}`);
  writeFileSync(join(tree, 'simple/alpha/index.v1_json'), '[{"a":'.repeat(1e6));
  writeFileSync(join(tree, 'simple/beta-more/index.v1_json'), `{"name":"${'x'.repeat(9e6)}"}`);
  expect((await check(tree)).findings.map(({ found }) => found).sort()).toEqual([
    'it has a tag of more than 1 MiB',
    'it has a value of more than 4 MiB',
    'it is nested in more than 100 levels',
  ]);
});
