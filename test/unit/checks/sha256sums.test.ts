import { expect, test } from 'vitest';
import { parseLine } from '../../../src/checks/sha256sums.ts';

const HEX = 'ab'.repeat(32);
const sum = { algorithm: 'sha256', hex: HEX };

test.each([
  [`${HEX}  a file`, 'a file'],
  [`${HEX} *binary`, 'binary'],
  [`${HEX.toUpperCase()}  capital`, 'capital'],
  [`\\${HEX}  two\\nlines\\\\and a backslash`, 'two\nlines\\and a backslash'],
  [`${HEX}  not\\nescaped`, 'not\\nescaped'],
  [`SHA256 (image (1).iso) = ${HEX}`, 'image (1).iso'],
  [`${HEX}  made on Windows\r`, 'made on Windows'],
  // What else sha256sum(1) takes.
  [`SHA256(as openssl)= ${HEX}`, 'as openssl'],
  [`${HEX}\tafter a tab`, 'after a tab'],
  [`  ${HEX} one-space`, 'one-space'],
])('%j names %j', (line, path) => {
  expect(parseLine(line, 'SHA256SUMS')).toEqual({ path, sum });
});

test('a sum alone is that of the file that the list is named after', () => {
  expect(parseLine(HEX, 'images/disk.img.sha256')).toEqual({ path: 'disk.img', sum });
  expect(parseLine(HEX, 'images/SHA256SUMS')).toBeUndefined();
});

test.each(['', `${HEX}`, `${HEX.slice(1)}  short`, `${HEX}x  long`, 'words'])(
  '%j is no line of a list',
  (line) => {
    expect(parseLine(line, 'SHA256SUMS')).toBeUndefined();
  },
);
