import { execFileSync, spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { parseRsyncOptions } from '../../../src/rsync/options.ts';
import { scratchDirectory } from '../../support/scratch.ts';

/** The options in `rsync --help`: each spelling, and whether it takes a value. */
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
  test('is compared with a complete rsync --help', () => {
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
    '$spelling takes no value, so the next word is another option',
    ({ spelling }) => {
      expect(() => parseRsyncOptions([spelling, 'value'])).toThrow();
    },
  );
});

describe('accepted options', () => {
  test('have the value that rsync reads when it is joined to the letter, with = or without', () => {
    for (const word of ['-e=/bin/false', '-e/bin/false']) {
      const { args } = parseRsyncOptions([word]);
      const given = spawnSync('rsync', [word, 'host:x', '.'], { encoding: 'utf8' });
      const passed = spawnSync('rsync', [...args, 'host:x', '.'], { encoding: 'utf8' });
      // 14 if the shell is not found, 12 if it exits at once.
      expect([passed.status, given.status], word).toEqual([12, 12]);
    }
  });

  test('are accepted by the installed rsync', () => {
    const cwd = scratchDirectory();
    for (const { spelling, takesValue } of installed) {
      const words = takesValue ? [spelling, '1'] : [spelling];
      const passed = passedOn(words);
      if (passed.length === 0) continue;
      // In a scratch directory, because `--log-file` writes to the working directory.
      const { stderr } = spawnSync('rsync', [...passed, '--version'], {
        encoding: 'utf8',
        cwd,
      });
      expect(stderr, spelling).not.toMatch(/unknown option/);
    }
  });
});

/** The options that are passed on of these words; none if they are refused. */
function passedOn(words: readonly string[]): readonly string[] {
  try {
    return parseRsyncOptions(words).args;
  } catch {
    return [];
  }
}
