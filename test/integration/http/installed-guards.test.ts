import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { expectFailure } from '../../support/expect-failure.ts';
import { servePlainly } from '../../support/http/plain-server.ts';
import { runProgram } from '../../support/program.ts';
import { launcher } from '../../support/project.ts';
import { mirrorsWith } from '../../support/small-mirror.ts';

const mirrors = mirrorsWith('first', 'second');

/** A mirror by HTTP, and a PATH with mirrorlatch and two commands that read it, `apt-get` and `peruse`. */
async function place() {
  const mirror = await mirrors();
  const { url } = await servePlainly(mirror.root);
  const bin = join(mirror.home, 'bin');
  mkdirSync(bin);
  symlinkSync(launcher, join(bin, 'mirrorlatch'));
  const text = `#!/bin/sh\necho "$(curl -sS ${url}/current/file) $* by \${MIRRORLATCH_URL_ID-nothing}"\n`;
  for (const name of ['apt-get', 'peruse']) writeFileSync(join(bin, name), text, { mode: 0o755 });
  const env = {
    PATH: `${bin}:${process.env['PATH']}`,
    XDG_STATE_HOME: join(mirror.home, 'state'),
  };
  return { mirror, url: `${url}/current/`, env, shims: join(mirror.home, 'shims') };
}

test('an alias guards a command that reads a URL', async () => {
  const { url, env } = await place();
  const line = `eval "$(mirrorlatch shell-init bash --http ${url} peruse)"`;
  const script = ['shopt -s expand_aliases', line, 'peruse a "b c"'].join('\n');
  const { stdout } = await execa('bash', ['-c', script], { env });
  expect(stdout).toBe('second a b c by second');
});

test('a shim guards a command that reads a URL, and a mirror on a path', async () => {
  const { mirror, url, env, shims } = await place();
  const options = ['--http', url, '--mirror', mirror.root, '--pin', 'cwd'];
  const written = await runProgram(['shims', shims, ...options, 'peruse'], { env });
  expect(written).toMatchObject({ exitCode: 0, stderr: '' });
  const { stdout } = await execa(join(shims, 'peruse'), ['a', 'b c'], { env });
  expect(stdout).toBe('second a b c by second');
});

test('with --sticky, apt-get install reads by HTTP what apt-get update read', async () => {
  const { mirror, url, env, shims } = await place();
  await runProgram(['shims', shims, '--http', url, '--sticky', 'apt-get', 'peruse'], { env });
  const run = async (name: string, word: string) =>
    (await execa(join(shims, name), [word], { env })).stdout;
  const early = await execa(join(shims, 'apt-get'), ['install'], { env, reject: false });
  expect(early).toMatchObject({ exitCode: 125 });
  expect(early.stderr).toContain('no snapshot of');
  expect(await run('apt-get', 'update')).toBe('second update by second');
  await mirror.publish('third', { file: 'third' });
  expect(await run('apt-get', 'install')).toBe('second install by second');
  expect(await run('apt-get', 'clean')).toBe('third clean by nothing');
  expect(await run('peruse', 'all')).toBe('third all by third');
  expect(await run('apt-get', 'update')).toBe('third update by third');
  expect(await run('apt-get', 'install')).toBe('third install by third');
});

test('a snapshot that is remembered and gone is replaced by the current one only with --or-current', async () => {
  const { mirror, url, env } = await place();
  const run = (...options: readonly string[]) =>
    runProgram(['run', '--http', url, ...options, '--', 'peruse'], { env, byLauncher: true });
  await run('--sticky', 'mine');
  for (const id of ['third', 'fourth'])
    await mirror.publish(id, { file: id }, '--keep-last', '1', '--grace', '0s');
  expectFailure(await run('--reuse', 'mine'), 125, /has no snapshot second/);
  const { stdout } = await run('--reuse', 'mine', '--or-current');
  expect(stdout).toBe('fourth  by fourth\n');
});

test('a shim whose mirror cannot be reached fails, or runs its command unguarded if that was asked for', async () => {
  const { mirror, url, env, shims } = await place();
  const nowhere = new URL('/nowhere/current/', url).href;
  await runProgram(['shims', shims, '--http', nowhere, 'peruse'], { env });
  const failed = await execa(join(shims, 'peruse'), [], { env, reject: false });
  expect(failed).toMatchObject({ exitCode: 125, stdout: '' });
  const anyway = ['--if-unavailable', 'run'];
  await runProgram(['shims', shims, '--http', nowhere, ...anyway, 'peruse'], { env });
  const ran = await execa(join(shims, 'peruse'), [], { env });
  expect(ran.stdout).toBe('second  by nothing');
  expect(ran.stderr).toContain('cannot be pinned');
  await runProgram(['shims', shims, '--http', url, ...anyway, 'peruse'], { env });
  const guarded = await execa(join(shims, 'peruse'), [], { env });
  expect(guarded).toMatchObject({ stdout: 'second  by second', stderr: '' });
  expect(mirror.linked('current')).toBe('second');
});

test('apt-get install may need nothing of the mirror, apt-get update may not', async () => {
  const { mirror, url, env } = await place();
  writeFileSync(join(mirror.home, 'bin/apt-get'), '#!/bin/sh\n', { mode: 0o755 });
  const run = (...words: readonly string[]) =>
    runProgram(['run', '--http', url, '--', 'apt-get', ...words], { env, byLauncher: true });
  expectFailure(await run('update'), 125, /requested nothing/);
  expectFailure(await run('install', 'hello'), 0, /requested nothing/);
  for (const words of [['clean'], ['-qq', 'check']])
    expect(await run(...words)).toMatchObject({ exitCode: 0, stderr: '' });
});

test('options that contradict each other are refused', async () => {
  const { url, env, shims } = await place();
  const refused = async (said: RegExp, ...words: readonly string[]) =>
    expectFailure(await runProgram(words, { env }), 64, said);
  await refused(/no URL of a mirror/, 'shims', shims, '--http', '/srv/mirror', 'peruse');
  await refused(
    /no effect without --http/,
    'shell-init',
    'bash',
    '--allow-unseen',
    '--mirror',
    '/x',
    'peruse',
  );
  const run = await runProgram(['run', url, '--', 'true'], { env });
  expectFailure(run, 125, /is a URL/, /run --http/);
  const idle = await runProgram(['run', '/x', '--pin-time', '1m', '--', 'true'], { env });
  expectFailure(idle, 125, /--pin-time has no effect without --http/);
});
