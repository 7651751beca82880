import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, onTestFinished, test } from 'vitest';
import { expectFailure } from '../support/expect-failure.ts';
import { whyNotInstalled } from '../support/installed.ts';
import { runsAsRoot } from '../support/privilege.ts';
import { type ProgramOptions, runForJson, runProgram, transcript } from '../support/program.ts';
import { launcher } from '../support/project.ts';
import { startRsyncDaemon } from '../support/rsyncd.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { atTransfer, standInFor } from '../support/stand-in.ts';
import { openTerminal } from '../support/terminal.ts';

/** A directory with a source, and a configuration of these lines for the mirror `debian` of it. */
function configured(...lines: string[]) {
  const home = realpathSync(scratchDirectory());
  const [root, source, file] = ['mirror', 'source', 'config.toml'].map((name) =>
    join(home, name),
  ) as [string, string, string];
  mkdirSync(source);
  writeFileSync(join(source, 'a'), 'one');
  const write = (...text: string[]) => writeFileSync(file, `${text.join('\n')}\n`);
  write('[mirrors.debian]', `root = "${root}"`, `source = "${source}/"`, ...lines);
  const env = { MIRRORLATCH_CONFIG: file };
  const run = (args: readonly string[], options: ProgramOptions = {}) =>
    runProgram(args, { env, cwd: home, ...options });
  const json = (args: readonly string[]) => runForJson(args, { env, cwd: home });
  return { home, root, source, file, write, run, json };
}

/** The same, with the mirror made and synced once. */
async function synced(...lines: string[]) {
  const mirror = configured(...lines);
  for (const verb of ['init', 'sync']) {
    const result = await mirror.run([verb, 'debian']);
    expect(result.exitCode, transcript(result)).toBe(0);
  }
  return mirror;
}

describe('a name of the configuration', () => {
  test('stands for the path of the mirror in each command', async () => {
    const { run, root } = await synced();
    const current = await run(['current', 'debian']);
    expect(current.stdout.trimEnd()).toMatch(new RegExp(`^${root}/snapshots/\\d+T\\d+Z$`));
    for (const words of [['status'], ['list'], ['prune'], ['wait'], ['sync'], ['unlock']]) {
      const result = await run([...words, 'debian']);
      expect(result.exitCode, transcript(result)).toBe(0);
    }
  });

  test.each([
    { words: ['run', 'debian', '--', 'cat', 'a'] },
    { words: ['run', '-m', 'debian', '--', 'cat', 'a'] },
    { words: ['lock', 'debian', '--lock-only', '--', 'printf', 'one'] },
  ])('is one for $words, too, by the launcher', async ({ words }) => {
    const { run } = await synced();
    const result = await run(words, { byLauncher: true });
    expect(result.stdout, transcript(result)).toBe('one');
  });

  test('comes before a directory of that name, which is written ./NAME', async () => {
    const { run, home, root } = await synced();
    mkdirSync(join(home, 'debian'));
    expect((await run(['current', 'debian'])).stdout).toContain(root);
    expectFailure(await run(['current', './debian']), 66, /no mirror in \.\/debian/);
  });

  test('that is misspelt is asked for', async () => {
    const { run } = await synced();
    expectFailure(
      await run(['sync', 'debain']),
      66,
      /Did you mean debian\? It is a mirror of .*config.toml/,
    );
  });

  test('of a mirror that is missing does not make one, because its disk may not be mounted', async () => {
    const { run } = configured();
    expectFailure(
      await run(['sync', 'debian']),
      66,
      /its disk is not mounted.* mirrorlatch init debian/,
    );
  });
});

test('--config may stand before the verb and after it, for a command of the launcher, too', async () => {
  const { run, file, root } = await synced();
  const env = { MIRRORLATCH_CONFIG: undefined };
  for (const words of [
    ['--config', file, 'current', 'debian'],
    ['current', `--config=${file}`, 'debian'],
    ['current', 'debian', '--config', file],
    [`--config=${file}`, 'run', 'debian', '--', 'pwd'],
    ['--config', file, 'run', 'debian', '--', 'pwd'],
    ['run', 'debian', '--config', file, '--', 'pwd'],
  ]) {
    const result = await run(words, { env, byLauncher: true });
    expect(result.stdout, transcript(result)).toContain(`${root}/snapshots/`);
  }
});

test('a configuration that --config names is named by each command that is proposed', async () => {
  const { run, file, root, source } = configured();
  const env = { MIRRORLATCH_CONFIG: undefined };
  const named = `mirrorlatch --config ${file}`;
  const made = await run(['init', 'debian', '--config', file], { env });
  expect(made.stdout).toContain(`fill it with: ${named} sync ${root}`);
  const [, line = ''] = /fill it with: mirrorlatch (.*)/.exec(made.stdout) ?? [];
  const filled = await run(line.split(' '), { env });
  expect(filled.exitCode, transcript(filled)).toBe(0);
  const explained = await run(['--config', file, 'explain', 'debian', '--json'], { env });
  expect(explained.stdout).toContain(`"${named} sync ${root} --dry-run"`);
  const wrong = await run(['--config', file, 'diff', 'debian', 'current', 'lost'], { env });
  expectFailure(wrong, 66, new RegExp(`: ${named} list ${root}$`, 'm'));
  // Without it, the mirror has no source, which no push has brought.
  const bare = await run(['sync', root], { env });
  expectFailure(bare, 64, new RegExp(`has no source yet: it was filled from ${source}/$`, 'm'));
  expect(bare.stderr).not.toContain('--config');
});

describe('what the file says', () => {
  test('comes before mirror.json, whether the mirror is named or not, and a flag before both', async () => {
    const { run, json, root, write, source } = await synced();
    expect((await run(['init', root, '--keep-last', '4'])).exitCode).toBe(0);
    write(
      '[defaults]',
      'keep-last = 7',
      '[mirrors.debian]',
      `root = "${root}"`,
      `source = "${source}/"`,
    );
    for (const name of ['debian', root]) {
      expect(await json(['status', name, '--json'])).toMatchObject({ retention: { keepLast: 7 } });
    }
    const kept = await json([
      'prune',
      root,
      '--dry-run',
      '--keep-last',
      '2',
      '--grace',
      '0',
      '--json',
    ]);
    expect(JSON.stringify(kept)).toMatch(/one of the newest 2|last 1 of 2/);
    write('');
    expect(await json(['status', root, '--json'])).toMatchObject({ retention: { keepLast: 4 } });
  });

  test('is the source and the options of each sync', async () => {
    const { run, write, root, home, source } = await synced('rsync-options = ["--exclude=/b"]');
    const other = join(home, 'other');
    mkdirSync(other);
    for (const name of ['a', 'b', 'c']) writeFileSync(join(other, name), name);
    write(
      '[mirrors.debian]',
      `root = "${root}"`,
      `source = "${other}/"`,
      'rsync-options = ["--exclude=/c"]',
    );
    const result = await run(['sync', 'debian', '--allow-shrink']);
    expect(result.exitCode, transcript(result)).toBe(0);
    const seen = await run(['run', 'debian', '--', 'ls'], { byLauncher: true });
    expect(seen.stdout).toBe('a\nb\n');
    expect(source).not.toBe(other);
  });

  test('is how a sync works: its strategy, its limits, its patience', async () => {
    const { json } = await synced('strategy = "link-dest"', 'max-age = "1ms"');
    const { strategy } = (await json(['sync', 'debian', '--json'])) as { strategy: string };
    expect(strategy).toBe('link-dest');
    const again = await json(['sync', 'debian', '--strategy', 'plan', '--json']);
    expect(again).toMatchObject({ strategy: 'plan' });
  });

  test('makes the mirror in place', async () => {
    const { run, json } = configured('in-place = true');
    expect((await run(['init', 'debian'])).exitCode).toBe(0);
    expect((await run(['sync', 'debian'])).exitCode).toBe(0);
    expect(await json(['status', 'debian', '--json'])).toMatchObject({ mode: 'in-place' });
  });

  test('cannot be changed by init, which would never count', async () => {
    const { run, root } = await synced('keep-last = 7');
    const result = await run(['init', root, '--keep-last', '3']);
    expectFailure(result, 78, /sets keep-last \(.*config.toml, line 4\)/, /change it there/);
    expect((await run(['init', root, '--grace', '1h'])).exitCode).toBe(0);
  });
});

describe('clients', () => {
  test('get the aliases that the file names, and shims, if the command line names none', async () => {
    const { run, root, home } = await synced('aliases = ["head", "tail"]');
    const { stdout } = await run(['shell-init', 'sh']);
    expect(stdout.match(/^alias (\w+)=/gm)).toEqual(['alias head=', 'alias tail=']);
    expect(stdout).toContain(root);
    const shims = await run(['shims', join(home, 'bin')]);
    expect(shims.exitCode, transcript(shims)).toBe(0);
    const seen = await execa(join(home, 'bin/head'), ['a'], { cwd: join(root, 'current') });
    expect(seen.stdout).toBe('one');
    expectFailure(await run(['shell-init', 'sh', '--mirror', root]), 64, /no command was named/);
  });

  test('find a mirror where the file says, when it is served by name', async () => {
    const { run, root } = await synced('serve-as = "/pub/debian/"');
    const words = ['--listen', 'unix:/run/x.sock', '--nginx-config'];
    expect((await run(['serve', 'debian', ...words])).stdout).toContain('/pub/debian/');
    expect((await run(['serve', 'debian=/other/', ...words])).stdout).toContain('/other/');
    expect((await run(['serve', root, ...words])).stdout).not.toContain('/pub/debian/');
  });

  test.each([
    ['/pub/', 'debian', '/pub/current/'],
    ['/pub/', 'debian/current', '/pub/'],
    ['/pub/', 'debian/current=/x/', '/x/'],
    ['current=/pub/', 'debian', '/pub/'],
    ['current=/pub/', 'debian=/x/', '/x/current/'],
    ['current=/', 'debian/current', '/'],
  ])('with serve-as %s, %s has what is current at %s', async (place, word, content) => {
    const { run } = await synced(`serve-as = "${place}"`);
    const words = ['--listen', 'unix:/run/x.sock', '--nginx-config'];
    const { stdout } = await run(['serve', word, ...words]);
    const [, served] = /curl -I http:\/\/YOUR-SERVER(\S+) /.exec(stdout) ?? [];
    expect(served).toBe(content);
  });
});

describe('a mistake in the file', () => {
  test('keeps every writer from its work, but no reader, and no pin', async () => {
    const { run, root, write } = await synced();
    write('[mirrors.debian]', `root = "${root}"`, 'keep-lst = 3');
    for (const words of [['sync'], ['prune'], ['rollback'], ['lock', '--', 'true']]) {
      const [verb = '', ...rest] = words;
      const result = await run([verb, root, ...rest]);
      const code = verb === 'lock' ? 125 : 78;
      expectFailure(
        result,
        code,
        /config.toml, line 3: there is no key keep-lst/,
        /Did you mean keep-last\?/,
      );
    }
    for (const words of [
      ['list', root],
      ['current', root],
      ['wait', root],
      ['list', 'debian'],
      ['pin', 'debian'],
      ['tag', 'debian', 'current', 'tested'],
      ['unpin', root, 'current'],
    ])
      expect((await run(words)).exitCode).toBe(0);
    const status = await run(['status', root]);
    expect(status.exitCode).toBe(69);
    expect(status.stdout).toContain('the configuration is not valid');
    const seen = await run(['run', 'debian', '--', 'cat', 'a'], { byLauncher: true });
    expect(seen.stdout).toBe('one');
  });

  test('is a second name of one mirror, by whatever path', async () => {
    const { home, root, run, write } = configured();
    symlinkSync('mirror', join(home, 'link'));
    for (const path of [join(home, 'link'), `${root}/`, `${home}/source/../mirror`]) {
      write('[mirrors.a]', `root = "${root}"`, '[mirrors.b]', `root = "${path}"`);
      expectFailure(await run(['config', 'check']), 78, /line 4: b and a have one root/);
    }
  });

  test('leaves readers what the other files say, whatever it is', async () => {
    const { home, root, run } = await synced();
    const own = join(home, 'xdg', 'mirrorlatch');
    const drop = join(own, 'conf.d/10.toml');
    mkdirSync(join(own, 'conf.d'), { recursive: true });
    writeFileSync(join(own, 'config.toml'), `[mirrors.x]\nroot = "${root}"\n`);
    const env = { MIRRORLATCH_CONFIG: undefined, XDG_CONFIG_HOME: join(home, 'xdg') };
    const mistakes: [make: () => void, message: RegExp][] = [
      [() => writeFileSync(drop, 'keep-last = = 3\n'), /10.toml, line 1: not valid TOML/],
      [() => writeFileSync(drop, Buffer.from('# caf\xe9\n', 'latin1')), /10.toml is not in UTF-8/],
      [() => mkdirSync(drop), /10.toml is not a file/],
      [() => void execFileSync('mkfifo', [drop]), /10.toml is not a file/],
      [() => symlinkSync('/nonexistent', drop), /10.toml leads nowhere/],
      [() => symlinkSync('10.toml', drop), /10.toml leads nowhere/],
    ];
    for (const [make, message] of mistakes) {
      make();
      const seen = await run(['run', 'x', '--', 'cat', 'a'], { env, byLauncher: true });
      expect(seen.stdout, transcript(seen)).toBe('one');
      expectFailure(await run(['sync', 'x'], { env }), 78, message);
      rmSync(drop, { recursive: true });
    }
  });

  test('may be a file where there should be a directory', async () => {
    const { home, root, run } = await synced();
    const own = join(home, 'xdg', 'mirrorlatch');
    mkdirSync(own, { recursive: true });
    const env = { MIRRORLATCH_CONFIG: undefined, XDG_CONFIG_HOME: join(home, 'xdg') };
    writeFileSync(join(own, 'config.toml'), `[mirrors.x]\nroot = "${root}"\n`);
    const drops = join(own, 'conf.d');
    for (const make of [() => writeFileSync(drops, ''), () => symlinkSync('/etc/hosts', drops)]) {
      make();
      expectFailure(await run(['config', 'check'], { env }), 78, /conf.d is not a directory/);
      const seen = await run(['run', 'x', '--', 'cat', 'a'], { env, byLauncher: true });
      expect(seen.stdout, transcript(seen)).toBe('one');
      rmSync(drops);
    }
    rmSync(own, { recursive: true });
    writeFileSync(own, '');
    expectFailure(await run(['config', 'check'], { env }), 78, /mirrorlatch is not a directory/);
  });

  test('is named by config check, with all others', async () => {
    const { run, root, write } = configured();
    write('[mirrors.debian]', `root = "${root}"`, 'keep-lst = 3', 'wait = 5');
    const result = await run(['config', 'check']);
    expect(result.exitCode).toBe(78);
    expect(result.stderr).toMatch(/line 3: there is no key keep-lst/);
    expect(result.stderr).toMatch(/line 4: wait of \[mirrors.debian\] cannot be 5/);
  });
});

test('config check names a keyring that is not there or has no key, once for all mirrors', async () => {
  const { run, root, write } = configured();
  const text = join(root, '../no-keys');
  writeFileSync(text, 'root:x:0:0\n');
  write(
    '[defaults]',
    'check-keyring = "/nowhere/keys.gpg"',
    '[mirrors.a]',
    `root = "${root}"`,
    '[mirrors.b]',
    `root = "${root}-b"`,
    '[mirrors.c]',
    `root = "${root}-c"`,
    `check-keyring = "${text}"`,
  );
  const result = await run(['config', 'check']);
  expect(result.exitCode, transcript(result)).toBe(78);
  expect(
    result.stderr.match(/line 2: the keyring \/nowhere\/keys.gpg cannot be read/g),
  ).toHaveLength(1);
  expect(result.stderr).toMatch(/line 9: the keyring .*no-keys has no public key/);
});

test('config check names programs that no user can run, and what systemd knows no time for', async () => {
  const { home, run, root, write } = configured();
  const plain = join(home, 'plain');
  writeFileSync(plain, '');
  write(
    '[defaults]',
    'before-publish = ["/nope/x", "--all"]',
    `after-publish = "${plain}"`,
    'on-failure = "/nope/y || true"',
    'on-recovery = ["purge"]',
    'schedule = "Mon *-*-1..7 5:00 Nowhere/City"',
    '[mirrors.a]',
    `root = "${root}"`,
    'check-command = "/nope/z now"',
    '[mirrors.b]',
    `root = "${root}-b"`,
    'fill = ["/nope/fill"]',
    'schedule = "Mon *-*-1..7 5:00 UTC"',
  );
  const result = await run(['config', 'check']);
  expect(result.exitCode, transcript(result)).toBe(78);
  const problems = result.stderr.match(/line \d+: .*/g) ?? [];
  const withoutSystemd = problems.filter((problem) => !problem.includes('systemd'));
  expect(withoutSystemd.sort()).toEqual([
    'line 12: there is no program /nope/fill',
    'line 2: there is no program /nope/x',
    `line 3: there is no program ${plain}`,
    'line 9: there is no program /nope/z',
  ]);
  expect(problems.length - withoutSystemd.length).toBe(
    whyNotInstalled('systemd-analyze') === '' ? 1 : 0,
  );
});

describe('the files', () => {
  test('of a user are config.toml and conf.d, in the order of their names', async () => {
    const { home, root, source, json, run } = await synced();
    const own = join(home, 'xdg', 'mirrorlatch');
    mkdirSync(join(own, 'conf.d'), { recursive: true });
    writeFileSync(join(own, 'config.toml'), `[mirrors.x]\nroot = "${root}"\nkeep-last = 4\n`);
    writeFileSync(join(own, 'conf.d/2.toml'), '[mirrors.x]\nkeep-last = 6\n');
    writeFileSync(join(own, 'conf.d/10.toml'), '[mirrors.x]\nkeep-last = 5\n');
    writeFileSync(join(own, 'conf.d/3.toml.bak'), '[mirrors.x]\nkeep-last = 9\n');
    const env = { MIRRORLATCH_CONFIG: undefined, XDG_CONFIG_HOME: join(home, 'xdg') };
    const status = await run(['status', 'x', '--json'], { env });
    expect(status.json()).toMatchObject({ retention: { keepLast: 6 } });
    expect(source).toBeDefined();
    expect(await json(['config', 'show', '--json'])).toMatchObject([{ name: 'debian', root }]);
  });

  test.runIf(runsAsRoot)('may name mirrors that a reader of another cannot enter', async () => {
    const { home, root, file, run } = await synced();
    const closed = join(home, 'closed');
    mkdirSync(join(closed, 'x'), { recursive: true });
    chmodSync(closed, 0o700);
    chmodSync(home, 0o755);
    writeFileSync(file, `[mirrors.x]\nroot = "${closed}/x"\n[mirrors.debian]\nroot = "${root}"\n`);
    const through = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
    const result = await run(['status', 'debian'], {
      env: { MIRRORLATCH_CONFIG: file, HOME: '/' },
      cwd: '/',
      through,
    });
    expect(result.exitCode, transcript(result)).toBe(0);
  });

  test('may begin with the mark of UTF-8 that some editors write', async () => {
    const { run, file, root } = await synced();
    writeFileSync(file, `\uFEFF[mirrors.debian]\nroot = "${root}"\n`);
    expect((await run(['config', 'check'])).exitCode).toBe(0);
  });

  test.runIf(runsAsRoot)('that another user may write are not read', async () => {
    const { run, file } = await synced();
    chmodSync(file, 0o666);
    expectFailure(await run(['sync', 'debian']), 78, /may be changed by every user/);
    expectFailure(await run(['config', 'check']), 78, /may be changed by every user/, /chmod o-w/);
    chmodSync(file, 0o644);
    chownSync(file, 65534, 65534);
    expectFailure(await run(['config', 'check']), 78, /belongs to nobody/, /chown root/);
  });

  test('that are given must be there', async () => {
    const { run, home } = configured();
    const env = { MIRRORLATCH_CONFIG: join(home, 'none.toml') };
    expectFailure(await run(['config', 'check'], { env }), 78, /no configuration in .*none.toml/);
    mkdirSync(join(home, 'directory'));
    symlinkSync('loop', join(home, 'loop'));
    for (const name of ['directory', 'loop']) {
      const other = { MIRRORLATCH_CONFIG: join(home, name) };
      const result = await run(['config', 'check'], { env: other });
      expectFailure(result, 78, /not a file|leads nowhere/);
    }
  });
});

describe('config show', () => {
  test('names what counts, and where it is said', async () => {
    const long = `check-except = ["pool/${'a'.repeat(80)}"]`;
    const { json, run, root, file } = await synced('keep-within = "14d"', long);
    const { keys } = (await json(['config', 'show', 'debian', '--json'])) as { keys: object[] };
    expect(keys).toContainEqual({ key: 'keep-within', value: '"14d"', from: `${file}, line 4` });
    expect(keys).toContainEqual({
      key: 'grace',
      value: '"1d"',
      from: `${root}/.mirrorlatch/mirror.json`,
    });
    expect(keys).toContainEqual({ key: 'retries', value: '4', from: null });
    const { stdout } = await run(['config', 'show', 'debian']);
    expect(stdout).toMatch(/^key +value +from$/m);
    expect(stdout).toMatch(/^retries +4 +default$/m);
    // A path alone may be as long as it is.
    const lines = stdout.split('\n').filter((line) => line.length > 80);
    expect(lines.filter((line) => line.trim().split(/ {2,}/).length > 2)).toEqual([]);
    const at = stdout.split('\n').findIndex((line) => /^check-except /.test(line));
    expect(stdout.split('\n').slice(at, at + 2)).toEqual([
      expect.stringMatching(/^check-except +\["pool\/a{80}"\]$/),
      expect.stringMatching(/^ +\S+config\.toml, line 5$/),
    ]);
  });

  test('prints what mirror.json holds as a table that means the same', async () => {
    const { run, root, write, source } = configured();
    write('');
    const options = ['--exclude=/it\'s "q"/', '--bwlimit=5m'];
    const words = ['--keep-within', '36h', '--max-shrink', 'pool=10', '--probe', 'auto'];
    await run(['init', root, '--source', source, ...words, '--', ...options]);
    const before = (await run(['status', root, '--json'])).json();
    const table = await run(['config', 'show', root, '--toml']);
    write(table.stdout);
    expect((await run(['config', 'check'])).exitCode, table.stdout).toBe(0);
    const after = (await run(['status', 'mirror', '--json'])).json();
    expect(after).toEqual(before);
  });
});

describe('config init', () => {
  test('proposes a table for each mirror that is there, and writes no file over another', async () => {
    const { run, root, home, write } = await synced('keep-last = 9');
    write('');
    await run(['init', root, '--keep-last', '5']);
    const printed = await run(['config', 'init', home]);
    expect(printed.exitCode, transcript(printed)).toBe(0);
    expect(printed.stdout).toContain(`[mirrors.mirror]\nroot = "${root}"`);
    const file = join(home, 'new', 'config.toml');
    expect((await run(['config', 'init', home, '--output', file])).stdout).toContain(
      `written: ${file}`,
    );
    const env = { MIRRORLATCH_CONFIG: file };
    const status = await run(['status', 'mirror', '--json'], { env });
    expect(status.json()).toMatchObject({ root, retention: { keepLast: 5 } });
    expectFailure(await run(['config', 'init', home, '--output', file]), 64, /there already/);
  });

  test('proposes nothing that the configuration has', async () => {
    const { run, root, home, write } = await synced();
    write('');
    const { stdout: first } = await run(['config', 'init', home]);
    const source = /^#source = "(.*)"$/m.exec(first)?.[1] ?? 'rsync://mirror.example.org/x/';
    write(
      `[mirrors.own]\nroot = "${root}"`,
      `[mirrors.archive]\nroot = "${home}/archive"\nsource = "${source}"`,
    );
    const again = await run(['config', 'init', home]);
    expect(again.stdout).not.toContain(`root = "${root}"`);
    expect(again.stdout).not.toContain(source);
  });

  test('asks nobody for a file that is there already, and names another', async () => {
    const { file, home } = await synced();
    const terminal = openTerminal([launcher, 'config', 'init', home, '--output', file], {
      env: { MIRRORLATCH_CONFIG: file },
    });
    await terminal.shows('config init --output');
    expect(await terminal.exitCode).toBe(64);
  });

  test('asks at a terminal', async () => {
    const { file, root, home, write } = await synced();
    write('');
    const output = join(home, 'asked.toml');
    const terminal = openTerminal([launcher, 'config', 'init', home, '--output', output], {
      env: { MIRRORLATCH_CONFIG: file },
    });
    // What apt and cron of this host have is there, too.
    await terminal.shows(`Take the mirror ${root}? [Y/n]`);
    for (let count = 0; count < 40 && !existsSync(output); count += 1) {
      terminal.type('\r');
      await Promise.race([terminal.exitCode, terminal.shows('[Y/n]')]);
    }
    expect(await terminal.exitCode).toBe(0);
    expect(readFileSync(output, 'utf8')).toContain('[mirrors.mirror]');
  });
});

describe('a sync of several mirrors', () => {
  async function three() {
    const mirror = configured();
    const { home, source, write, run } = mirror;
    const table = (name: string, from: string) =>
      `[mirrors.${name}]\nroot = "${join(home, name)}"\nsource = "${from}/"`;
    write(table('a', source), table('lost', join(home, 'none')), table('c', source));
    for (const name of ['a', 'lost', 'c']) await run(['init', name]);
    return mirror;
  }

  test('reports each in a table, and the failure of one hurts no other', async () => {
    const { run } = await three();
    const result = await run(['sync', '--all', '--jobs', '2']);
    expect(result.exitCode, transcript(result)).toBe(66);
    expect(result.stderr).toMatch(/^mirrorlatch: lost: the source .* does not exist$/m);
    const rows = result.stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.split(/ {2,}/).slice(0, 2));
    expect(rows).toEqual([
      ['mirror', 'result'],
      ['a', 'published'],
      ['lost', 'failed (66)'],
      ['c', 'published'],
    ]);
  });

  test('goes on beside a mirror whose settings are damaged', async () => {
    const { run, home, source, write } = await three();
    writeFileSync(join(home, 'a/.mirrorlatch/mirror.json'), '');
    const settings = join(home, 'lost/.mirrorlatch/mirror.json');
    const noSource = { ...JSON.parse(readFileSync(settings, 'utf8')), source: 'http://x/' };
    writeFileSync(settings, JSON.stringify(noSource));
    write(
      ...['a', 'lost', 'c'].flatMap((name) => [
        `[mirrors.${name}]`,
        `root = "${join(home, name)}"`,
      ]),
      `source = "${source}"`,
    );
    const result = await run(['sync', '--all', '--json']);
    expect(result.exitCode, transcript(result)).toBe(78);
    expect(JSON.parse(result.stdout)).toMatchObject([
      { name: 'a', exitCode: 78, error: { message: expect.stringContaining('mirror.json') } },
      { name: 'lost', exitCode: 64 },
      { name: 'c', exitCode: 0, outcome: 'published' },
    ]);
  });

  test('names the way to make those that are not made yet', async () => {
    const { run, home } = await three();
    rmSync(join(home, 'c'), { recursive: true });
    const result = await run(['sync', '--all']);
    expect(result.stderr).toMatch(/c: there is no mirror in .*\n.* make it: mirrorlatch init c$/m);
  });

  test('begins none after a signal, and says so', async () => {
    const { run, home } = await three();
    const PATH = standInFor('rsync', join(home, 'bin'), atTransfer('kill -TERM "$PPID"'));
    const env = { MIRRORLATCH_CONFIG: join(home, 'config.toml'), PATH };
    const result = await run(['sync', 'a', 'c'], { env });
    expect(result.exitCode, transcript(result)).toBe(143);
    expect(result.stdout).toMatch(/^a +failed \(143\)/m);
    expect(result.stdout).toMatch(/^c +not begun/m);
    expect(result.stderr).not.toMatch(/^mirrorlatch: c: /m);
    const history = await run(['history', 'c', '--json']);
    expect(history.stdout).not.toContain('SIGTERM');
  });

  test('asks one upstream for one mirror at a time, also if only the mirrors know it', async () => {
    const { run, home, source, write } = await three();
    const daemon = await startRsyncDaemon([{ name: 'x', path: source }]);
    onTestFinished(() => daemon.stop());
    const names = ['p', 'q', 'r'];
    for (const name of names) await run(['init', join(home, name), '--source', daemon.url('x')]);
    write(...names.flatMap((name) => [`[mirrors.${name}]`, `root = "${join(home, name)}"`]));
    const result = await run(['sync', '--all', '--jobs', '3']);
    expect(result.exitCode, transcript(result)).toBe(0);
    const order = result.stderr
      .split('\n')
      .flatMap((line) => /^mirrorlatch: (.): /.exec(line)?.[1] ?? []);
    expect(order).toEqual(order.toSorted());
  });

  test('names their snapshots by one time', async () => {
    const { run } = await three();
    const result = await run(['sync', 'a', 'c', '--json']);
    expect(result.exitCode, transcript(result)).toBe(0);
    const ends: { id: string }[] = JSON.parse(result.stdout);
    expect(new Set(ends.map(({ id }) => id)).size).toBe(1);
    expect(ends).toMatchObject([{ name: 'a' }, { name: 'c' }]);
  });

  test('says nothing when all goes well, if it is to be quiet', async () => {
    const { run } = await three();
    const result = await run(['sync', 'a', 'c', '--quiet']);
    expect([result.exitCode, result.stdout, result.stderr]).toEqual([0, '', '']);
  });

  test('takes no other names beside --all, and needs a configuration', async () => {
    const { run, write, home } = await three();
    expectFailure(
      await run(['sync', 'a', 'losst']),
      64,
      /losst is no mirror/,
      /Did you mean lost\?/,
    );
    expect(existsSync(join(home, 'losst'))).toBe(false);
    expectFailure(await run(['sync', '--all', 'a']), 64, /name none/);
    expectFailure(await run(['sync', 'a', '--jobs', '2']), 64, /several/);
    write('');
    expectFailure(await run(['sync', '--all']), 78, /names no mirror/);
  });
});
