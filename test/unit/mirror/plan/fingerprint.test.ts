import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Fingerprint } from '../../../../src/mirror/plan/fingerprint.ts';
import type { Entry } from '../../../../src/rsync/itemize.ts';

const entry: fc.Arbitrary<Entry> = fc.record({
  change: fc.constantFrom('new', 'changed', 'attributes'),
  type: fc.constantFrom('file', 'directory', 'symlink', 'device', 'special'),
  name: fc.string({ minLength: 1, maxLength: 8 }),
  size: fc.nat(),
  modified: fc.constantFrom('2026/11/22-10:00:00', '2026/11/22-10:00:01'),
});

function of(entries: readonly Entry[]): Fingerprint {
  const sum = new Fingerprint();
  for (const one of entries) sum.add(one);
  return sum;
}

test('the order of the entries does not matter', () => {
  const shuffled = fc
    .array(entry)
    .chain((entries) =>
      fc.tuple(fc.constant(entries), fc.shuffledSubarray(entries, { minLength: entries.length })),
    );
  fc.assert(
    fc.property(shuffled, ([one, other]) => {
      expect(of(one).equals(of(other))).toBe(true);
    }),
  );
});

test('an additional or repeated entry, or another size, time, name or change, makes a difference', () => {
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 10 }), entry, (entries, one) => {
      const sum = of([...entries, one]);
      for (const others of [
        entries,
        [...entries, one, one],
        [...entries, { ...one, size: one.size + 1 }],
        [...entries, { ...one, name: `${one.name}x` }],
        [...entries, { ...one, modified: 'later' }],
        [...entries, { ...one, change: 'deleted' as const }],
      ])
        expect(sum.equals(of(others))).toBe(false);
    }),
  );
});
