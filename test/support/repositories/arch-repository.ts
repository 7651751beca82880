import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import type { Generation, Package } from './generation.ts';
import type { Repository } from './repository.ts';

/** The version with the release number of the package. */
function fullVersion({ version }: Generation): string {
  return `${version}-1`;
}

/** A database with the hashes of the packages, as `repo-add` makes it, which needs bsdtar. */
export const archRepository: Repository = {
  name: 'arch',
  programs: ['tar'],
  async make(directory, generation, work) {
    const database = join(work, 'database');
    const version = fullVersion(generation);
    await Promise.all(
      generation.packages.map(async (one) => {
        const file = `${one.name}-${version}-any.pkg.tar`;
        await buildPackage(join(directory, file), one, generation, join(work, one.name));
        const entry = join(database, `${one.name}-${version}`);
        mkdirSync(entry, { recursive: true });
        writeFileSync(
          join(entry, 'desc'),
          description(one, generation, file, readFileSync(join(directory, file))),
        );
      }),
    );
    const entries = generation.packages.map(({ name }) => `${name}-${version}`);
    await execa('tar', ['-C', database, '-cf', join(directory, 'parts.db'), ...entries]);
  },
};

async function buildPackage(
  path: string,
  { name, content }: Package,
  generation: Generation,
  tree: string,
): Promise<void> {
  mkdirSync(join(tree, 'usr/share', name), { recursive: true });
  writeFileSync(join(tree, 'usr/share', name, 'generation'), content);
  writeFileSync(
    join(tree, '.PKGINFO'),
    `pkgname = ${name}
pkgver = ${fullVersion(generation)}
pkgdesc = a package of ${generation.mark}
packager = nobody
size = ${content.length}
arch = any
`,
  );
  await execa('tar', ['-C', tree, '-cf', path, '.PKGINFO', 'usr']);
}

function description(
  { name, content }: Package,
  generation: Generation,
  file: string,
  archive: Buffer,
): string {
  return Object.entries({
    FILENAME: file,
    NAME: name,
    VERSION: fullVersion(generation),
    DESC: `a package of ${generation.mark}`,
    CSIZE: archive.length,
    ISIZE: content.length,
    SHA256SUM: createHash('sha256').update(archive).digest('hex'),
    ARCH: 'any',
  })
    .map(([key, value]) => `%${key}%\n${value}\n\n`)
    .join('');
}
