import fc from 'fast-check';
import { expect, test } from 'vitest';
import { joinOptions } from '../../../src/rsync/join-options.ts';

const OPTIONS = ['--exclude=/a', '-z', '--bwlimit=5m', '--include=b', '-F', '--chmod=D755'];

test('remembered options come first and stay, and each given one follows once', () => {
  const some = fc.uniqueArray(fc.constantFrom(...OPTIONS));
  fc.assert(
    fc.property(some, some, (remembered, given) => {
      const { args } = joinOptions(remembered, given);
      expect(args.slice(0, remembered.length)).toEqual(remembered);
      const added = given.filter((option) => !remembered.includes(option));
      expect(args.slice(remembered.length)).toEqual(added);
    }),
  );
});

test.each([
  [['--bwlimit=5m'], ['--bwlimit', '5m'], []],
  [['--exclude=/a'], ['--exclude=/b'], []],
  [['--exclude=/a'], ['-f- /b'], []],
  [['--exclude=/a'], ['-fH /b'], []],
  [['--chmod=D755'], ['--chmod=F644'], []],
  [['--remote-option=-x'], ['-M--fake-super'], []],
  [['-z'], ['--include=a'], []],
  [['--bwlimit=5m'], ['--bwlimit=6m'], [/'--bwlimit=6m' replaces '--bwlimit=5m'/]],
  [['-z'], ['--no-compress'], [/--no-compress replaces -z/]],
  [['--no-perms'], ['-p'], [/-p replaces --no-perms/]],
  [['--exclude=/a'], ['--include=/a'], [/'--include=\/a' comes after the filter rules/]],
  [['-F'], ['-f', '+ /a'], [/-f '\+ \/a' comes after the filter rules/]],
  [['--exclude-from=a'], ['-F'], [/-F comes after the filter rules/]],
  [['--include-from=a'], ['--include-from=b'], [/from=b' comes after the filter rules/]],
] as const)('%j and then %j', (remembered, given, said) => {
  const { contradictions } = joinOptions(remembered, given);
  expect(contradictions).toEqual(said.map((words) => expect.stringMatching(words)));
});
