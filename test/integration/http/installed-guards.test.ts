import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { freePort } from '../../support/daemon.ts';
import { eventually } from '../../support/eventually.ts';
import { expectFailure } from '../../support/expect-failure.ts';
import { servePlainly } from '../../support/http/plain-server.ts';
import { runProgram } from '../../support/program.ts';
import { launcher } from '../../support/project.ts';
import { mirrorsWith } from '../../support/small-mirror.ts';

const mirrors = mirrorsWith('first', 'second');

/** A mirror by HTTP, and a PATH with mirrorlatch and two commands that read it, `apt-get` and `peruse`. */
async function place() {
  const mirror = await mirrors();
  const server = await servePlainly(mirror.root);
  const { url } = server;
  const bin = join(mirror.home, 'bin');
  mkdirSync(bin);
  symlinkSync(launcher, join(bin, 'mirrorlatch'));
  const text = `#!/bin/sh\necho "$(curl -sS ${url}/current/file) $* by \${MIRRORLATCH_URL_ID-nothing}"\n`;
  for (const name of ['apt-get', 'peruse']) writeFileSync(join(bin, name), text, { mode: 0o755 });
  const env = {
    PATH: `${bin}:${process.env['PATH']}`,
    XDG_STATE_HOME: join(mirror.home, 'state'),
  };
  return { mirror, server, url: `${url}/current/`, env, shims: join(mirror.home, 'shims') };
}

interface Managers {
  /** What the programs do in place of package managers. Default: nothing. */
  readonly script?: (url: string, root: string) => string;
  /** The URL that they are configured to read. Default: that of the mirror. */
  readonly read?: string;
  /** The URL that is guarded. Default: that of the mirror. */
  readonly at?: string;
}

/** The place, with programs that are called as package managers are. */
async function withManagers({ script = () => '', ...urls }: Managers = {}) {
  const { mirror, server, url, env } = await place();
  const { read = url, at = url } = urls;
  const text = `#!/bin/sh\n${script(at, mirror.root)}\n`;
  for (const name of ['apt', 'apt-get', 'dnf', 'zypper', 'pacman', 'pip', 'npm', 'npx', 'peruse'])
    writeFileSync(join(mirror.home, 'bin', name), text, { mode: 0o755 });
  mkdirSync(join(mirror.home, 'repos'));
  writeFileSync(join(mirror.home, 'repos/parts.repo'), `[parts]\nbaseurl=${read}rpm\n`);
  writeFileSync(join(mirror.home, 'dnf.conf'), '[main]\nreposdir=repos\n');
  const variables = { PIP_INDEX_URL: `${read}simple`, npm_config_registry: read };
  const run = (line: string, ...options: readonly string[]) =>
    runProgram(['run', '--http', at, '--chdir', 'no', ...options, '--', ...line.split(' ')], {
      cwd: mirror.home,
      env: { ...env, ...variables, HOME: mirror.home },
      byLauncher: true,
    });
  return { mirror, server, url, run };
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

describe('a command that may need nothing of the mirror, and requests nothing,', () => {
  test.for([
    'apt-get install hello',
    'dnf -c dnf.conf upgrade',
    'zypper -D repos install hello',
    'pacman -S hello',
    'pip --quiet install hello',
    'npm ci',
    'npx hello',
  ])('is warned of: `%s`', async (line) => {
    const { run } = await withManagers();
    expectFailure(await run(line), 0, /warning: .* requested nothing/);
  });

  test.for(['dnf -c dnf.conf upgrade', 'zypper -D repos shell', 'pip install hello', 'npm ci'])(
    'has run unguarded if it is configured to read another mirror: `%s`',
    async (line) => {
      const { run } = await withManagers({ read: 'http://mirror.invalid/current/' });
      expectFailure(await run(line), 125, /requested nothing/);
    },
  );

  test.for([
    'apt-get update',
    'dnf -c dnf.conf makecache',
    'zypper -D repos refresh',
    'pacman -Sy',
    'peruse',
  ])('is not like one that always requests something: `%s`', async (line) => {
    const { run } = await withManagers();
    expectFailure(await run(line), 125, /requested nothing/);
  });
});

test('a package manager that fails, and has requested nothing, says alone why', async () => {
  const { run } = await withManagers({ script: () => 'echo no right >&2; exit 100' });
  for (const line of ['apt-get update', 'apt-get install hello', 'pip install hello'])
    expect(await run(line)).toMatchObject({ exitCode: 100, stderr: 'no right\n' });
  expectFailure(await run('peruse'), 100, /warning: .* requested nothing/);
});

describe('a command that works with what is on this host', () => {
  test.for([
    'apt-get clean',
    'apt -qq list --installed',
    'dnf -q list',
    'zypper -n se hello',
    'pacman -Ss hello',
    'pip list',
    'npm run build',
  ])('gets no pin, and no word: `%s`', async (line) => {
    const { run, server } = await withManagers({
      script: () => 'echo "$http_proxy at $MIRRORLATCH_URL_PIN"',
    });
    const result = await run(line);
    expect(result).toMatchObject({ exitCode: 0, stderr: '' });
    expect(result.stdout).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/ at \n$/);
    expect(server.requests).toEqual([]);
    const { stdout } = await run(line, '--snapshot', 'first');
    expect(stdout, 'but that of a snapshot that is asked for').toContain('/snapshots/first/');
  });

  test('gets its pin at its first request, such as for lists that are too old', async () => {
    const { run, url } = await withManagers({
      script: (at, root) => `
        curl -sS ${at}file ${at}file
        ln -s snapshots/first '${root}/flip' && mv -T '${root}/flip' '${root}/current'
        echo " $(curl -sS ${at}file) $(curl -sS ${at}../current.json)"`,
    });
    const { stdout, stderr } = await run('dnf -q list', '--verbose');
    expect(stdout).toBe(
      'secondsecond second {"format":1,"id":"second","path":"current/","previous":null}\n',
    );
    expect(stderr).toMatch(new RegExp(`^mirrorlatch: ${url} is pinned to second .*\n$`));
  });

  test('works while the mirror cannot be reached, and only what it requests is refused', async () => {
    const nowhere = `http://127.0.0.1:${await freePort()}/current/`;
    const { run } = await withManagers({ read: nowhere, at: nowhere });
    expect(await run('apt list')).toMatchObject({ exitCode: 0, stderr: '' });
    const asking = await withManagers({ script: (at) => `curl -sSf ${at}file`, at: nowhere });
    expectFailure(await asking.run('dnf list'), 22, /warning: .*nothing listens/, /error: 502/);
    expectFailure(await asking.run('dnf install hello'), 125, /nothing listens/);
  });

  test('needs no snapshot that is remembered, with --sticky', async () => {
    const { run } = await withManagers();
    expect(await run('zypper se hello', '--preset')).toMatchObject({ exitCode: 0, stderr: '' });
    expectFailure(await run('zypper install hello', '--preset'), 125, /is remembered/);
  });

  test('may leave something running that requests more', async () => {
    const { mirror, run } = await withManagers({
      script: (at, root) =>
        `(while [ ! -e '${root}/../go' ]; do sleep 0.05; done
          curl -sS ${at}file >'${root}/../out') >/dev/null 2>&1 &`,
    });
    expect(await run('npm start')).toMatchObject({ exitCode: 0, stderr: '' });
    await mirror.publish('third', { file: 'third' });
    writeFileSync(join(mirror.home, 'go'), '');
    const out = join(mirror.home, 'out');
    await eventually(() => expect(readFileSync(out, 'utf8')).toBe('second'));
  });
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
