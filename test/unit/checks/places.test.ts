import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Places } from '../../../src/checks/places.ts';

function placesOf(names: readonly string[], most: number): Record<string, number> {
  const places = new Places();
  for (const name of names) places.add(name);
  const found = places.within(most);
  return Object.fromEntries(found.map(({ directory, count }) => [directory, count]));
}

test('findings are counted by their directories', () => {
  expect(placesOf(['top', 'a/b/1', 'a/b/2', 'a/3'], 10)).toEqual({ '.': 1, 'a/b': 2, a: 1 });
});

test('those in many directories are counted near the top', () => {
  const names = Array.from({ length: 40 }, (_, at) => `pool/main/${at}/x.deb`);
  expect(placesOf([...names, 'dists/Release'], 5)).toEqual({ 'pool/main': 40, dists: 1 });
});

test('none is lost, and there are never more directories than wanted', () => {
  const name = fc.array(fc.constantFrom('a', 'b', 'c', 'd'), { minLength: 1, maxLength: 7 });
  fc.assert(
    fc.property(
      fc.array(name, { maxLength: 2000, size: 'max' }),
      fc.integer({ min: 1, max: 9 }),
      (all, most) => {
        const counts = Object.values(
          placesOf(
            all.map((parts) => parts.join('/')),
            most,
          ),
        );
        expect(counts.length).toBeLessThanOrEqual(most);
        expect(counts.reduce((sum, count) => sum + count, 0)).toBe(all.length);
      },
    ),
    { numRuns: 30 },
  );
});
