import { expect, test } from 'vitest';
import { parseBashLine } from '../../../../src/cli/completion/bash-line.ts';

const BREAKS = ' \t\n"\'><=;|&(:';
const wordsOf = (line: string) => parseBashLine(line, BREAKS, '/home/me').words;
const keptOf = (line: string, breaks = BREAKS) => parseBashLine(line, breaks).kept;

test('words lose their quotes, and the last is empty behind a blank', () => {
  expect(wordsOf('a b ')).toEqual(['a', 'b', '']);
  expect(wordsOf(String.raw`a b\ c 'd e' "f \"g\" \h" i"j"'k'`)).toEqual([
    ...['a', 'b c', 'd e', 'f "g" \\h', 'ijk'],
  ]);
  expect(wordsOf('a "b c')).toEqual(['a', 'b c']);
  expect(wordsOf("a '' b")).toEqual(['a', '', 'b']);
  expect(wordsOf("a 'b\nc' d")).toEqual(['a', 'b\nc', 'd']);
  expect(wordsOf('a b\\\nc')).toEqual(['a', 'bc']);
  expect(wordsOf('')).toEqual(['']);
});

test('a ~ is the home directory at the beginning of a word, before a slash or alone', () => {
  expect(wordsOf('a ~/b ~ ~')).toEqual(['a', '/home/me/b', '/home/me', '/home/me']);
  expect(wordsOf("a '~/b' b~/ ~user/")).toEqual(['a', '~/b', 'b~/', '~user/']);
});

test('readline keeps what stands before a colon, an equals sign and an open quote', () => {
  expect(keptOf('a --pin=c')).toBe('--pin='.length);
  expect(keptOf('a host:p')).toBe('host:'.length);
  expect(keptOf('a --pin="c')).toBe('--pin='.length);
  expect(keptOf('a --pin')).toBe(0);
  expect(keptOf('a b=c ')).toBe(0);
  expect(keptOf('a b\\:c')).toBe(0);
  expect(keptOf('a host:p', ' =')).toBe(0);
});
