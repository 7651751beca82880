import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { runsAsRoot } from '../support/privilege.ts';
import { project } from '../support/project.ts';
import { scratchDirectory } from '../support/scratch.ts';

/** Runs lines of sh after scripts/setup.sh, with an apt-get that can install all but `conflicting`. */
function afterSetup(lines: string) {
  const bin = scratchDirectory();
  const script = '#!/bin/sh\ncase "$*" in *conflicting*) echo "it conflicts"; exit 100;; esac\n';
  writeFileSync(join(bin, 'apt-get'), script, { mode: 0o755 });
  return execa('sh', ['-euc', `. ./scripts/setup.sh\n${lines}`, 'test.sh'], {
    cwd: project,
    env: { PATH: `${bin}:${process.env['PATH']}` },
    reject: false,
  });
}

const PROGRAMS = 'absent-1:good absent-2:conflicting absent-3:fine sh:dash';

test.runIf(runsAsRoot)(
  'a package that conflicts with another is named, and the rest goes on',
  async () => {
    const { stdout, stderr, exitCode } = await afterSetup(
      `want_programs ${PROGRAMS}\necho "without:$without"`,
    );
    expect(stdout).toMatch(/\nwithout: conflicting$/);
    expect(stderr).toBe('it conflicts');
    expect(exitCode).toBe(0);
  },
);

test.runIf(runsAsRoot)(
  'a newer apt that no archive has is named, and the rest goes on',
  async () => {
    const newer = join(scratchDirectory(), 'newer');
    const { stdout, stderr, exitCode } = await afterSetup(
      `want_newer_apt ${newer}\necho "without:$without"`,
    );
    expect(stdout).toMatch(/\nwithout: apt\/trixie$/);
    expect(stderr).toBe('No source of apt-get is an archive of Debian.');
    expect(exitCode).toBe(0);
    expect(existsSync(newer)).toBe(false);
  },
);

test.runIf(runsAsRoot)(
  'a package that all need stops the script, which names it alone',
  async () => {
    const { stderr, exitCode } = await afterSetup(`need_programs ${PROGRAMS}\necho not reached`);
    expect(stderr).toMatch(/apt-get could not install: conflicting$/);
    expect(exitCode).toBe(1);
  },
);
