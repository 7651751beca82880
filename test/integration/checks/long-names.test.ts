import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { runCheck } from '../../support/checked.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { runProgram } from '../../support/program.ts';
import { npmRegistry } from '../../support/repositories/npm-registry.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { smallMirror } from '../../support/small-mirror.ts';

/** Names that no entry can have: a part of one has at most 255 bytes, and a path 4095. */
const LONG = {
  'a name of 256 bytes': 'x'.repeat(256),
  'a path of 4096 bytes': 'x/'.repeat(2048).slice(0, -1).concat('x'),
};

const SUM = 'a'.repeat(64);

/** Writes a repository of one kind, which names that file. */
const WRITERS: Readonly<Record<string, (tree: string, name: string) => unknown>> = {
  sha256sums: (tree, name) => write(tree, 'SHA256SUMS', `${SUM}  ${name}\n`),
  pypi: (tree, name) =>
    write(tree, 'simple/one/index.html', `<a href="${name}-1.0.tar.gz#sha256=${SUM}">x</a>`),
  'rpm-md': async (tree, name) => {
    const location = `<location href="${name}"/>`;
    const packages = `<package type="rpm">${location}<size package="1"/></package>`;
    write(tree, 'repodata/primary.xml', `<metadata>${packages}</metadata>\n`);
    const { stdout } = await execa('sha256sum', [join(tree, 'repodata/primary.xml')]);
    const list = `<checksum type="sha256">${stdout.slice(0, 64)}</checksum><location href="repodata/primary.xml"/>`;
    write(tree, 'repodata/repomd.xml', `<repomd><data type="primary">${list}</data></repomd>\n`);
  },
  npm: async (tree, name) => {
    const packages = [{ name: 'alpha', content: '' }];
    const generation = { mark: '', version: '1.0', hasOwnNames: false, packages };
    await npmRegistry.make(tree, generation, join(tree, '../work'));
    const dist = (file: string) => ({ dist: { tarball: `https://example.org/alpha/-/${file}` } });
    const versions = {
      '1.0.0': dist('alpha-1.0.0.tgz'),
      '2.0.0': dist(`${name.replaceAll('/', '-')}.tgz`),
    };
    write(tree, 'alpha/index.json', JSON.stringify({ name: 'alpha', versions }));
  },
  apt: (tree, name) => makeArchive(tree, name, '1'),
};

async function makeArchive(tree: string, name: string, size: string): Promise<void> {
  write(tree, 'Packages', `Package: one\nFilename: ${name}\nSize: ${size}\nSHA256: ${SUM}\n\n`);
  const { stdout } = await execa('apt-ftparchive', ['release', '.'], { cwd: tree });
  write(tree, 'Release', stdout);
}

function write(tree: string, name: string, text: string): void {
  mkdirSync(join(tree, dirname(name)), { recursive: true });
  writeFileSync(join(tree, name), text);
}

test.each(
  Object.keys(WRITERS).flatMap((kind) => Object.keys(LONG).map((what) => [kind, what] as const)),
)('for %s, a file with %s is missing', async (kind, what) => {
  const tree = join(scratchDirectory(), 'tree');
  await WRITERS[kind]?.(tree, LONG[what as keyof typeof LONG]);
  const { findings } = await runCheck(tree, '--check', kind);
  expect(findings).toMatchObject([{ kind: 'missing', expected: 'a file' }]);
  expect(findings[0]?.name.length).toBeGreaterThan(255);
});

test('a link to what cannot be there is missing', async () => {
  const tree = join(scratchDirectory(), 'tree');
  write(tree, 'SHA256SUMS', `${SUM}  image\n`);
  symlinkSync(LONG['a name of 256 bytes'], join(tree, 'image'));
  const { findings } = await runCheck(tree, '--check', 'sha256sums');
  expect(findings).toMatchObject([{ kind: 'missing', name: 'image' }]);
});

test('a file of a size that none can have is missing', async () => {
  const { source, root } = smallMirror();
  await makeArchive(source, 'pool/one.deb', '9'.repeat(20));
  const words = ['sync', source, root, '--check', 'apt', '--retries', '0'];
  expectFailure(await runProgram(words), 65, /pool\/one\.deb is missing/);
});
