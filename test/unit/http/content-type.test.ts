import { expect, test } from 'vitest';
import { specialContentType } from '../../../src/http/files/content-type.ts';

test.each([
  'InRelease',
  'Release',
  'Packages',
  'SHA256SUMS',
  'README',
  '.treeinfo',
  'a.dsc',
  'x.repo',
])('A browser shows %s', (name) => {
  expect(specialContentType(name)).toBe('text/plain; charset=utf-8');
});

test.each(['Packages.xz', 'primary.xml.gz', 'vmlinuz', 'a.deb', 'Release.gpg', 'index.html', ''])(
  'The type of %j is what the table says',
  (name) => {
    expect(specialContentType(name)).toBeUndefined();
  },
);
