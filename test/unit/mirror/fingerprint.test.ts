import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Fingerprint } from '../../../src/mirror/fingerprint.ts';
import type { Entry } from '../../../src/rsync/itemize.ts';

const entry: fc.Arbitrary<Entry> = fc.record({
  change: fc.constantFrom('new', 'changed', 'attributes'),
  type: fc.constantFrom('file', 'symlink', 'device', 'special'),
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

test('an added or repeated entry, or another size, time or name, makes a difference', () => {
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 10 }), entry, (entries, one) => {
      const sum = of([...entries, one]);
      for (const others of [
        entries,
        [...entries, one, one],
        [...entries, { ...one, size: one.size + 1 }],
        [...entries, { ...one, name: `${one.name}x` }],
        [...entries, { ...one, modified: 'later' }],
      ])
        expect(sum.equals(of(others))).toBe(false);
    }),
  );
});

test('directories, deletions and the kind of change do not count', () => {
  fc.assert(
    fc.property(fc.array(entry), entry, (entries, one) => {
      const sum = of(entries);
      expect(
        sum.equals(of([...entries, { ...one, type: 'directory' }, { ...one, change: 'deleted' }])),
      ).toBe(true);
      expect(of([{ ...one, change: 'new' }]).equals(of([{ ...one, change: 'attributes' }]))).toBe(
        true,
      );
    }),
  );
});
