import fc from 'fast-check';
import { expect, test } from 'vitest';
import { VersionSearch } from '../../../src/mirror/versions.ts';

test('the next older version of a package is found first, and never another package', () => {
  const cases: readonly (readonly [string, readonly string[], ...string[]])[] = [
    [
      'foo_1.10-1_amd64.deb',
      ['foo_1.9-1_amd64.deb', 'foo_1.2-1_amd64.deb', 'foo_1.11-1_amd64.deb'],
    ],
    ['foo_1.2-3ubuntu4_amd64.deb', ['foo_1.2-3_amd64.deb'], 'foo_1.2-3_arm64.deb'],
    ['libc6_2.36-9+deb12u4_amd64.deb', ['libc6_2.36-9_amd64.deb'], 'libc6-dev_2.36-9_amd64.deb'],
    ['foo-1.2-3.fc40.x86_64.rpm', ['foo-1.2-2.fc39.x86_64.rpm'], 'foo-1.2-2.fc39.i686.rpm'],
    ['foo-1.2-3.el9_4.noarch.rpm', ['foo-1.2-3.el9.noarch.rpm'], 'foo-devel-1.2-3.el9.noarch.rpm'],
    ['pkg-1.1-py3-none-any.whl', ['pkg-1.0-py3-none-any.whl'], 'pkg-1.0-py2-none-any.whl'],
    [
      'pkg-1.1-cp312-cp312-manylinux_2_17_x86_64.whl',
      ['pkg-1.0-cp312-cp312-manylinux_2_17_x86_64.whl'],
      'pkg-1.0-cp311-cp311-manylinux_2_17_x86_64.whl',
    ],
    ['linux-6.2.tar.xz', ['linux-6.1.9.tar.xz', 'linux-6.1.tar.xz'], 'linux-6.1.tar.gz'],
    [
      'zstd-1.5.6-1-x86_64.pkg.tar.zst',
      ['zstd-1.5.5-1-x86_64.pkg.tar.zst'],
      'zstd-1.5.5-1.tar.zst',
    ],
    ['foo-1.3-r0.apk', ['foo-1.2-r5.apk'], 'foo-doc-1.2-r5.apk'],
    [
      'debian-12.5.0-amd64-netinst.iso',
      ['debian-12.4.0-amd64-netinst.iso'],
      'debian-12.4.0-amd64-DVD-1.iso',
    ],
    ['archlinux-2024.02.01-x86_64.iso', ['archlinux-2024.01.01-x86_64.iso']],
    [
      'linux-image-6.1.0-18-amd64_6.1.76-1_amd64.deb',
      ['linux-image-6.1.0-18-amd64_6.1.75-1_amd64.deb'],
      'linux-image-6.1.0-17-amd64_6.1.69-1_amd64.deb',
      'linux-image-6.1.0-17-arm64_6.1.69-1_amd64.deb',
    ],
    [
      'linux-image-6.1.0-18-amd64_6.1.76-1_amd64.deb',
      ['linux-image-6.1.0-17-amd64_6.1.69-1_amd64.deb'],
    ],
    ['pkg_1.1.orig.tar.xz', ['pkg_1.0.orig.tar.xz'], 'pkg_1.0-1.debian.tar.xz'],
    ['Foo-Bar-v1.3.tar.gz', ['Foo-Bar-v1.2.tar.gz'], 'Foo-Baz-v1.2.tar.gz'],
    ['snapshot-20240102.tar.bz2', ['snapshot-20240101.tar.bz2']],
    ['\xe9-1.1.bin', ['\xe9-1.0.bin'], '\xe8-1.0.bin'],
  ];
  for (const [name, expected, ...others] of cases) {
    for (const olds of [[...expected, ...others], [...others, ...expected].reverse()]) {
      const search = new VersionSearch([name]);
      for (const old of olds) search.add(old);
      expect(search.versionsOf(name)).toEqual(expected);
    }
  }
});

test('a name without a version, and one with a hash, has no other versions', () => {
  for (const [name, old] of [
    ['Packages.xz', 'Packages.gz'],
    ['9e107d9d372bb6826bd81d3542a419d6', 'e4d909c290d0fb1ca068ffaddf22cbd0'],
    [
      '9e107d9d372bb6826bd81d3542a419d6-primary.xml.gz',
      'e4d909c290d0fb1ca068ffaddf22cbd0-primary.xml.gz',
    ],
    ['amd64.img', 'arm64.img'],
  ] as const) {
    const search = new VersionSearch([name]);
    search.add(old);
    expect(search.versionsOf(name)).toEqual([]);
  }
});

test('files that are numbered through are no versions of each other', () => {
  const numbered = (at: number) => `photo-${String(at).padStart(4, '0')}.jpg`;
  const versioned = (at: number, version: string) => `package-${at}_${version}_all.deb`;
  const search = new VersionSearch([numbered(9000), versioned(7, '1.1')]);
  for (let at = 0; at < 100; at += 1) {
    search.add(numbered(at));
    search.add(versioned(at, '1.0'));
  }
  expect(search.versionsOf(numbered(9000))).toEqual([]);
  expect(search.versionsOf(versioned(7, '1.1'))).toEqual([versioned(7, '1.0')]);
});

test('what is found for a name does not depend on what else is looked for', () => {
  const part = fc.constantFrom('a', '-', '_', '.', '1', '02', '10', 'x86_64', '\xff');
  const name = fc.array(part, { minLength: 1, maxLength: 6 }).map((parts) => parts.join(''));
  const names = fc.array(name, { minLength: 1, maxLength: 60 });
  fc.assert(
    fc.property(names, names, (wanted, olds) => {
      const together = new VersionSearch(wanted);
      for (const old of olds) together.add(old);
      for (const one of wanted) {
        const alone = new VersionSearch([one]);
        for (const old of olds) alone.add(old);
        expect(together.versionsOf(one)).toEqual(alone.versionsOf(one));
      }
    }),
  );
});

test('whatever the names, only names that were added are found, each once, and never the same one', () => {
  const part = fc.constantFrom(
    'a',
    'foo',
    '-',
    '_',
    '.',
    '1',
    '02',
    '10',
    '+',
    '~',
    'x86_64',
    '\xff',
    'rc',
  );
  const name = fc.array(part, { minLength: 1, maxLength: 8 }).map((parts) => parts.join(''));
  fc.assert(
    fc.property(fc.uniqueArray(name, { minLength: 2, maxLength: 40 }), fc.nat(39), (names, at) => {
      const wanted = names[at % names.length] ?? '';
      const search = new VersionSearch([wanted]);
      for (const old of names) search.add(old);
      const found = search.versionsOf(wanted);
      expect(new Set(found).size).toBe(found.length);
      expect(names.filter((old) => old !== wanted)).toEqual(expect.arrayContaining(found));
    }),
  );
});
