import fc from 'fast-check';
import { expect, test } from 'vitest';
import { tableLines, tableText } from '../../../src/cli/table.ts';

const GREEN = '\u001b[32m';
const PLAIN = '\u001b[39m';

const cell = fc
  .tuple(fc.stringMatching(/^[ -~]{0,12}$/), fc.boolean())
  .map(([text, isGreen]) => (isGreen && text !== '' ? `${GREEN}${text}${PLAIN}` : text));

const table = fc
  .integer({ min: 1, max: 5 })
  .chain((columns) =>
    fc.array(fc.array(cell, { minLength: columns, maxLength: columns }), { maxLength: 8 }),
  );

test('a table in ASCII has the lines that cli-table3 gives it', () => {
  fc.assert(
    fc.property(table, (rows) => {
      const head = (rows[0] ?? ['ID']).map((_, column) => `HEAD ${column}`);
      const expected = tableText(head, rows)
        .split('\n')
        .map((line) => line.trimEnd());
      expect(tableLines(head, rows)).toEqual(expected);
    }),
  );
});

test('a character of two columns moves none', () => {
  expect(tableLines(['ID', 'WHO'], [['日本', 'x']])).toEqual(['ID    WHO', '日本  x']);
});
