import fc from 'fast-check';
import { expect, test } from 'vitest';
import { columnWidths } from '../../../src/cli/column-widths.ts';

test('columns are as wide as their widest cells where there is room', () => {
  const rows = [
    ['command', 'what it does'],
    ['sync', 'makes a new snapshot'],
  ];
  expect(columnWidths(rows, 80)).toEqual([7, 20]);
});

test('the widest column gives way first', () => {
  const rows = [
    ['command', 'what it does'],
    ['sync', 'makes a new snapshot'],
  ];
  expect(columnWidths(rows, 20)).toEqual([7, 13]);
});

const word = fc.stringMatching(/^[a-z]{1,9}$/);
const cell = fc.array(word, { maxLength: 6 }).map((words) => words.join(' '));
const table = fc
  .integer({ min: 1, max: 5 })
  .chain((columns) =>
    fc.array(fc.array(cell, { minLength: columns, maxLength: columns }), { minLength: 1 }),
  );

test('no word is cut and no room is exceeded, or else there are no widths', () => {
  fc.assert(
    fc.property(table, fc.integer({ min: 1, max: 120 }), (rows, room) => {
      const longest = (rows[0] ?? []).map((_, at) =>
        Math.max(
          1,
          ...rows.flatMap((row) => (row[at] ?? '').split(' ').map(({ length }) => length)),
        ),
      );
      const widths = columnWidths(rows, room);
      if (widths === undefined) return sum(longest) > room;
      return sum(widths) <= room && widths.every((width, at) => width >= (longest[at] ?? 0));
    }),
  );
});

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
