import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';

const KB = 1000;
const MB = KB * KB;

/** Of so many packages one is big. */
const BIG_EVERY = 199;

/** What the lists of an archive say of a package. */
interface Package {
  readonly name: string;
  readonly version: number;
  /** Relative to the top of the archive. */
  readonly path: string;
  /** bytes */
  readonly size: number;
  readonly md5: string;
  readonly sha256: string;
}

/** In what form an archive lists its packages. */
export interface ArchiveFormat {
  /** The end of the names of its packages. */
  readonly end: string;
  /** What its list says of a package, as long as in archives of this kind. */
  entry(one: Package): string;
  /** The files that list them, relative to its top. */
  lists(entries: readonly string[]): Promise<Readonly<Record<string, string | Buffer>>>;
}

/**
 * An archive of packages of 4 to 40 kB, and some of 2 MB. Their content is random bytes: a check compares only
 * sizes and checksums.
 */
export class PackageArchive {
  readonly root: string;
  readonly #format: ArchiveFormat;
  readonly #packages: Package[] = [];
  readonly #content = randomBytes(4 * MB);
  #lists: string[] = [];

  constructor(root: string, format: ArchiveFormat) {
    this.root = root;
    this.#format = format;
  }

  /** Of all packages, relative to its top. */
  get packages(): string[] {
    return this.#packages.map(({ path }) => path);
  }

  /** Relative to its top. */
  get lists(): readonly string[] {
    return this.#lists;
  }

  async make(count: number, signal: AbortSignal): Promise<void> {
    for (let number = 0; number < count; number += 1) {
      this.#packages.push(this.#write(number, 1));
      if (number % 100 === 0) await setImmediate(undefined, { signal });
    }
    await this.#writeLists();
  }

  /** Replaces one package of `share` by its next version. @returns the new ones, relative to its top. */
  async update(share: number, round: number): Promise<string[]> {
    const changed: string[] = [];
    for (let number = round % share; number < this.#packages.length; number += share) {
      const before = this.#packages[number];
      if (before === undefined) continue;
      const now = this.#write(number, before.version + 1);
      rmSync(join(this.root, before.path));
      this.#packages[number] = now;
      changed.push(now.path);
    }
    await this.#writeLists();
    return changed;
  }

  #write(number: number, version: number): Package {
    const spread = (number * 7919 + version * 104_729) % (36 * KB);
    const size = number % BIG_EVERY === 0 ? 2 * MB : 4 * KB + spread;
    const name = `package${String(number).padStart(6, '0')}`;
    const directory = `pool/main/${String(number % 100).padStart(2, '0')}/${name}`;
    const path = `${directory}/${name}_${version}.0-1${this.#format.end}`;
    const content = Buffer.from(this.#content.subarray(spread, spread + size));
    content.write(`${name} ${version}`);
    mkdirSync(join(this.root, directory), { recursive: true });
    writeFileSync(join(this.root, path), content);
    const md5 = hashOf('md5', content);
    const sha256 = hashOf('sha256', content);
    return { name, version, path, size, md5, sha256 };
  }

  async #writeLists(): Promise<void> {
    const lists = await this.#format.lists(this.#packages.map(this.#format.entry));
    for (const path of this.#lists) rmSync(join(this.root, path));
    this.#lists = Object.keys(lists);
    for (const [path, content] of Object.entries(lists)) {
      mkdirSync(dirname(join(this.root, path)), { recursive: true });
      writeFileSync(join(this.root, path), content);
    }
  }
}

const WORDS = 'a description as long as that of many a package in such a list';

/** As apt-ftparchive(1) writes them. */
export const APT: ArchiveFormat = {
  end: '_amd64.deb',
  entry: ({ name, version, path, size, md5, sha256 }) =>
    [
      `Package: ${name}`,
      `Version: ${version}.0-1`,
      'Installed-Size: 1204',
      'Maintainer: Debian Maintainers <maintainers@example.org>',
      'Architecture: amd64',
      'Depends: libc6 (>= 2.34), libgcc-s1 (>= 3.0), libstdc++6 (>= 11), zlib1g (>= 1:1.2.0)',
      `Recommends: ${name}-doc, ${name}-data`,
      `Description: ${WORDS}`,
      'Homepage: https://www.example.org/',
      `Description-md5: ${sha256.slice(0, 32)}`,
      'Tag: implemented-in::c, interface::commandline, role::program, scope::utility',
      'Section: utils',
      'Priority: optional',
      `Filename: ${path}`,
      `Size: ${size}`,
      `MD5sum: ${md5}`,
      `SHA256: ${sha256}`,
      '',
    ].join('\n'),
  async lists(entries) {
    const directory = 'dists/stable';
    const plain = Buffer.from(entries.join('\n'));
    const packed = await promisify(gzip)(plain);
    const place = 'main/binary-amd64/Packages';
    const release = [
      'Origin: Bench',
      'Suite: stable',
      'Codename: stable',
      `Date: ${new Date().toUTCString()}`,
      'Architectures: amd64',
      'Components: main',
      'SHA256:',
      ...[[place, plain] as const, [`${place}.gz`, packed] as const].map(
        ([path, bytes]) => ` ${hashOf('sha256', bytes)} ${bytes.length} ${path}`,
      ),
    ];
    return {
      [`${directory}/${place}.gz`]: packed,
      [`${directory}/Release`]: `${release.join('\n')}\n`,
    };
  },
};

/** As createrepo_c(8) writes them. */
export const RPM_MD: ArchiveFormat = {
  end: '.x86_64.rpm',
  entry: ({ name, version, path, size, sha256 }) => `<package type="rpm">
  <name>${name}</name>
  <arch>x86_64</arch>
  <version epoch="0" ver="${version}.0" rel="1"/>
  <checksum type="sha256" pkgid="YES">${sha256}</checksum>
  <summary>${WORDS}</summary>
  <description>${WORDS}
${WORDS}</description>
  <packager>Maintainers &lt;maintainers@example.org&gt;</packager>
  <url>https://www.example.org/</url>
  <time file="1735689600" build="1735689600"/>
  <size package="${size}" installed="1204000" archive="1205000"/>
  <location href="${path}"/>
  <format>
    <rpm:license>GPL-2.0-or-later</rpm:license>
    <rpm:vendor>Bench</rpm:vendor>
    <rpm:group>Unspecified</rpm:group>
    <rpm:buildhost>build.example.org</rpm:buildhost>
    <rpm:sourcerpm>${name}-${version}.0-1.src.rpm</rpm:sourcerpm>
    <rpm:header-range start="4504" end="12345"/>
    <rpm:provides>
      <rpm:entry name="${name}" flags="EQ" epoch="0" ver="${version}.0" rel="1"/>
      <rpm:entry name="${name}(x86-64)" flags="EQ" epoch="0" ver="${version}.0" rel="1"/>
    </rpm:provides>
    <rpm:requires>
      <rpm:entry name="libc.so.6(GLIBC_2.34)(64bit)"/>
      <rpm:entry name="rtld(GNU_HASH)"/>
    </rpm:requires>
    <file>/usr/bin/${name}</file>
  </format>
</package>
`,
  async lists(entries) {
    const plain = Buffer.from(
      `<?xml version="1.0" encoding="UTF-8"?>\n<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="${entries.length}">\n${entries.join('')}</metadata>\n`,
    );
    const packed = await promisify(gzip)(plain);
    const primary = `repodata/${hashOf('sha256', packed)}-primary.xml.gz`;
    const repomd = `<?xml version="1.0" encoding="UTF-8"?>
<repomd xmlns="http://linux.duke.edu/metadata/repo" xmlns:rpm="http://linux.duke.edu/metadata/rpm">
  <revision>${Math.floor(Date.now() / 1000)}</revision>
  <data type="primary">
    <checksum type="sha256">${hashOf('sha256', packed)}</checksum>
    <open-checksum type="sha256">${hashOf('sha256', plain)}</open-checksum>
    <location href="${primary}"/>
    <timestamp>${Math.floor(Date.now() / 1000)}</timestamp>
    <size>${packed.length}</size>
    <open-size>${plain.length}</open-size>
  </data>
</repomd>
`;
    return { [primary]: packed, 'repodata/repomd.xml': repomd };
  },
};

function hashOf(algorithm: 'md5' | 'sha256', bytes: Buffer): string {
  return createHash(algorithm).update(bytes).digest('hex');
}
