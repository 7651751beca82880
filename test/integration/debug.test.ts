import { existsSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { runProgram } from '../support/program.ts';
import { bin } from '../support/project.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { smallMirror } from '../support/small-mirror.ts';

/** Runs mirrorlatch with this MIRRORLATCH_DEBUG. */
function debug(value: string | undefined, ...args: string[]) {
  return runProgram(args, { env: { MIRRORLATCH_DEBUG: value } });
}

describe('MIRRORLATCH_DEBUG', () => {
  test('reports the rsync that a sync starts, and how it ended', async () => {
    const { source, root } = smallMirror();
    const { stderr, exitCode } = await debug('1', 'sync', source, root);
    expect(exitCode, stderr).toBe(0);
    const rsync = new RegExp(String.raw`rsync\[(\d+)\] starts: rsync .* -- ${source}/ `);
    const pid = rsync.exec(stderr)?.[1];
    expect(stderr).toMatch(new RegExp(String.raw`rsync\[${pid}\] ends: exit code 0 after \d+ ms`));
    expect(stderr).toMatch(
      /flock starts: flock --exclusive --nonblock 3\n.*flock\[\d+\] ends: exit code 0/,
    );
  });

  test('leaves the object that --json prints alone', async () => {
    const { source, root } = smallMirror();
    const { stdout, stderr } = await debug('yes', 'sync', source, root, '--json');
    expect(JSON.parse(stdout)).toMatchObject({ outcome: 'published' });
    expect(stderr).toContain('starts: rsync');
  });

  test.each([undefined, '', '0'])('reports nothing when it is %j', async (value) => {
    const { source, root } = smallMirror();
    const { stderr } = await debug(value, 'sync', source, root, '--quiet');
    expect(stderr).toBe('');
  });

  test('reports what a failing rsync says, with its name and pid', async () => {
    const { source, root } = smallMirror();
    const { stderr } = await debug('1', 'sync', source, root, '--', '--bwlimit=wrong');
    const said = /rsync\[(\d+)\] says: [^\n]*wrong/.exec(stderr);
    expect(stderr).toContain(`rsync[${said?.[1]}] ends: exit code 1 after`);
  });

  test('reports a command that a signal ended', async () => {
    const { root, sync } = smallMirror();
    await sync();
    const { stderr } = await debug('1', 'lock', root, '--', 'sh', '-c', 'kill -9 $$');
    expect(stderr).toMatch(/sh\[(\d+)\] starts: sh -c 'kill -9 \$\$'\n/);
    expect(stderr).toMatch(/sh\[(\d+)\] ends: SIGKILL after/);
  });

  test('appends to the file that an absolute path names, for its owner alone', async () => {
    const { source, root, home } = smallMirror();
    const log = join(home, 'log');
    for (let run = 0; run < 2; run += 1) {
      const { stderr } = await debug(log, 'sync', source, root, '--quiet');
      expect(stderr).toBe('');
    }
    const report = readFileSync(log, 'utf8');
    expect(new Set(report.match(/mirrorlatch\[\d+\]/g)).size).toBe(2);
    expect(report).toMatch(/rsync\[\d+\] ends: exit code 0/);
    expect(statSync(log).mode & 0o777).toBe(0o600);
  });

  test('follows no symlink to the file, and reports on standard error then', async () => {
    const { source, root, home } = smallMirror();
    symlinkSync(join(home, 'elsewhere'), join(home, 'log'));
    const { stderr, exitCode } = await debug(join(home, 'log'), 'sync', source, root);
    expect(exitCode, stderr).toBe(0);
    expect(existsSync(join(home, 'elsewhere'))).toBe(false);
    expect(stderr).toContain('MIRRORLATCH_DEBUG: Error: ELOOP');
    expect(stderr).toContain('starts: rsync');
  });

  test('prints a word with control characters on one line, as a shell takes it', async () => {
    const { source, root } = smallMirror({ home: join(scratchDirectory(), "it's\u001b[31m\nred") });
    const { stderr } = await debug('1', 'sync', source, root);
    expect(stderr).toContain(String.raw`/it\'s\033[31m\012red/source/'`);
    expect(stderr).not.toContain('\u001b[31m');
    const words = /starts: rsync .*(\$'[^ ]*source\/') /.exec(stderr)?.[1];
    const { stdout } = await execa('bash', ['-c', `printf %s ${words}`]);
    expect(stdout).toBe(`${source}/`);
  });

  test('keeps the environment to itself, also the part that a shell must set', async () => {
    const { root, sync } = smallMirror();
    await sync();
    const script = String.raw`SECRET=$(printf "\377hush"); export SECRET; exec "$@"`;
    const lock = [process.execPath, bin, 'lock', root, '--', 'true'];
    const { stderr } = await execa('sh', ['-c', script, 'sh', ...lock], {
      env: { MIRRORLATCH_DEBUG: '1' },
    });
    expect(stderr).toMatch(/true\[\d+\] starts: true\n/);
    expect(stderr).not.toContain('SECRET');
  });
});
