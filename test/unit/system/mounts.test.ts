import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isWithin, layersOf } from '../../../src/system/mounts.ts';

test('a path is inside a directory only by whole names', () => {
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

test('the directories of an overlay may have colons and backslashes in their names', () => {
  const mount = {
    ...{ id: '2', parent: '1', device: '0:9', root: '/', mountPoint: '/merged', source: 'overlay' },
    ...{ type: 'overlay', isReadOnly: false },
    options: ['rw', String.raw`lowerdir=/a\:b:/c\\d:relative`, 'upperdir=/e f', 'workdir=/w'],
  };
  expect(layersOf(mount)).toEqual({ written: ['/e f', '/w'], read: ['/a:b', String.raw`/c\d`] });
  expect(layersOf({ ...mount, type: 'ext4' })).toEqual({ written: [], read: [] });
});
