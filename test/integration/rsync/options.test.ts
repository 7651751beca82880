import { execFileSync, spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { parseRsyncOptions } from '../../../src/rsync/options.ts';
import { scratchDirectory } from '../../support/scratch.ts';

/** What the installed rsync says of its options: each spelling, and whether it takes a value. */
const installed = execFileSync('rsync', ['--help'], { encoding: 'utf8' })
  .split('\n')
  .filter((line) => /^-/.test(line))
  .flatMap((line) => {
    const spellings =
      line
        .split(/ {2,}/, 1)[0]
        ?.replace(/ \(\*\)$/, '')
        .split(', ') ?? [];
    const takesValue = spellings.some((spelling) => spelling.includes('='));
    return spellings.map((spelling) => ({ spelling: spelling.replace(/=.*/, ''), takesValue }));
  })
  .filter(({ spelling }) => spelling !== '--no-OPTION');

describe('the table of options', () => {
  test('rsync --help was understood', () => {
    expect(installed.length).toBeGreaterThan(150);
  });

  test.each(installed)('$spelling of the installed rsync is known', ({ spelling, takesValue }) => {
    try {
      parseRsyncOptions(takesValue ? [spelling, 'value'] : [spelling]);
    } catch (error) {
      expect(error).toMatchObject({ code: 'USAGE' });
      expect((error as Error).message).not.toMatch(/does not know it|needs a value|not an option/);
    }
  });

  test.each(installed.filter(({ takesValue }) => !takesValue))(
    '$spelling takes no value, so what follows is an option of its own',
    ({ spelling }) => {
      expect(() => parseRsyncOptions([spelling, 'value'])).toThrow();
    },
  );
});

describe('what goes through to a real rsync', () => {
  test('a value joined to its letter is what rsync makes of it, with = or without', () => {
    for (const word of ['-e=/bin/false', '-e/bin/false']) {
      const { args } = parseRsyncOptions([word]);
      const given = spawnSync('rsync', [word, 'host:x', '.'], { encoding: 'utf8' });
      const passed = spawnSync('rsync', [...args, 'host:x', '.'], { encoding: 'utf8' });
      // 14 where the shell is not found, 12 where it ends at once.
      expect([passed.status, given.status], word).toEqual([12, 12]);
    }
  });

  test('all that goes through is taken by the installed rsync', () => {
    const cwd = scratchDirectory();
    for (const { spelling, takesValue } of installed) {
      const words = takesValue ? [spelling, '1'] : [spelling];
      const passed = passedOn(words);
      if (passed.length === 0) continue;
      // In a scratch directory: `--log-file` writes where it stands.
      const { stderr } = spawnSync('rsync', [...passed, '--version'], {
        encoding: 'utf8',
        cwd,
      });
      expect(stderr, spelling).not.toMatch(/unknown option/);
    }
  });
});

/** What is left of these words for rsync; nothing when they are refused. */
function passedOn(words: readonly string[]): readonly string[] {
  try {
    return parseRsyncOptions(words).args;
  } catch {
    return [];
  }
}
