import { expect, test } from 'vitest';
import { describeNotPassed, passedOptions } from '../../../src/rsync/not-passed.ts';

test('one line names what rsync does not get, once for each reason', () => {
  const given = [
    '-aqzH',
    '--delay-updates',
    '--partial-dir',
    '.p',
    '-q',
    '--delete-after',
    '--delete',
  ];
  expect(describeNotPassed(given, [])).toBe(
    'rsync runs without -q (what rsync prints goes to the log, see also --dry-run, --quiet and --json); --delay-updates, --delete-after (readers see nothing of a new tree before it is whole); --partial-dir (what was transferred is kept for the next sync anyway)',
  );
  expect(passedOptions(given)).toEqual(['-a', '-z', '-H', '--delete']);
});

test.each([
  [['-av'], ['-v', '-a']],
  [['--partial-dir=a'], ['--partial-dir', 'b']],
  [['--verbose'], ['-v']],
  [['-a', '--exclude=/x', '--recursive'], []],
  [[], []],
])('%j is nothing new for who was told of %j', (given, known) => {
  expect(describeNotPassed(given, known)).toBeUndefined();
});

test('another option is new, and told alone', () => {
  expect(describeNotPassed(['-v', '--max-delete=5'], ['-v'])).toMatch(
    /^rsync runs without --max-delete \([^)]*\)$/,
  );
});
