import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A package in the storage of a Verdaccio. */
export interface StoredPackage {
  readonly name: string;
  /** It was published there, and does not come from npm's registry. */
  readonly isOwn: boolean;
  readonly versions: readonly {
    readonly version: string;
    /** The path of a file. */
    readonly tarball: string;
    /** Somebody has asked for it. */
    readonly isKept: boolean;
  }[];
}

/** Writes what Verdaccio 6 keeps of some packages. Its list also names one that a person has removed. */
export function writeVerdaccio(storage: string, packages: readonly StoredPackage[]): void {
  for (const { name, isOwn, versions } of packages) {
    const directory = join(storage, name);
    mkdirSync(directory, { recursive: true });
    const all: Record<string, unknown> = {};
    const attachments: Record<string, unknown> = {};
    const distfiles: Record<string, unknown> = {};
    for (const { version, tarball, isKept } of versions) {
      const content = readFileSync(tarball);
      const file = `${name.replace(/^.*\//, '')}-${version}.tgz`;
      const hash = (algorithm: string) => createHash(algorithm).update(content);
      const shasum = hash('sha1').digest('hex');
      const url = `https://registry.invalid/${name}/-/${file}`;
      const integrity = `sha512-${hash('sha512').digest('base64')}`;
      all[version] = { name, version, dist: { integrity, shasum, tarball: url } };
      if (!isOwn) distfiles[file] = { url, sha: shasum, registry: 'npmjs' };
      if (!isKept) continue;
      attachments[file] = isOwn ? { shasum, version } : { shasum };
      writeFileSync(join(directory, file), content);
    }
    const document = {
      name,
      versions: all,
      time: {},
      users: {},
      'dist-tags': { latest: versions.at(-1)?.version },
      _uplinks: isOwn ? {} : { npmjs: { fetched: 1 } },
      _distfiles: distfiles,
      _attachments: attachments,
      _rev: '6-c2ab533815e78d0d',
      _id: name,
      readme: 'ERROR: No README data found!',
    };
    writeFileSync(join(directory, 'package.json'), JSON.stringify(document, null, '\t'));
  }
  const own = packages.filter(({ isOwn }) => isOwn).map(({ name }) => name);
  const list = { list: [...own, 'removed-by-hand'], secret: 'secret' };
  writeFileSync(join(storage, '.verdaccio-db.json'), JSON.stringify(list));
}
