import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCheck, wrong } from '../../support/checked.ts';
import { flipBit } from '../../support/flip-bit.ts';
import { runForJson } from '../../support/program.ts';
import {
  makeAlpineRepository,
  makeRsaKey,
  type RsaKey,
  writeIndex,
} from '../../support/repositories/alpine-repository.ts';
import { makeScratch, scratchDirectory } from '../../support/scratch.ts';

const scratch = makeScratch();
const original = join(scratch.path, 'x86_64');
let key: RsaKey;
let otherKey: RsaKey;

beforeAll(async () => {
  key = await makeRsaKey(scratch.path, 'repository');
  otherKey = await makeRsaKey(scratch.path, 'other');
  mkdirSync(original);
  await makeAlpineRepository(original, join(scratch.path, 'work'), key);
});

afterAll(() => scratch.remove());

/** The path of a copy of the repository, in a tree that is its parent. */
async function repository(): Promise<string> {
  const tree = join(scratchDirectory(), 'tree');
  mkdirSync(tree);
  await execa('cp', ['-a', original, tree]);
  return join(tree, 'x86_64');
}

/** Writes the index of a repository anew. */
const rewrite = (at: string, signedBy: RsaKey | undefined, edit = (index: string) => index) =>
  writeIndex(at, join(at, '../../work'), signedBy, { edit });

const check = (at: string, keyring = key.public) =>
  runCheck(join(at, '..'), '--check', 'alpine', '--check-content', '--check-keyring', keyring);

test('a whole repository is right, by each kind of signature', async () => {
  const at = await repository();
  const right = { isRight: true, files: 3, read: { files: 3 }, notes: [] };
  expect(await check(at)).toMatchObject({ ...right, kinds: [{ kind: 'alpine', found: 1 }] });
  await writeIndex(at, join(at, '../../work'), key, { type: 'RSA256' });
  const keys = join(at, '../../keys');
  writeFileSync(keys, `# Those that may sign\n${readFileSync(otherKey.public, 'utf8')}`);
  appendFileSync(keys, readFileSync(key.public));
  expect(await check(at, keys)).toMatchObject(right);
});

test.for<[what: string, damage: (at: string) => unknown, findings: RegExp[]]>([
  [
    'a missing package',
    (at) => rmSync(join(at, 'beta-1.0-r0.apk')),
    [/^missing x86_64\/beta-1\.0-r0\.apk$/],
  ],
  [
    'a package that is cut off',
    (at) => truncateSync(join(at, 'beta-1.0-r0.apk'), 99),
    [/^size .*beta/],
  ],
  ['a flipped bit in a package', (at) => flipBit(join(at, 'beta-1.0-r0.apk')), [/^hash .*beta/]],
  [
    'a flipped bit in the sum behind the signature of a package',
    (at) => {
      const path = join(at, 'beta-1.0-r0.apk');
      const content = readFileSync(path);
      const control = content.indexOf('1f8b0800000000000203', 1, 'hex');
      flipLater(path, content.length - control + 8);
    },
    [/^hash .*beta/],
  ],
  [
    'a flipped bit in the data of a package',
    (at) => flipLater(join(at, 'beta-1.0-r0.apk'), 30),
    [/^hash .*beta/],
  ],
  [
    'a package with the data of another',
    (at) => {
      const [alpha, beta] = ['alpha', 'beta'].map((one) => join(at, `${one}-1.0-r0.apk`));
      const [own, other] = [alpha, beta].map((path) => readFileSync(path ?? ''));
      if (own === undefined || other === undefined) throw new Error('no packages');
      // Both end with data of nearly the same length, of which the ends are alike.
      const mixed = Buffer.from(own);
      mixed.set(other.subarray(-60), own.length - 60);
      writeFileSync(alpha ?? '', mixed);
    },
    [/^hash .*alpha/],
  ],
  [
    'something else of the same size in the place of a package',
    (at) => writeFileSync(join(at, 'gamma-1.0-r0.apk'), filler(join(at, 'gamma-1.0-r0.apk'))),
    [/^hash .*gamma/],
  ],
  [
    'an index of another time',
    (at) => rewrite(at, key, (index) => index.replace('V:1.0-r0', 'V:0.9-r0')),
    [/^missing x86_64\/alpha-0\.9-r0\.apk$/],
  ],
  [
    'an index that is cut off',
    (at) => truncateSync(join(at, 'APKINDEX.tar.gz'), 600),
    [/^malformed .*APKINDEX/, /^signature .*APKINDEX/],
  ],
  [
    'an index that is empty',
    (at) => truncateSync(join(at, 'APKINDEX.tar.gz'), 0),
    [/^malformed .*APKINDEX/, /^signature .*APKINDEX/],
  ],
  [
    'an index that is no archive',
    (at) => writeFileSync(join(at, 'APKINDEX.tar.gz'), '<html>502 Bad Gateway</html>\n'),
    [/^malformed .*APKINDEX/],
  ],
  [
    'an index that is a symlink out of the tree',
    (at) => {
      rmSync(join(at, 'APKINDEX.tar.gz'));
      symlinkSync('/etc/passwd', join(at, 'APKINDEX.tar.gz'));
    },
    [/^not-regular .*APKINDEX/],
  ],
  [
    'an archive without an index',
    (at) => copyFileSync(join(at, 'alpha-1.0-r0.apk'), join(at, 'APKINDEX.tar.gz')),
    [/^malformed .*APKINDEX/, /^signature .*APKINDEX/],
  ],
  ['an index without a signature', (at) => rewrite(at, undefined), [/^signature .*APKINDEX/]],
  [
    'an index that another key has signed',
    (at) => rewrite(at, otherKey),
    [/^signature .*APKINDEX/],
  ],
  [
    'an index with the signature of another',
    async (at) => {
      const path = join(at, 'APKINDEX.tar.gz');
      const before = readFileSync(path);
      await rewrite(at, undefined, (index) => index.replace('a test', 'a taste'));
      const signature = before.subarray(0, before.indexOf('1f8b0800000000000203', 1, 'hex'));
      writeFileSync(path, Buffer.concat([signature, readFileSync(path)]));
    },
    [/^signature .*APKINDEX/],
  ],
  [
    'an index that names what lies elsewhere',
    (at) => rewrite(at, key, (index) => index.replace('P:alpha', 'P:../../etc/alpha')),
    [/^malformed .*APKINDEX/],
  ],
  [
    'an index that names nothing',
    (at) => rewrite(at, key, (index) => index.replace('P:alpha\n', '')),
    [/^malformed .*APKINDEX/],
  ],
  [
    'an index with a line that never ends',
    (at) => rewrite(at, key, () => `P:${'x'.repeat(5_000_000)}`),
    [/^malformed .*APKINDEX/],
  ],
])('%s is found', async ([, damage, findings]) => {
  const at = await repository();
  await damage(at);
  const found = wrong(await check(at));
  expect(found, found.join('\n')).toHaveLength(findings.length);
  for (const [place, finding] of findings.entries()) expect(found[place]).toMatch(finding);
});

/** Flips a bit so many bytes before the end. */
function flipLater(path: string, before: number): void {
  const content = readFileSync(path);
  content[content.length - before] = (content[content.length - before] ?? 0) ^ 1;
  writeFileSync(path, content);
}

function filler(path: string): string {
  return 'x'.repeat(readFileSync(path).length);
}

test('what is wrong within a package is not looked for unless asked', async () => {
  const at = await repository();
  flipBit(join(at, 'beta-1.0-r0.apk'));
  expect((await runCheck(join(at, '..'))).isRight).toBe(true);
});

test('what no index names is no finding, nor is a package in the directory of its architecture', async () => {
  const at = await repository();
  await rewrite(at, key, (index) =>
    index.replace(/A:x86_64(?=\nS:\d+\nI:1\nT:a test\n\n$)/, 'A:noarch'),
  );
  writeFileSync(join(at, 'old-0.1-r0.apk'), 'whatever');
  expect((await check(at)).isRight).toBe(true);
  mkdirSync(join(at, '../noarch'));
  copyFileSync(join(at, 'gamma-1.0-r0.apk'), join(at, '../noarch/gamma-1.0-r0.apk'));
  rmSync(join(at, 'gamma-1.0-r0.apk'));
  expect((await check(at)).isRight).toBe(true);
  flipBit(join(at, '../noarch/gamma-1.0-r0.apk'));
  expect(wrong(await check(at))).toEqual(['hash noarch/gamma-1.0-r0.apk']);
});

test('a keyring of OpenPGP has no keys for an index', async () => {
  const at = await repository();
  const keyring = join(at, '../../keyring.asc');
  writeFileSync(keyring, '-----BEGIN PGP PUBLIC KEY BLOCK-----\n');
  const { findings } = await check(at, keyring);
  expect(findings).toMatchObject([
    { kind: 'signature', found: 'no key in PEM form in the keyring' },
  ]);
});

test('an index of apk 3 is not read, and a person is told', async () => {
  const at = await repository();
  writeFileSync(join(at, 'APKINDEX.tar.gz'), 'ADBd and more');
  expect(await check(at)).toMatchObject({
    isRight: true,
    notes: ['x86_64/APKINDEX.tar.gz is an index of apk 3, which is not read'],
  });
});

test('what a sync leaves out is not missing, and only what has changed is read again', async () => {
  const at = await repository();
  const root = join(at, '../../mirror');
  const rules = ['--check', 'auto', '--check-content', '--allow-shrink'];
  const sync = (...words: string[]) =>
    runForJson(['sync', join(at, '..'), root, ...rules, '--retries', '0', ...words]);
  await sync('--', '--exclude=alpha*');
  expect(lastChecked(root)).toMatchObject({ kinds: ['alpine'], files: 2, findings: 0 });
  // As a disk that forgets: neither the size nor the time says so.
  const kept = join(root, 'current/x86_64/beta-1.0-r0.apk');
  flipBit(kept);
  await execa('touch', ['-r', join(at, 'beta-1.0-r0.apk'), kept]);
  writeFileSync(join(at, 'other'), 'new');
  expect(await sync()).toMatchObject({ outcome: 'published' });
  expect(wrong(await runCheck(root, '--check-content'))).toEqual(['hash x86_64/beta-1.0-r0.apk']);
});

function lastChecked(root: string): unknown {
  const lines = readFileSync(join(root, '.mirrorlatch/history.jsonl'), 'utf8').trim().split('\n');
  return (JSON.parse(lines.at(-1) ?? '') as { checked?: unknown }).checked;
}
