import fc from 'fast-check';
import { expect, test } from 'vitest';
import { foldable, runsOf } from '../../../../src/mirror/sums/fold-records.ts';

const sizes = (...all: number[]) => all.map((size) => ({ size }));

test('a record is folded with those below it as soon as they are at most twice as large', () => {
  expect(foldable(sizes(1))).toEqual([]);
  expect(foldable(sizes(1, 1))).toEqual(sizes(1, 1));
  expect(foldable(sizes(1, 3))).toEqual([]);
  expect(foldable(sizes(1, 3, 8, 900))).toEqual(sizes(1, 3, 8));
});

test('a run stays short, and each byte is written again seldom, however many records are added', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 1000 }), { maxLength: 300 }), (added) => {
      let run: { size: number }[] = [];
      let written = 0;
      let total = 0;
      for (const size of added) {
        run = [{ size }, ...run];
        total += size;
        const folded = foldable(run);
        if (folded.length === 0) continue;
        const sum = folded.reduce((so, one) => so + one.size, 0);
        written += sum;
        run = [{ size: sum }, ...run.slice(folded.length)];
      }
      const steps = Math.log(total + 1) / Math.log(1.5);
      expect(run.length).toBeLessThanOrEqual(Math.ceil(Math.log(total + 1) / Math.log(3)) + 1);
      expect(written).toBeLessThanOrEqual(total * (steps + 1));
    }),
  );
});

test('a run ends above a record that is wanted, or on which two lean', () => {
  const record = (name: string, base: string | null) => ({ name, base });
  const records = [
    record('e', 'd'),
    record('d', 'c'),
    record('c', 'b'),
    record('b', 'a'),
    record('a', null),
  ];
  const names = (ends: string) =>
    runsOf(records, ({ name }) => ends.includes(name)).map((run) =>
      run.map(({ name }) => name).join(''),
    );
  expect(names('e')).toEqual(['edcba']);
  expect(names('eb')).toEqual(['edc', 'ba']);
  expect(names('edcba')).toEqual(['e', 'd', 'c', 'b', 'a']);
});
