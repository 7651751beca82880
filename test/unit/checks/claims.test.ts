import fc from 'fast-check';
import { expect, test } from 'vitest';
import { checksumOf, nameIn, parseClaim, showClaim } from '../../../src/checks/claims.ts';

test.each([
  ['.', 'pool/a.deb', 'pool/a.deb'],
  ['debian', './pool/a.deb', 'debian/pool/a.deb'],
  ['dists/stable', '../../pool/a.deb', 'pool/a.deb'],
  ['dists/stable', '../../../etc/passwd', undefined],
  ['.', '../x', undefined],
  ['.', '..', undefined],
  ['.', '/etc/passwd', undefined],
  ['a', '', undefined],
  ['a', '..', undefined],
  ['.', 'a\0b', undefined],
])('in %s, %j is %j', (directory, path, name) => {
  expect(nameIn(directory, path)).toBe(name);
});

test('whatever an index says, no name leads out of the tree', () => {
  const part = fc.constantFrom('..', '.', '', 'a', 'b ', '...', '~', '-');
  const path = fc.array(part, { maxLength: 8 }).map((parts) => parts.join('/'));
  fc.assert(
    fc.property(path, path, (directory, name) => {
      const parts = nameIn(directory.replace(/^\/+|(\.\.\/?)+/g, '') || '.', name)?.split('/');
      expect(parts ?? ['a']).not.toContain('..');
    }),
  );
});

test('a claim is read as it was written', () => {
  const by = fc.string({ unit: 'binary-ascii' });
  const size = fc.option(fc.nat(), { nil: undefined });
  const sum = fc.option(fc.constant(checksumOf('md5', 'ab'.repeat(16))), { nil: undefined });
  fc.assert(
    fc.property(size, sum, by, (size, sum, by) => {
      const claim = { size, sum, by };
      expect(parseClaim(showClaim(claim))).toEqual(claim);
    }),
  );
});

test('a checksum has the length that its name says', () => {
  expect(checksumOf('SHA256', 'ab'.repeat(20))).toBeUndefined();
  expect(checksumOf('sha', 'AB'.repeat(20))).toEqual({ algorithm: 'sha1', hex: 'ab'.repeat(20) });
  expect(checksumOf('sha256', 'zz'.repeat(32))).toBeUndefined();
  expect(checksumOf('crc32', 'abcdabcd')).toBeUndefined();
});
