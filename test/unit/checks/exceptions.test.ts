import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { describeExcepted, Exceptions } from '../../../src/checks/exceptions.ts';
import { isNamePattern } from '../../../src/mirror/settings/name-pattern.ts';

const excepts = (pattern: string, name: string) => new Exceptions([pattern]).excepts(name, 'hash');

describe('a pattern', () => {
  test.each([
    ['a name', 'a.deb', 'pool/main/a.deb', true],
    ['another name', 'a.deb', 'pool/main/ba.deb', false],
    ['a wildcard in a name', '*.deb', 'pool/main/a.deb', true],
    ['a wildcard of one character', '?.deb', 'pool/aa.deb', false],
    ['from the top', '/a.deb', 'pool/a.deb', false],
    ['from the top, for there is a slash', 'main/a.deb', 'pool/main/a.deb', false],
    ['a directory', 'pool/old', 'pool/old/b/a.deb', true],
    ['a directory in any place', 'old/', 'pool/old/a.deb', true],
    ['only a directory', 'pool/old/', 'pool/old', false],
    ['a star that stops at a slash', 'pool/*/a.deb', 'pool/b/c/a.deb', false],
    ['two stars that do not', 'pool/**/a.deb', 'pool/b/c/a.deb', true],
    ['two stars for no directory', 'pool/**/a.deb', 'pool/a.deb', true],
    ['two stars at the end', 'pool/**', 'pool/b/c', true],
    ['two stars at the end, and the directory', 'pool/**', 'pool', false],
    ['a class', 'a[0-9].deb', 'a7.deb', true],
    ['a class of others', 'a[!0-9].deb', 'a7.deb', false],
    ['no class of a slash', 'pool[!a]x', 'pool/x', false],
    ['a range that runs backwards', '[z-a]', 'b', false],
    ['a class with a bracket in it', 'a[]x].deb', 'a].deb', true],
    ['a class of a kind', 'a[[:digit:]].deb', 'a7.deb', true],
    ['another case', 'A.deb', 'a.deb', false],
    ['an escaped space at the end', 'a\\ ', 'a ', true],
    ['an escaped wildcard', '\\*.deb', 'a.deb', false],
    ['an escaped wildcard as it is', '\\*.deb', '*.deb', true],
    ['a dot as it is', 'a.b', 'axb', false],
    ['a name with a line break', 'pool/*', 'pool/a\nb', true],
    ['the bytes of UTF-8', 'é*', 'Ã©tat', true],
  ])('%s: %s, %j', (_, pattern, name, isExcepted) => {
    expect(excepts(pattern, name)).toBe(isExcepted);
  });

  test('is never taken for another expression', () => {
    const plain = fc
      .string({ minLength: 1 })
      .filter((text) => !/[*?[\\/]/.test(text) && isNamePattern(text));
    fc.assert(
      fc.property(plain, plain, (one, other) => {
        const name = Buffer.from(other).toString('latin1');
        expect(excepts(one, name)).toBe(one === other);
        expect(excepts(one, Buffer.from(one).toString('latin1'))).toBe(true);
      }),
    );
  });
});

test.each([
  ['dists/stable/InRelease', true],
  ['/dists/stable/InRelease', true],
  ['InRelease', false],
  ['**', false],
  ['dists/', false],
  ['dists/*/InRelease', false],
])('a signature is excepted by the full name of its file alone: %s', (pattern, isExcepted) => {
  const exceptions = new Exceptions([pattern]);
  expect(exceptions.excepts('dists/stable/InRelease', 'signature')).toBe(isExcepted);
  expect(exceptions.excepts('dists/stable/InRelease', 'expired')).toBe(true);
});

test('a command, and a kind that is not there, are never excepted', () => {
  const exceptions = new Exceptions(['**', '.', '*']);
  expect(exceptions.excepts('false', 'command')).toBe(false);
  expect(exceptions.excepts('.', 'missing')).toBe(false);
});

test('a name may have more directories than any path', () => {
  const name = `${'a/'.repeat(1_000_000)}b`;
  expect(excepts('a/', name)).toBe(true);
  expect(excepts('c', name)).toBe(false);
});

test('each pattern that matches counts, and one that does not says so', () => {
  const exceptions = new Exceptions(['pool/**', 'a.deb', 'gone']);
  exceptions.excepts('pool/a.deb', 'hash');
  exceptions.excepts('pool/b.deb', 'missing');
  expect(exceptions.used.map(describeExcepted)).toEqual([
    'check-except pool/**: 2 findings refuse nothing',
    'check-except a.deb: 1 finding refuses nothing',
    'check-except gone: nothing that is wrong has such a name; if it was not mistyped, it can go',
  ]);
});
