import fc from 'fast-check';
import { expect, test } from 'vitest';
import { inTurns } from '../../../src/cli/in-turns.ts';

test('all items are done, no more than so many at once, and never two of one group', async () => {
  const item = fc.record({
    group: fc.option(fc.constantFrom('a', 'b', 'c'), { nil: undefined }),
    ticks: fc.nat(5),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(item, { maxLength: 12 }),
      fc.integer({ min: 1, max: 4 }),
      async (items, atOnce) => {
        const busy: (string | undefined)[] = [];
        const results = await inTurns(
          items,
          { atOnce, groupOf: ({ group }) => group },
          async (one) => {
            expect(busy.length).toBeLessThan(atOnce);
            if (one.group !== undefined) expect(busy).not.toContain(one.group);
            busy.push(one.group);
            for (let tick = 0; tick < one.ticks; tick += 1) await Promise.resolve();
            busy.splice(busy.indexOf(one.group), 1);
            return one;
          },
        );
        expect(results).toEqual(items);
      },
    ),
  );
});
