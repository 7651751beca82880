import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isWithin } from '../../../src/system/mounts.ts';

test('a path is within a directory by whole names', () => {
  for (const [path, directory] of [
    ['/a', '/a'],
    ['/a/b', '/a'],
    ['/a', '/'],
    ['/', '/'],
  ] as const) {
    expect(isWithin(path, directory), path).toBe(true);
  }
  for (const [path, directory] of [
    ['/ab', '/a'],
    ['/', '/a'],
    ['/b/a', '/a'],
  ] as const) {
    expect(isWithin(path, directory), path).toBe(false);
  }
  const names = fc.array(fc.stringMatching(/^[ab.]{1,3}$/), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(names, names, (a, b) => {
      expect(isWithin(`/${[...a, ...b].join('/')}`, `/${a.join('/')}`)).toBe(true);
    }),
  );
});
