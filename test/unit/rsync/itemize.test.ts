import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ENTRY_MARK } from '../../../src/rsync/arguments.ts';
import { parseEntry, parseLeftOut } from '../../../src/rsync/itemize.ts';

test('other messages of rsync are not entries', () => {
  const lines = [
    '',
    'sending incremental file list',
    'created directory /x',
    ENTRY_MARK,
    `${ENTRY_MARK}>f+++++++++|x|y`,
    '@|>f+++++++++|1|2026/11/22-10:00:00|the mark of another run',
    '>f+++++++++ name',
    'Number of files: 3 (reg: 1, dir: 2)',
    '     32,768 100%',
  ];
  expect(lines.map(parseEntry)).toEqual(lines.map(() => undefined));
  expect(lines.map(parseLeftOut)).toEqual(lines.map(() => undefined));
});

test('random lines never throw', () => {
  fc.assert(fc.property(fc.string(), (text) => void parseEntry(`${ENTRY_MARK}${text}`)));
});

test('all that an ambiguous name may be is given', () => {
  expect(parseLeftOut('ignoring unsafe symlink "a" -> "b" -> "c"')).toMatchObject({
    names: ['a', 'a" -> "b'],
  });
});
