import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  count,
  duration,
  nameAtTop,
  namePatterns,
  pathsWithin,
  percentages,
  pointInTime,
  someOf,
} from '../../../src/cli/values.ts';

test.each([
  ['90s', 90_000],
  ['10m', 600_000],
  ['24h', 86_400_000],
  ['7d', 604_800_000],
  ['1.5h', 5_400_000],
  ['2w', 1_209_600_000],
  ['300ms', 300],
  ['0', 0],
])('the duration %s is %i ms', (text, ms) => expect(duration(text)).toBe(ms));
test.each([
  '',
  ' ',
  '-1s',
  '-5',
  'soon',
  '1x',
  'NaN',
  'Infinity',
  '1e3',
  '1m30s',
  '1M',
  '1y',
  '5min',
  '7 d',
  '7D',
  `${'1'.repeat(200)}h`,
])('%j is not a duration', (text) => expect(() => duration(text)).toThrow(/duration/));

test.each(['14', '0.5', '007', '00'])('the number %s is no duration without a unit', (text) =>
  expect(() => duration(text)).toThrow(`It has no unit: write ${text}s, `),
);

test.each([
  ['0', 0],
  ['30', 30],
  ['30%', 30],
  ['12.5 %', 12.5],
  ['100', 100],
])('%s is a percentage', (text, value) => expect(percentages(text)).toEqual({ maxPercent: value }));
test.each(['', '-1', '101', '100.1%', 'half', '1e1', '%'])('%j is not a percentage', (text) =>
  expect(() => percentages(text)).toThrow(/percentage/),
);

test('a count is a whole number of at least its minimum', () => {
  fc.assert(
    fc.property(fc.nat(1_000_000), fc.nat(1_000_000), (least, value) => {
      if (value >= least) expect(count(least)(String(value))).toBe(value);
      else expect(() => count(least)(String(value))).toThrow(/at least/);
    }),
  );
  for (const text of ['', '-1', '1.5', '0x1', '1e2', ' 1', '9999999999'])
    expect(() => count(0)(text), text).toThrow();
});

test('a clock time means its next occurrence in UTC', () => {
  const now = new Date('2026-11-22T10:00:30Z');
  expect(pointInTime('11:00', now).toISOString()).toBe('2026-11-22T11:00:00.000Z');
  expect(pointInTime('10:00', now).toISOString()).toBe('2026-11-23T10:00:00.000Z');
  expect(pointInTime('2026-11-22T03:00Z', now).toISOString()).toBe('2026-11-22T03:00:00.000Z');
  expect(pointInTime('2026-11-22T03:00+02:00', now).toISOString()).toBe('2026-11-22T01:00:00.000Z');
  for (const text of ['', '24:00', '3:00', '12:60', 'noon', '2026-11-22', '2026-13-01T00:00Z'])
    expect(() => pointInTime(text, now), text).toThrow(/time/);
});

test('values of a repeatable option accumulate, and unknown ones are named', () => {
  const read = someOf(['a', 'b', 'c']);
  expect(read('c', read('a,b'))).toEqual(['a', 'b', 'c']);
  expect(() => read('a,x')).toThrow('Allowed values are a, b, c.');
});

test('paths of the source accumulate, also after the negated flag', () => {
  expect(pathsWithin('project/trace/x', pathsWithin('a [1]/'))).toEqual([
    'a [1]',
    'project/trace/x',
  ]);
  expect(pathsWithin('lastupdate', false)).toEqual(['lastupdate']);
});

test('a file list lies at the top of the source', () => {
  expect(nameAtTop('fullfiletimelist-epel')).toBe('fullfiletimelist-epel');
  for (const text of ['a/b', '/list', '..', '', 'list*'])
    expect(() => nameAtTop(text), text).toThrow();
});

test.each([
  ['/srv/upstream/lastupdate', 'without the leading slash'],
  ['dists/*/InRelease', 'Wildcards match nothing'],
  ['../outside', 'path of one entry'],
  ['a/../../outside', 'path of one entry'],
  ['a//b', 'path of one entry'],
  ['.', 'path of one entry'],
  ['', 'path of one entry'],
  ['a\nb', 'path of one entry'],
  ['a\0b', 'path of one entry'],
  ['not \uFFFD UTF-8', 'path of one entry'],
])('%j is no path of the source', (text, why) => expect(() => pathsWithin(text)).toThrow(why));

test.each([
  ['', 'such as pool/old/**'],
  ['//', 'such as pool/old/**'],
  ['a\0', 'such as pool/old/**'],
  ['!a', 'write \\!'],
  ['#a', 'write \\#'],
  ['a ', 'White space at the end'],
  ['a\\\\ ', 'White space at the end'],
  ['a\n', 'White space at the end'],
  ['a\\', 'Nothing follows the backslash'],
  ['a\\\\\\', 'Nothing follows the backslash'],
  ['../x', 'Names begin at the top of the tree'],
  ['./x', 'Names begin at the top of the tree'],
  ['.', 'Names begin at the top of the tree'],
  ['a//b', 'with single slashes'],
  ['[', 'The [ is not closed'],
  ['a[]', 'The [ is not closed'],
  ['a[!]', 'The [ is not closed'],
  ['a[b\\]', 'The [ is not closed'],
  ['[[:alpha:]', 'The [ is not closed'],
])('%j is no pattern on names: %s', (text, fault) =>
  expect(() => namePatterns(text)).toThrow(fault),
);

test.each([
  '**',
  'a/',
  '/a',
  '..a',
  'a..',
  '\\!a',
  '\\#a',
  'a\\ ',
  'a\\\\',
  '\\[',
  '[]]',
  '[!]a]',
  '[[]',
  '[[:alpha:]]',
  ']',
  ' a',
])('%j is a pattern on names', (text) => expect(namePatterns(text, ['b'])).toEqual(['b', text]));
