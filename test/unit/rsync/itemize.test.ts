import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseEntry } from '../../../src/rsync/itemize.ts';

test('what rsync says besides entries is none', () => {
  const lines = [
    '',
    'sending incremental file list',
    'created directory /x',
    '@|',
    '@|>f+++++++++|x|y',
    '>f+++++++++ name',
    'Number of files: 3 (reg: 1, dir: 2)',
    '     32,768 100%',
  ];
  expect(lines.map(parseEntry)).toEqual(lines.map(() => undefined));
});

test('random lines never throw', () => {
  fc.assert(fc.property(fc.string(), (text) => void parseEntry(`@|${text}`)));
});
