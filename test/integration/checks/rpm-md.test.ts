import { createHash } from 'node:crypto';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCheck, wrong } from '../../support/checked.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { flipBit } from '../../support/flip-bit.ts';
import { whyNotInstalled } from '../../support/installed.ts';
import { runForJson, runProgram } from '../../support/program.ts';
import { rpmRepository } from '../../support/repositories/rpm-repository.ts';
import { makeKey, type SigningKey } from '../../support/repositories/signed-archive.ts';
import { makeScratch, scratchDirectory } from '../../support/scratch.ts';

const scratch = makeScratch();
const original = join(scratch.path, 'repository');
let key: SigningKey;

const packages = ['alpha', 'beta'].map((name) => ({ name, content: `content of ${name}\n` }));

beforeAll(async () => {
  key = await makeKey(join(scratch.path, 'key'), 'repository');
  const work = join(scratch.path, 'work');
  for (const directory of [original, work]) mkdirSync(directory);
  const generation = { mark: 'generation-1', version: '1.0', hasOwnNames: false, packages };
  await rpmRepository.make(original, generation, work);
});

afterAll(() => scratch.remove());

/** A copy of the repository, with its lists as createrepo_c makes them with these options. */
async function repository(...options: string[]): Promise<string> {
  const directory = join(scratchDirectory(), 'tree/x86_64');
  mkdirSync(join(directory, '..'));
  await execa('cp', ['-a', original, directory]);
  if (options.length > 0)
    await execa('createrepo_c', ['--quiet', '--no-database', ...options, directory]);
  const words = ['--homedir', key.home, '--batch', '--yes', '--armor', '--detach-sign'];
  await execa('gpg', [...words, join(directory, 'repodata/repomd.xml')]);
  await execa('gpgconf', ['--homedir', key.home, '--kill', 'all']);
  return directory;
}

const check = (directory: string) =>
  runCheck(directory, '--check', 'rpm-md', '--check-content', '--check-keyring', key.armored);

test.for([
  ['--simple-md-filenames'],
  ['--unique-md-filenames'],
  ['--general-compress-type=xz'],
  ['--compress-type=bz2', '--checksum=sha512'],
])('a whole repository of createrepo_c %s is right', async (options) => {
  const directory = await repository(...options);
  const checked = await check(join(directory, '..'));
  expect(checked).toMatchObject({
    isRight: true,
    notes: [],
    kinds: [{ kind: 'rpm-md', found: 1 }],
  });
  expect(checked.files).toBe(packages.length + 3);
});

/** The list of that kind. */
function listIn(directory: string, kind: string): string {
  const name = readdirSync(join(directory, 'repodata')).find((one) => one.includes(`${kind}.xml`));
  return join(directory, 'repodata', name ?? '');
}

test.for<[what: string, damage: (directory: string) => unknown, findings: RegExp[]]>([
  [
    'a missing package',
    (at) => rmSync(join(at, 'beta-1.0.rpm')),
    [/^missing x86_64\/beta-1.0.rpm$/],
  ],
  [
    'a package that is cut off',
    (at) => truncateSync(join(at, 'beta-1.0.rpm'), 9),
    [/^size .*beta/],
  ],
  ['a flipped bit in a package', (at) => flipBit(join(at, 'beta-1.0.rpm')), [/^hash .*beta/]],
  ['a missing list', (at) => rmSync(listIn(at, 'filelists')), [/^missing .*filelists.xml/]],
  ['a flipped bit in a list', (at) => flipBit(listIn(at, 'other')), [/^hash .*other.xml/]],
  [
    'lists of another time',
    async (at) => {
      const before = readFileSync(listIn(at, 'primary'));
      rmSync(join(at, 'alpha-1.0.rpm'));
      await execa('createrepo_c', ['--quiet', '--no-database', '--simple-md-filenames', at]);
      writeFileSync(listIn(at, 'primary'), before);
      const words = ['--homedir', key.home, '--batch', '--yes', '--armor', '--detach-sign'];
      await execa('gpg', [...words, join(at, 'repodata/repomd.xml')]);
    },
    [/^missing .*alpha-1.0.rpm$/, /^(size|hash) .*primary.xml/],
  ],
  [
    'a repomd.xml that is cut off',
    (at) => truncateSync(join(at, 'repodata/repomd.xml'), 500),
    [/^malformed .*repomd.xml$/, /^signature .*repomd.xml$/],
  ],
  [
    'a repomd.xml that is empty',
    (at) => truncateSync(join(at, 'repodata/repomd.xml'), 0),
    [/^malformed .*repomd.xml$/],
  ],
  [
    'no repomd.xml',
    (at) => rmSync(join(at, 'repodata/repomd.xml')),
    [/^missing .*repodata\/repomd.xml$/],
  ],
  [
    'no signature',
    (at) => rmSync(join(at, 'repodata/repomd.xml.asc')),
    [/^signature .*repomd.xml$/],
  ],
])('%s is found', async ([, damage, findings]) => {
  const directory = await repository('--simple-md-filenames');
  await damage(directory);
  const found = wrong(await check(join(directory, '..')));
  for (const [at, finding] of findings.entries())
    expect(found[at] ?? '', found.join('\n')).toMatch(finding);
});

test.for<[what: string, damage: (list: string) => void, finding: string]>([
  ['a flipped bit', flipBit, 'hash'],
  ['a cut', (list) => truncateSync(list, 300), 'size'],
])(
  '%s in the list of packages is one finding, whatever its reader says',
  async ([, damage, finding]) => {
    const directory = await repository('--simple-md-filenames');
    damage(listIn(directory, 'primary'));
    expect(wrong(await check(join(directory, '..')))).toEqual([
      `${finding} x86_64/repodata/primary.xml.gz`,
    ]);
  },
);

/** A repository whose packages are named by a list of zchunk alone, as zck(1) writes it. */
async function zchunkRepository(): Promise<string> {
  const directory = await repository('--simple-md-filenames');
  const repodata = join(directory, 'repodata');
  const [plain, list] = [join(directory, '../../primary.xml'), join(repodata, 'primary.xml.zck')];
  writeFileSync(plain, gunzipSync(readFileSync(listIn(directory, 'primary'))));
  await execa('zck', ['-o', list, plain]);
  await execa('modifyrepo_c', ['--remove', 'primary', repodata]);
  // The createrepo_c of Debian 12 is made without zchunk.
  const hash = createHash('sha256').update(readFileSync(list)).digest('hex');
  const data = `<data type="primary_zck"><checksum type="sha256">${hash}</checksum>
<location href="repodata/primary.xml.zck"/><size>${statSync(list).size}</size></data>\n</repomd>`;
  const index = join(repodata, 'repomd.xml');
  writeFileSync(index, readFileSync(index, 'utf8').replace('</repomd>', data));
  return directory;
}

const whyNoZchunk = whyNotInstalled('zck', 'unzck');

test.for<[what: string, damage: (directory: string) => unknown, findings: RegExp[]]>([
  ['nothing', () => {}, []],
  ['a missing package', (at) => rmSync(join(at, 'beta-1.0.rpm')), [/^missing .*beta-1.0.rpm$/]],
  [
    'a list that is cut off',
    (at) => truncateSync(listIn(at, 'primary'), 300),
    [/^size .*primary.xml.zck$/],
  ],
])(
  `in a list of zchunk alone, %s is found${whyNoZchunk}`,
  async ([, damage, findings], { skip }) => {
    if (whyNoZchunk !== '') skip();
    const directory = await zchunkRepository();
    await damage(directory);
    const checked = await runCheck(join(directory, '..'), '--check', 'rpm-md', '--check-content');
    const found = wrong(checked);
    expect(found, found.join('\n')).toHaveLength(findings.length);
    for (const [at, finding] of findings.entries()) expect(found[at]).toMatch(finding);
    expect(checked.notes.join()).not.toMatch(/zchunk/);
  },
);

test(`without unzck, a list of zchunk alone is not read, and a note says so${whyNoZchunk}`, async ({
  skip,
}) => {
  if (whyNoZchunk !== '') skip();
  const directory = await zchunkRepository();
  rmSync(join(directory, 'beta-1.0.rpm'));
  const programs = join(directory, '../../programs');
  mkdirSync(programs);
  for (const name of ['sh', 'sort', 'find']) {
    const { stdout } = await execa('sh', ['-c', `command -v ${name}`]);
    symlinkSync(stdout, join(programs, name));
  }
  const words = ['check', join(directory, '..'), '--check', 'rpm-md', '--json'];
  const result = await runProgram(words, { env: { PATH: programs } });
  expect(result.json()).toMatchObject({
    isRight: true,
    notes: expect.arrayContaining([expect.stringMatching(/zchunk alone, .*: unzck is not inst/)]),
  });
});

test.each(['comps.xml', 'comps.xml.gz'])('a missing list of groups is found: %s', async (name) => {
  const groups = join(scratchDirectory(), 'comps.xml');
  writeFileSync(groups, '<?xml version="1.0"?>\n<comps><group><id>core</id></group></comps>\n');
  const directory = await repository('--simple-md-filenames', `--groupfile=${groups}`);
  expect(await check(join(directory, '..'))).toMatchObject({ isRight: true, files: 7 });
  rmSync(join(directory, 'repodata', name));
  expect(wrong(await check(join(directory, '..')))).toEqual([`missing x86_64/repodata/${name}`]);
});

test('what a sync leaves out is not missing, and what its source lacks is', async () => {
  const source = await repository('--simple-md-filenames');
  const root = join(source, '../../mirror');
  const rules = [
    '--check',
    'auto',
    '--allow-shrink',
    '--',
    '--exclude=alpha*',
    '--exclude=other.xml*',
  ];
  expect(await runForJson(['sync', source, root, ...rules])).toMatchObject({
    outcome: 'published',
  });
  rmSync(join(source, 'beta-1.0.rpm'));
  const sync = ['sync', root, '--check', 'auto', '--allow-shrink', '--retries', '0'];
  const result = await runProgram(sync);
  expectFailure(result, 65, /: beta-1.0.rpm is missing \(repodata\/primary.xml/);
  expect(result.stderr).not.toMatch(/alpha/);
});

test('a list whose first package never ends is not read to its end', async () => {
  const directory = scratchDirectory();
  const list = gzipSync(`<metadata>\n<package>\n${'<file>/x</file>\n'.repeat(1_000_000)}`);
  mkdirSync(join(directory, 'repodata'));
  writeFileSync(join(directory, 'repodata/primary.xml.gz'), list);
  const sum = `<checksum type="sha256">${createHash('sha256').update(list).digest('hex')}</checksum>`;
  const place = `<location href="repodata/primary.xml.gz"/><size>${list.length}</size>`;
  writeFileSync(
    join(directory, 'repodata/repomd.xml'),
    `<repomd><data type="primary">${sum}${place}</data></repomd>\n`,
  );
  const found = 'it has a package of more than 8 MiB';
  expect((await check(directory)).findings).toContainEqual(
    expect.objectContaining({ kind: 'malformed', found }),
  );
});

test('a repomd.xml of tags that never end holds no check up', async () => {
  const directory = await repository();
  writeFileSync(
    join(directory, 'repodata/repomd.xml'),
    `<repomd>${'<data '.repeat(1_000_000)}</repomd>`,
  );
  expect(wrong(await check(directory))).toContain('malformed repodata/repomd.xml');
});
