import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import type { Generation, Package } from './generation.ts';
import type { Repository } from './repository.ts';

/** The path of the mirror in every URL: a packument holds the absolute URLs of its tarballs. */
export const mirrorPath = '/mirror/current';

/** A registry of files: `NAME/index.json` is the packument, with the hash of its tarball. */
export const npmRegistry: Repository = {
  name: 'npm',
  programs: ['tar'],
  async make(directory, generation, work) {
    await Promise.all(
      generation.packages.map((one) =>
        addPackage(join(directory, one.name), one, generation, join(work, one.name)),
      ),
    );
  },
};

async function addPackage(
  directory: string,
  { name, content }: Package,
  generation: Generation,
  tree: string,
): Promise<void> {
  const version = `${generation.version}.0`;
  const manifest = { name, version, description: `a package of ${generation.mark}` };
  mkdirSync(join(tree, 'package'), { recursive: true });
  writeFileSync(join(tree, 'package/package.json'), JSON.stringify(manifest));
  writeFileSync(join(tree, 'package/generation'), content);
  const file = `${name}-${version}.tgz`;
  const tarball = join(directory, '-', file);
  mkdirSync(join(directory, '-'), { recursive: true });
  await execa('tar', ['-C', tree, '-czf', tarball, 'package']);
  const hash = createHash('sha512').update(readFileSync(tarball)).digest('base64');
  const packument = {
    name,
    'dist-tags': { latest: version },
    versions: {
      [version]: {
        ...manifest,
        dist: {
          // The client replaces the host by its registry's.
          tarball: `http://registry.invalid${mirrorPath}/npm/${name}/-/${file}`,
          integrity: `sha512-${hash}`,
        },
      },
    },
  };
  writeFileSync(join(directory, 'index.json'), JSON.stringify(packument));
}
