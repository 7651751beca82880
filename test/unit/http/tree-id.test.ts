import fc from 'fast-check';
import { expect, test } from 'vitest';
import { idOfTree, treeOfId } from '../../../src/http/tree-id.ts';

const ROOT = '/srv/site';

test.each([
  ['/srv/site/releases-2026.1_b', 'releases-2026.1_b'],
  ['/srv/site/releases/42', 'releases~42'],
  ['/srv/site/a~b+c%20', 'a+7Eb+2Bc+2520'],
  ['/srv/site/выпуск', '+D0+B2+D1+8B+D0+BF+D1+83+D1+81+D0+BA'],
  ['/srv/site.old/42', '~srv~site.old~42'],
  ['/srv/site', '~srv~site'],
])('The id of %s is %s', (tree, id) => {
  expect(idOfTree(ROOT, tree)).toBe(id);
});

test('An id names one tree, in characters that are safe everywhere', () => {
  const name = fc.oneof(
    fc.string({ unit: fc.constantFrom('a', '2', 'B', '~', '+', '%', ' ', '\n', 'é', '.') }),
    fc.string({ unit: 'grapheme' }),
  );
  const path = fc
    .array(
      name.filter((one) => !/^\.{0,2}$|[/\0]/.test(one)),
      { minLength: 1 },
    )
    .map((names) => names.join('/'));
  const tree = fc.oneof(
    path.map((below) => `${ROOT}/${below}`),
    path.map((elsewhere) => `/${elsewhere}`),
  );
  fc.assert(
    fc.property(tree, fc.integer({ min: 1, max: 99 }), (one, turn) => {
      const id = idOfTree(ROOT, one, turn);
      expect(id).toMatch(/^[\w.~+-]+$/);
      expect(treeOfId(ROOT, id)).toBe(one);
      if (turn > 1) expect(id.endsWith(`~~${turn}`)).toBe(true);
    }),
  );
});
