import { expect, test } from 'vitest';
import { aliasesFor, SHELLS as DIALECTS, withoutAliases } from '../../../src/reader/aliases.ts';
import { guardOf } from '../../../src/reader/guard.ts';

const inDebian = guardOf({
  roots: ['/srv/mirror/debian'],
  reader: 'executable',
  program: 'mirrorlatch',
});

test('the guard is a prefix of the command, for one mirror and for several', () => {
  const ofReader = {
    roots: ['/a', '/b'],
    reader: 'executable',
    program: '/bin/mirrorlatch',
  } as const;
  const words = (...given: Parameters<typeof guardOf>) => guardOf(...given).words.join(' ');
  expect(words({ ...ofReader, roots: ['/a'] })).toBe('/a/.mirrorlatch/reader --chdir no --');
  expect(words(ofReader)).toBe('/a/.mirrorlatch/reader --root /a --root /b --chdir no --');
  expect(words({ ...ofReader, reader: 'readable', waitSeconds: 30 })).toBe(
    '/bin/sh /a/.mirrorlatch/reader --root /a --root /b --wait 30s --chdir no --',
  );
  expect(words({ ...ofReader, reader: 'absent', pin: 'namespace' })).toBe(
    '/bin/mirrorlatch run /a --mirror /b --pin namespace --chdir no --',
  );
  expect(words({ ...ofReader, sticky: true, orCurrent: true, waitSeconds: 0 })).toBe(
    '/bin/mirrorlatch run /a --mirror /b --preset --or-current --wait 0s --chdir no --',
  );
});

test('with --pin cwd the command starts in the snapshot, because nothing else is pinned', () => {
  const { words } = guardOf({
    roots: ['/a'],
    reader: 'executable',
    program: 'mirrorlatch',
    pin: 'cwd',
  });
  expect(words).toEqual(['/a/.mirrorlatch/reader', '--pin', 'cwd', '--']);
});

test('names that cannot have an alias are refused in every shell, also for --remove', () => {
  const refused = [
    ...['', '/usr/bin/apt-get', '-x', 'a b', 'a\nb', 'a;b', 'a=b', '$x', '`x`', "a'b", '.', '+x'],
    ...['é', 'a\0b', '!', '[', 'if', 'end', 'function', 'cd', 'eval', 'time', '_', 'sudo'],
    ...['mirrorlatch', 'apt-get\n'],
  ];
  for (const dialect of DIALECTS) {
    for (const command of refused) {
      const options = { commands: ['apt-get', command], sudo: false };
      expect(() => aliasesFor(dialect, inDebian, options), JSON.stringify(command)).toThrow(
        expect.objectContaining({ code: 'USAGE' }),
      );
      expect(() => withoutAliases(dialect, options)).toThrow(
        expect.objectContaining({ code: 'USAGE' }),
      );
    }
  }
});
