import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { scratchDirectory } from '../support/scratch.ts';

const demo = fileURLToPath(new URL('../../scripts/demo.sh', import.meta.url));

/** Runs the demo from `/`, with its own TMPDIR, and gives what it printed and what it left there. */
async function runDemo(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const temporary = join(scratchDirectory(), 'a temporary directory');
  mkdirSync(temporary);
  const { stdout, stderr, exitCode } = await execa('sh', [demo, ...args], {
    cwd: '/',
    stdin: 'ignore',
    reject: false,
    env: { TMPDIR: temporary, ...env },
  });
  return { stdout, stderr, exitCode, left: readdirSync(temporary) };
}

describe('the demo', () => {
  test.for([
    { name: 'of Debian', args: [] },
    { name: 'made on the spot', args: ['--offline'] },
  ])(
    'shows, with packages $name, readers that meet whole trees beside an in-place mirror that breaks',
    async ({ args }) => {
      const { stdout, stderr, exitCode, left } = await runDemo(args);

      expect(stderr).toBe('');
      expect(exitCode).toBe(0);
      expect(stdout).toMatch(
        /a reader that was inside before +\d+ of \d+ \.debs gone or changed +whole, the old state$/m,
      );
      const during =
        /readers that came during it +(\d+) of (\d+) whole +(\d+) of (\d+) whole$/m.exec(stdout) ??
        [];
      const [wholeInPlace, inPlace, whole, all] = during.slice(1).map(Number);
      expect(wholeInPlace).toBeLessThan(inPlace ?? 0);
      expect(all).toBeGreaterThan(0);
      expect(whole).toBe(all);
      expect(stdout).toMatch(/the next reader +whole, the new state +whole, the new state$/m);
      const update =
        /a real apt-get update +(\d+) of 10 whole.* {2}(\d+) of 10 whole$/m.exec(stdout) ?? [];
      expect(Number(update[1])).toBeLessThan(10);
      expect(update[2]).toBe('10');
      expect(Number(/flipped (\d+) times during/.exec(stdout)?.[1])).toBeGreaterThan(10);
      const current = /mirror\/current +-> snapshots\/(\S+)/.exec(stdout)?.[1];
      const previous =
        /mirror\/previous -> snapshots\/(\S+) +the old state, not a byte changed/.exec(stdout)?.[1];
      expect(current).toBeDefined();
      expect(previous).toBeDefined();
      expect(current).not.toBe(previous);
      expect(left).toEqual([]);
    },
  );

  test('ends with 1 and says why when a published snapshot is changed behind its readers', async () => {
    const programs = scratchDirectory();
    const saboteur = join(programs, 'node');
    writeFileSync(
      saboteur,
      `#!/bin/sh
      "${process.execPath}" "$@" || exit
      [ "\${2-}" != sync ] || [ ! -e "$4/previous" ] || rm -r "$4/previous/dists"
      `,
    );
    chmodSync(saboteur, 0o755);

    const { stderr, exitCode, left } = await runDemo(['--offline'], {
      PATH: `${programs}:${process.env['PATH']}`,
    });

    expect(exitCode).toBe(1);
    expect(stderr).toContain('the demonstration failed:');
    expect(stderr).toContain('The old snapshot was changed: ');
    expect(left).toEqual([]);
  });

  test('refuses an argument that it does not know', async () => {
    const { stderr, exitCode } = await runDemo(['--on-line']);

    expect(exitCode).toBe(1);
    expect(stderr).toContain('unknown option: --on-line');
  });
});
