import { expect, test } from 'vitest';
import { guardOf } from '../../../src/reader/guard.ts';
import { checkShimName, shimText } from '../../../src/reader/shims.ts';
import { isShim } from '../../../src/system/own-program.ts';

test('a shim is recognized by its first two lines, and nothing else is one', () => {
  const guard = guardOf({
    roots: ['/srv/mirror'],
    reader: 'executable',
    program: 'mirrorlatch',
  });
  const text = shimText('peruse', guard, 'fail', '/srv/reader.sh');
  expect(isShim(text)).toBe(true);
  for (const other of [
    '',
    '#!/bin/sh\n',
    text.slice(1),
    text.replace('mirrorlatch', 'other'),
    `\n${text}`,
  ]) {
    expect(isShim(other)).toBe(false);
  }
});

test('names that a shim cannot have are refused', () => {
  const refused = [
    ...['', '.', '..', '-x', '--', '/usr/bin/apt-get', 'a/b', 'a\nb', 'a\0b', '\u001b[2J', 'a\n'],
    ...['\ufffd', 'x'.repeat(201), 'é'.repeat(101)],
  ];
  for (const command of refused) {
    expect(() => checkShimName(command), JSON.stringify(command)).toThrow(
      expect.objectContaining({ code: 'USAGE' }),
    );
  }
  for (const command of ['apt-get', 'g++', '7z', '[', 'a b', '.hidden', 'é', '$x', 'a-', '+x']) {
    expect(() => checkShimName(command)).not.toThrow();
  }
});
