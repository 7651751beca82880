import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseRsyncOptions } from '../../../src/rsync/options.ts';

type Fate = 'passed' | 'left out' | 'refused';

function fateOf(words: readonly string[]): Fate {
  try {
    return parseRsyncOptions(words).args.length === 0 ? 'left out' : 'passed';
  } catch {
    return 'refused';
  }
}

const REFUSED = [
  '--inplace',
  '--append',
  '--append-verify',
  '--write-devices',
  '--backup',
  '-b',
  '--relative',
  '-R',
  '--existing',
  '--ignore-existing',
  '--ignore-non-existing',
  '--remove-source-files',
  '--dry-run',
  '-n',
  '--keep-dirlinks',
  '-K',
  '--ignore-errors',
  '--ignore-missing-args',
  '--delete-missing-args',
  '--from0',
  '-0',
  '--list-only',
  '--daemon',
  '--server',
  '--version',
  '-V',
  '--help',
] as const;
const REFUSED_WITH_VALUE = [
  '--backup-dir',
  '--suffix',
  '--compare-dest',
  '--copy-dest',
  '--link-dest',
  '--files-from',
  '--write-batch',
  '--only-write-batch',
  '--read-batch',
] as const;

describe('refused options', () => {
  test.each(REFUSED)('%s is refused with a reason and a way out', (option) => {
    expect(() => parseRsyncOptions([option])).toThrow(
      /cannot be used: .{15,}(Leave it out|See --|Use -|Choose |Run |Call |Mirror |mirrorlatch sync --|without it)/,
    );
  });

  test.each(REFUSED_WITH_VALUE)('%s is refused in each spelling of its value', (option) => {
    expect(() => parseRsyncOptions([option, 'x'])).toThrow(/cannot be used: .{15,}/);
    expect(() =>
      parseRsyncOptions([option.startsWith('--') ? `${option}=x` : `${option}x`]),
    ).toThrow(/cannot be used: /);
  });

  test.each(['x', '', '--', '-', 'SRC', '--no-such-option', '--inplac', '-?'])(
    '%j is not an option',
    (word) => {
      expect(() => parseRsyncOptions([word])).toThrow(expect.objectContaining({ code: 'USAGE' }));
    },
  );

  test('an option without its value is refused', () => {
    for (const option of ['--exclude', '-e', '-f']) {
      expect(() => parseRsyncOptions([option])).toThrow(/needs a value/);
    }
  });

  test('a refused letter is found in any cluster', () => {
    for (const cluster of ['-zn', '-nz', '-Hub', '-zK']) {
      expect(() => parseRsyncOptions([cluster]), cluster).toThrow(/cannot be used/);
    }
  });

  test('all of them are named at once, each with its reason and once', () => {
    const words = ['-zb', '--inplace', '--exlude', '/iso/', '--backup', 'SRC', '--timeout'];
    const parse = () => parseRsyncOptions(words);
    expect(parse).toThrow(/^rsync's option -b cannot .*\n {2}rsync's option --inplace cannot .*\n/);
    expect(parse).toThrow(
      /--exlude .* Did you mean --exclude\?\n.*--backup .*\n {2}"SRC" is not an/,
    );
    expect(parse).toThrow(/rsync's option --timeout needs a value$/);
    expect(parse).not.toThrow(/\/iso\//);
  });

  test('a refused option is never passed on', () => {
    const harmless = fc.constantFrom(
      '-z',
      '-zS',
      '--bwlimit=5m',
      '--exclude',
      '--chmod=D755',
      '-e',
      '-essh',
      '--numeric-ids',
    );
    const value = fc.constantFrom('x', '--inplace', '-n', '--append', '');
    const refused = fc.constantFrom<string>(
      ...REFUSED,
      ...REFUSED_WITH_VALUE.map((option) =>
        option.startsWith('--') ? `${option}=x` : `${option}x`,
      ),
      '-zn',
      '-zbS',
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(harmless, value, refused), { maxLength: 8 }), (words) => {
        let args: readonly string[];
        try {
          ({ args } = parseRsyncOptions(words));
        } catch {
          return;
        }
        // A word that is the value of the option before it is not an option.
        const options = args.filter((_, at) => !['--exclude', '-e'].includes(args[at - 1] ?? ''));
        for (const option of options)
          expect(
            fateOf([option, 'value']) === 'passed' || fateOf([option]) === 'passed',
            option,
          ).toBe(true);
        expect(options.filter((option) => (REFUSED as readonly string[]).includes(option))).toEqual(
          [],
        );
      }),
      { numRuns: 500 },
    );
  });
});

describe('accepted options', () => {
  test('keep their order and values, with clusters split up', () => {
    expect(
      parseRsyncOptions(['-zS', '--exclude', '-n', '-f', '- *', '--bwlimit=5m', '-essh -p 22'])
        .args,
    ).toEqual(['-z', '-S', '--exclude', '-n', '-f', '- *', '--bwlimit=5m', '-essh -p 22']);
  });

  test('are left out if mirrorlatch does the same itself', () => {
    expect(
      parseRsyncOptions(['--delete', '-v', '--stats', '-P', '--recursive', '-h']).args,
    ).toEqual([]);
  });

  test.each([
    ['-avuH', '--stats', '--no-motd', '--no-human-readable', '--info=progress2', '--out-format=%n'],
    ['--delay-updates', '--delete-after', '--delete-delay', '-zT/tmp', '--temp-dir', '/tmp'],
    ['-qhiP', '--partial-dir=.p', '--partial', '--max-delete=5', '--debug', 'all', '--outbuf', 'L'],
  ])('that a mirror does not need are left out: %s %s %s …', (...words) => {
    const { args } = parseRsyncOptions(words);
    expect(args.filter((word) => !['-a', '-H', '-z', '--no-motd'].includes(word))).toEqual([]);
  });

  test.each(['--no-recursive', '--no-r', '-U', '--iconv=utf8', '-d'])(
    '%s needs a whole pass and is named as the reason',
    (word) => expect(parseRsyncOptions(['-z', word]).needsWholePass).toBe(word.replace(/=.*/, '')),
  );
});
