import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import type { Generation, Package } from './generation.ts';
import type { Repository } from './repository.ts';

/** Release has the hash of Packages, and Packages those of the pool (apt-ftparchive(1)). */
export const debianRepository: Repository = {
  name: 'debian',
  programs: ['dpkg-deb', 'apt-ftparchive'],
  async make(directory, generation, work) {
    const { stdout: architecture } = await execa('dpkg', ['--print-architecture']);
    const index = join(directory, `dists/stable/main/binary-${architecture}`);
    mkdirSync(index, { recursive: true });
    mkdirSync(join(directory, 'pool'));
    await Promise.all(
      generation.packages.map((one) =>
        buildPackage(directory, one, generation, join(work, one.name)),
      ),
    );
    const { stdout } = await execa('apt-ftparchive', ['packages', 'pool'], { cwd: directory });
    writeFileSync(join(index, 'Packages'), `${stdout}\n`);
    await execa('gzip', ['--keep', join(index, 'Packages')]);
    const release = await execa(
      'apt-ftparchive',
      [
        ...[
          'Suite=stable',
          'Components=main',
          `Architectures=${architecture}`,
          `Description=${generation.mark}`,
          ...(generation.hasOwnNames ? ['Acquire-By-Hash=yes'] : []),
        ].flatMap((field) => ['-o', `APT::FTPArchive::Release::${field}`]),
        'release',
        'dists/stable',
      ],
      { cwd: directory },
    );
    writeFileSync(join(directory, 'dists/stable/Release'), `${release.stdout}\n`);
    if (generation.hasOwnNames) copyByHash(index, ['Packages', 'Packages.gz']);
  },
};

/** https://wiki.debian.org/DebianRepository/Format#indices_acquisition_via_hashsums_.28by-hash.29 */
function copyByHash(directory: string, names: readonly string[]): void {
  mkdirSync(join(directory, 'by-hash/SHA256'), { recursive: true });
  for (const name of names) {
    const file = join(directory, name);
    const hash = createHash('sha256').update(readFileSync(file)).digest('hex');
    copyFileSync(file, join(directory, 'by-hash/SHA256', hash));
  }
}

async function buildPackage(
  directory: string,
  { name, content }: Package,
  { mark, version }: Generation,
  tree: string,
): Promise<void> {
  mkdirSync(join(tree, 'DEBIAN'), { recursive: true });
  mkdirSync(join(tree, 'usr/share', name), { recursive: true });
  writeFileSync(
    join(tree, 'DEBIAN/control'),
    `Package: ${name}
Version: ${version}
Architecture: all
Maintainer: nobody <nobody@localhost>
Description: a package of ${mark}
`,
  );
  writeFileSync(join(tree, 'usr/share', name, 'generation'), content);
  const deb = join(directory, 'pool', `${name}_${version}_all.deb`);
  await execa('dpkg-deb', ['--root-owner-group', '-Znone', '--build', tree, deb]);
}
