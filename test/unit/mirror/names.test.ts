import fc from 'fast-check';
import { expect, test } from 'vitest';
import { printable, printableLines, readableName } from '../../../src/mirror/names.ts';
import { utf8 } from '../../support/byte-path.ts';

const bytes = fc
  .uint8Array({ minLength: 1, maxLength: 30 })
  .map((name) => Buffer.from(name).toString('latin1'));

test('UTF-8 is printed unchanged', () => {
  expect(readableName(utf8('dir/ünïcode ✓'))).toEqual({ name: 'dir/ünïcode ✓' });
});

test('control characters and invalid UTF-8 are escaped, and the exact bytes are given as well', () => {
  expect(readableName('a\n\x1b[31m')).toEqual({ name: 'a\\x0a\\x1b[31m', bytes: '610a1b5b33316d' });
  expect(readableName('\xff')).toEqual({ name: '\\xff', bytes: 'ff' });
});

test('any bytes can be recovered, and no control character is printed', () => {
  fc.assert(
    fc.property(bytes, (name) => {
      const shown = readableName(name);
      const back =
        shown.bytes === undefined
          ? Buffer.from(shown.name, 'utf8')
          : Buffer.from(shown.bytes, 'hex');
      expect(back.toString('latin1')).toBe(name);
      expect(shown.name).not.toMatch(/\p{Cc}/u);
    }),
  );
});

test.each([
  ['rsync', 'rsync'],
  ['naïve 名前 👩‍🚀', 'naïve 名前 👩‍🚀'],
  ['a\nfake line', 'a\\x0afake line'],
  ['\u001b[2J\u0007', '\\x1b[2J\\x07'],
  ['\u009b31m', '\\x9b31m'],
  ['gpj\u202eexe', 'gpj\\u202eexe'],
  ['a\u2028b', 'a\\u2028b'],
])('%j is printed as %j', (text, shown) => expect(printable(text)).toBe(shown));

test('of text with several lines, the lines stay, and no colour', () => {
  expect(printableLines('a\n\t\u001b[8mb')).toBe('a\n\t\\x1b[8mb');
  expect(printableLines('\u001b[2Ja\u001b]0;title\u0007\r')).toBe(
    '\\x1b[2Ja\\x1b]0;title\\x07\\x0d',
  );
});
