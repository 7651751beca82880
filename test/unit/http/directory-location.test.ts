import fc from 'fast-check';
import { expect, test } from 'vitest';
import { directoryLocation } from '../../../src/http/files/directory-location.ts';

test.each([
  ['/debian/current/pool', '/debian/current/pool/'],
  ['/debian/current/a%20b%2Bc', '/debian/current/a%20b%2Bc/'],
  ['//evil.example/x', '/evil.example/x/'],
  ['/\\evil.example', '/evil.example/'],
  ['/%5C/evil.example', '/evil.example/'],
  ['/a"b<c>\\d', '/a%22b%3Cc%3E%5Cd/'],
  ['/\xe9t\xe9', '/%E9t%E9/'],
])('%s leads to %s', (url, location) => {
  expect(directoryLocation(url)).toBe(location);
});

test('Whatever was asked for, the answer is a path on this host that a header may hold', () => {
  const url = fc.string({
    unit: fc.integer({ min: 0, max: 255 }).map((byte) => String.fromCharCode(byte)),
  });
  fc.assert(
    fc.property(url, (rest) => {
      const location = directoryLocation(`/${rest}`);
      expect(location).toMatch(/^\/(?![/\\])[\x21-\x7e]*$/);
      const base = 'http://mirror.example';
      expect(new URL(location, base).origin).toBe(base);
    }),
  );
});
