import { describe, expect, test } from 'vitest';
import { divideLine, dividePastedLine } from '../../../src/cli/misplaced-options.ts';

const OWN = [
  { short: '-n', long: '--dry-run', required: false },
  { long: '--id', required: true },
  { long: '--max-shrink', required: true },
  { long: '--quiet', required: false },
  { long: '--help', required: false },
];

/** The line as it would be typed with a `--`. */
function typed(line: string): string {
  const { own, rsync } = dividePastedLine(['sync', ...line.split(' ')], OWN);
  return [...own.slice(1), '--', ...rsync].join(' ');
}

describe('a line of rsync after sync', () => {
  test.each([
    ['-aH --delete h::m /m', 'h::m /m -- -a -H --delete'],
    ['h::m /m -aqzH --delete', 'h::m /m -- -a -q -z -H --delete'],
    ['h::m --exclude x /m', 'h::m /m -- --exclude x'],
    ['--exclude /m h::m /m', 'h::m /m -- --exclude /m'],
    ['--timeout 120 -e ssh -B 8192 a b', 'a b -- --timeout 120 -e ssh -B 8192'],
    [
      '--timeout=120 -essh -prltvHSB8192 a b',
      'a b -- --timeout=120 -essh -p -r -l -t -v -H -S -B8192',
    ],
    ['--log-file /a/b --exclude-from /c a b', 'a b -- --log-file /a/b --exclude-from /c'],
    ['--exclude -n --exclude --quiet a b', 'a b -- --exclude -n --exclude --quiet'],
    ['--no-o --no-motd -6 a b', 'a b -- --no-o --no-motd -6'],
  ])('%s', (line, meant) => expect(typed(line)).toBe(meant));

  test.each([
    ['--id x -z a b', '--id x a b -- -z'],
    ['--id -z a b', '--id -z a b --'],
    ['-z --max-shrink=3 --quiet a b', '--max-shrink=3 --quiet a b -- -z'],
    ['-n -v a b', '-n a b -- -v'],
    ['-avn a b', '--dry-run a b -- -a -v'],
    ['-a --dry-run a b', '--dry-run a b -- -a'],
    ['-a --help', '--help -- -a'],
  ])('%s: what sync has itself is its own', (line, meant) => {
    expect(typed(line)).toBe(meant);
  });

  test.each([
    ['rsync -a h::m /m', 'h::m /m -- -a'],
    ['/usr/bin/rsync h::m /m -a', 'h::m /m -- -a'],
    // A directory of that name.
    ['rsync -a /m', 'rsync /m -- -a'],
    ['rsync a /m', 'rsync a /m --'],
    ['/data/rsync -a b /m', '/data/rsync b /m -- -a'],
    ['rsync://h/rsync -a b /m', 'rsync://h/rsync b /m -- -a'],
    ['a -a rsync /m', 'a rsync /m -- -a'],
  ])('%s: the word rsync is left out where it is no path', (line, meant) => {
    expect(typed(line)).toBe(meant);
  });

  test.each([
    ['a b -h', 'a b -h --'],
    ['-h', '-h --'],
    ['-h -v --progress a b', 'a b -- -h -v --progress'],
    ['-hi a b', 'a b -- -h -i'],
  ])('%s asks for help only without other options of rsync', (line, meant) => {
    expect(typed(line)).toBe(meant);
  });

  test('an option that nobody knows is ours to refuse', () => {
    expect(typed('-a --bogus a b -?')).toBe('--bogus a b -? -- -a');
  });
});

test('a line with neither keeps its order', () => {
  const words = ['init', '/m', '--id', 'x', '-'];
  expect(divideLine(words, OWN)).toEqual({ own: words, operands: ['init', '/m', '-'], rsync: [] });
});
