import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { expectFailure } from '../support/expect-failure.ts';
import { runForJson, runProgram, transcript } from '../support/program.ts';
import { bin, launcher } from '../support/project.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { mirrorsWith, type SmallMirror, smallMirror } from '../support/small-mirror.ts';

const oneSnapshot = mirrorsWith('first');

/** A mirror with a directory of rule files, which is not the working directory of the tests. */
function mirrorWithRules(files: Readonly<Record<string, string>>): SmallMirror & { rules: string } {
  const mirror = smallMirror();
  mirror.change({ secret: 'stays here' });
  const rules = join(mirror.home, 'rules');
  mkdirSync(rules);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(rules, name), text);
  return { ...mirror, rules };
}

function published({ root }: SmallMirror): string[] {
  return readdirSync(join(root, 'current')).sort();
}

describe('a file that an option of rsync names', () => {
  test.for([
    ['--exclude-from=ex'],
    ['--exclude-from', 'ex'],
    ['--filter=merge ex-rules'],
    ['--filter=. ex-rules'],
    ['-f', 'merge,- ex'],
    ['-f.-_ex'],
  ])('%s is taken from the working directory of the call that gave it', async (options) => {
    const mirror = mirrorWithRules({ ex: '/secret\n', 'ex-rules': '- /secret\n' });
    const { rules: cwd, source, root } = mirror;
    const first = await runProgram(['sync', source, root, '--', ...options], { cwd });
    expect(first.exitCode, transcript(first)).toBe(0);
    // Another file of that name, where cron starts.
    const elsewhere = scratchDirectory();
    for (const name of ['ex', 'ex-rules']) writeFileSync(join(elsewhere, name), '- /none\n');
    mirror.change({ file: 'changed' });
    const second = await runProgram(['sync', root], { cwd: elsewhere });
    expect(second.exitCode, transcript(second)).toBe(0);
    expect(published(mirror)).toEqual(['below', 'file']);
    expect(JSON.stringify(mirror.settings()['rsyncOptions'])).toContain(`${cwd}/ex`);
  });

  test('is given to init in the same way', async () => {
    const mirror = mirrorWithRules({ ex: '/secret\n' });
    const words = ['init', mirror.root, '--source', mirror.source, '--', '--exclude-from=ex'];
    expect((await runProgram(words, { cwd: mirror.rules })).exitCode).toBe(0);
    await runForJson(['sync', mirror.root]);
    expect(published(mirror)).toEqual(['below', 'file']);
  });

  test('has to be there, then and later', async () => {
    const mirror = mirrorWithRules({ ex: '/secret\n' });
    const { source, root, rules: cwd } = mirror;
    const given = [
      '--exclude-from=none',
      '--include-from=none',
      '--early-input=none',
      '--password-file=none',
      '--log-file=none/log',
      '-f. none',
    ];
    for (const option of given) {
      const result = await runProgram(['sync', source, root, '--', option], { cwd });
      expectFailure(result, 64, new RegExp(`cannot be used: there is no ${cwd}/none`));
    }
    for (const option of ['--exclude-from=-', '--filter=merge -', '--filter=. ']) {
      const result = await runProgram(['sync', source, root, '--', option], { cwd });
      expectFailure(result, 64, /it names no file, and standard input can be read only once/);
    }
    const options = [`--exclude-from=${cwd}/ex`, '--exclude=/x'];
    await runForJson(['sync', source, root, '--', ...options]);
    rmSync(join(cwd, 'ex'));
    const gone = new RegExp(`there is no ${cwd}/ex`);
    const hint = new RegExp(`: mirrorlatch init ${root} -- '--exclude=/x'$`, 'm');
    expectFailure(await runProgram(['sync', root]), 78, gone, hint);
  });

  test.for(['--source', '--adopt'])(
    'that each sync would refuse is refused by init %s, which leaves all as it is',
    async (verb) => {
      const mirror = mirrorWithRules({ open: 'let me in' });
      const { home, source, root, rules: cwd } = mirror;
      const made = verb === '--adopt' ? `${source}.mirror` : root;
      const line = verb === '--adopt' ? ['init', verb, source] : ['init', root, verb, source];
      const refused = [
        ['--exclude-from=none', /there is no \S+\/none$/m],
        ['--exclude-from=/dev/stdin', /\/dev\/stdin .*\/proc|not a regular file/],
        ['--filter=merge none', /there is no \S+\/none$/m],
        ['--password-file=open', /every user may read \S+\/open$/m],
        [`--log-file=${source}/log`, /rsync would write into \S+\/source$/m],
        [`--log-file=${made}/log`, /there is no \S+\/\S+$/m],
      ] as const;
      const through = ['sh', '-c', 'exec "$@" <open', 'sh'];
      for (const [option, why] of refused) {
        expectFailure(await runProgram([...line, '--', option], { cwd, through }), 64, why);
      }
      expect(readdirSync(home).sort()).toEqual(['rules', 'source']);
      expect((await runProgram([...line, '--', '--exclude=/secret'], { cwd })).exitCode).toBe(0);
      const settings = readFileSync(join(made, '.mirrorlatch/mirror.json'), 'utf8');
      for (const [option] of refused) {
        expectFailure(await runProgram([...line, '--', option], { cwd, through }), 64);
      }
      expect(readFileSync(join(made, '.mirrorlatch/mirror.json'), 'utf8')).toBe(settings);
    },
  );

  test('has to be a regular file, then and later: of a directory, rsync reads no rule', async () => {
    const mirror = mirrorWithRules({ ex: '/secret\n', outer: '' });
    const { source, root, rules: cwd } = mirror;
    writeFileSync(join(cwd, 'outer'), `merge ${cwd}/inner\n`);
    writeFileSync(join(cwd, 'inner'), '- /secret\n');
    await runForJson(['sync', source, root, '--', `--exclude-from=${cwd}/ex`]);
    for (const remake of ['mkdir', 'mkfifo']) {
      for (const name of ['ex', 'inner']) {
        await execa('sh', ['-c', `rm -r "$1"; ${remake} "$1"`, 'sh', join(cwd, name)]);
      }
      expectFailure(await runProgram(['sync', root]), 78, /rules\/ex is not a regular file/);
      for (const option of ['--filter=merge inner', '--filter=merge outer']) {
        const words = ['sync', source, join(mirror.home, 'other'), '--', option];
        expectFailure(await runProgram(words, { cwd }), 64, /rules\/inner is not a regular file/);
      }
    }
    expect(published(mirror)).toEqual(['below', 'file']);
  });

  test.for([
    '--exclude-from=/dev/stdin',
    '--include-from=/dev/fd/0',
    '--exclude-from=/proc/self/fd/3',
    '--filter=merge /dev/fd/3',
    '--filter=. outer',
    '--exclude-from=link',
    '--exclude-from=/proc/self/cwd/ex',
    '--exclude-from=/dev/fd/4/ex',
    '--log-file=/dev/fd/3',
  ])('is not one that leads through /proc: %s', async (option) => {
    const mirror = mirrorWithRules({ ex: '/secret\n', outer: 'merge /dev/stdin\n' });
    const { rules: cwd, source, root } = mirror;
    symlinkSync('hop/stdin', join(cwd, 'link'));
    symlinkSync('/dev', join(cwd, 'hop'));
    const through = ['sh', '-c', 'exec "$@" <ex 3<ex 4<.', 'sh'];
    const words = ['sync', source, root, '--', option];
    const why = /leads through \/proc, where rsync would find another file/;
    expectFailure(await runProgram(words, { cwd, through }), 64, why);
    expect(existsSync(root)).toBe(false);
  });

  test('for rsync to write lies neither in the mirror nor in the source, and has no other name', async () => {
    const mirror = await oneSnapshot();
    const { source, root, home } = mirror;
    const log = (name: string) => join(home, name);
    const published = join(root, 'current', 'file');
    await execa('sh', [
      '-c',
      `cd "$1" && ln mirror/current/file linked && ln -s mirror/x into && ln -s none dangling`,
      'sh',
      home,
    ]);
    symlinkSync(published, log('symlink'));
    const before = readFileSync(published, 'utf8');
    for (const [path, why] of [
      [published, /rsync would write into .*\/mirror$/m],
      [log('symlink'), /rsync would write into .*\/mirror$/m],
      [log('into'), /rsync would write into .*\/mirror$/m],
      [log('dangling'), /dangling is a symlink to nothing/],
      [log('linked'), /linked has a second name/],
      [join(source, 'log'), /rsync would write into .*\/source$/m],
      ['/dev/null', /is not a regular file/],
    ] as const) {
      for (const flag of ['--dry-run', '--quiet']) {
        const words = ['sync', root, flag, '--', `--log-file=${path}`];
        expectFailure(await runProgram(words), 64, why);
      }
    }
    expect(readFileSync(published, 'utf8')).toBe(before);
    expect(readdirSync(source)).not.toContain('log');
  });

  test('for rsync to write gets nothing of a dry run', async () => {
    const mirror = await oneSnapshot();
    mirror.change({ file: 'changed' });
    const log = join(mirror.home, 'log');
    const words = ['sync', mirror.root, '--', `--log-file=${log}`];
    await runForJson(words.toSpliced(2, 0, '--dry-run'));
    expect(existsSync(log)).toBe(false);
    await runForJson(words);
    expect(readFileSync(log, 'utf8')).toMatch('file');
  });

  test.for([
    ['./wrap.sh -x', '{cwd}/wrap.sh -x'],
    ['bin/wrap.sh', '{cwd}/bin/wrap.sh'],
    ['sh ../wrap.sh', '{home}/wrap.sh'],
    [
      'ssh -i key -F cfg -S sock -E log -I pkcs11.so',
      'ssh -i {cwd}/key -F {cwd}/cfg -S {cwd}/sock -E {cwd}/log -I {cwd}/pkcs11.so',
    ],
    [
      '/usr/bin/ssh -4ikey -S none -o IdentityFile=key -oControlPath=c -oForwardAgent=yes',
      '-4i{cwd}/key -S none -o IdentityFile={cwd}/key -oControlPath={cwd}/c -oForwardAgent=yes',
    ],
    ['ssh -i "my key" -p 22', 'ssh -i "{cwd}/my key" -p 22'],
    ['ssh -i ~/.ssh/key -J other host', 'ssh -i ~/.ssh/key -J other host'],
    ['env A=k/ssh k/ssh', 'env A=k/ssh {cwd}/k/ssh'],
    ['nice k/ssh -l a/none h:k/ssh', 'nice {cwd}/k/ssh -l a/none h:k/ssh'],
    ['sshpass -f k/pw ssh -k/pw', 'sshpass -f {cwd}/k/pw ssh -k/pw'],
  ] as const)(
    'by a remote shell, %s, is remembered by its absolute path',
    async ([given, kept]) => {
      const mirror = mirrorWithRules({});
      const { rules: cwd, home, source, root } = mirror;
      for (const directory of ['k', 'A=k', 'h:k', '-k']) {
        mkdirSync(join(cwd, directory));
        for (const name of ['ssh', 'pw']) writeFileSync(join(cwd, directory, name), '');
      }
      const words = ['init', root, '--source', source, '--', '-e', given];
      const result = await runProgram(words, { cwd });
      expect(result.exitCode, transcript(result)).toBe(0);
      const remembered = (mirror.settings()['rsyncOptions'] as string[]).join(' ');
      expect(remembered).toContain(kept.replaceAll('{cwd}', cwd).replaceAll('{home}', home));
    },
  );

  test('may not merge another one by a relative name', async () => {
    const mirror = mirrorWithRules({ outer: '# rules\nmerge inner\n', inner: '- /secret\n' });
    const { source, root, rules: cwd } = mirror;
    const words = ['sync', source, root, '--', '--filter=merge outer'];
    expectFailure(await runProgram(words, { cwd }), 64, /outer has the rule "merge inner"/);
    writeFileSync(join(cwd, 'outer'), `merge ${cwd}/inner\nmerge ${cwd}/outer-\n`);
    writeFileSync(join(cwd, 'outer-'), 'merge deeper\n');
    expectFailure(await runProgram(words, { cwd }), 64, /outer- has the rule "merge deeper"/);
    writeFileSync(join(cwd, 'outer-'), `merge ${cwd}/outer\n`);
    const circle = await runProgram(words.toSpliced(3, 0, '--retries', '0'), { cwd });
    expect(circle.stderr, 'rsync itself refuses a circle').toMatch(/rsync exit 11/);
    writeFileSync(join(cwd, 'outer-'), '- /below\n');
    expect((await runProgram(words, { cwd })).exitCode).toBe(0);
    expect(published(mirror)).toEqual(['file']);
  });
});

describe('a rule that protects what the source does not have', () => {
  /** A directory that holds a file of this host beside what the source has. */
  const withOwnFile = (files: Readonly<Record<string, string>> = {}) => {
    const mirror = mirrorWithRules(files);
    const directory = join(mirror.home, 'known');
    cpSync(mirror.source, directory, { recursive: true, preserveTimestamps: true });
    mkdirSync(join(directory, 'trace'));
    writeFileSync(join(directory, 'trace/myhost'), 'mine');
    return { ...mirror, directory, root: `${directory}.mirror` };
  };

  test('is refused in a mirror of snapshots, in files too', async () => {
    const mirror = withOwnFile({ words: '-_/x P_/trace\n', outer: '' });
    const { directory, root, source, rules: cwd } = mirror;
    writeFileSync(join(cwd, 'outer'), `# rules\nmerge,w ${cwd}/words\n`);
    const why = /a snapshot is a new tree, in which a rule protects nothing\n.*in-place/;
    for (const rule of ['protect /trace/***', '. outer']) {
      const words = ['sync', source, root, '--', `--filter=${rule}`];
      expectFailure(await runProgram(words, { cwd }), 64, why);
      expectFailure(await runProgram(words.toSpliced(3, 0, '--dry-run'), { cwd }), 64, why);
    }
    const options = ['--source', source, '--', '-fP /trace/***'];
    expectFailure(await runProgram(['init', '--adopt', directory, ...options]), 64, why);
    expectFailure(await runProgram(['init', root, ...options]), 64, why);
    expect(readdirSync(directory)).toContain('trace');
  });

  test('that a file comes to hold later ends the sync with 78 and the command that forgets the file', async () => {
    const mirror = withOwnFile({ outer: '- /x\n' });
    const { directory, root, source, rules: cwd } = mirror;
    const words = ['init', '--adopt', directory, '--source', source, '--', '-f. outer'];
    expect((await runProgram(words, { cwd })).exitCode).toBe(0);
    writeFileSync(join(cwd, 'outer'), 'P /trace/***\n');
    const failed = await runProgram(['sync', root]);
    const forget = new RegExp(`: mirrorlatch init ${root} --clear-options$`, 'm');
    expectFailure(failed, 78, /outer has the rule "P \/trace\/\*\*\*"/, forget);
    expect(readdirSync(directory)).toContain('trace');
  });

  test('is a pattern in a file of patterns, and obeyed in place', async () => {
    const { root, source, rules: cwd, ...mirror } = withOwnFile({ patterns: 'P secret\n' });
    mirror.change({ 'P secret': 'left out' });
    const words = ['sync', source, root, '--', '--filter=merge,- patterns'];
    expect((await runProgram(words, { cwd })).exitCode).toBe(0);
    expect(published({ ...mirror, root, source })).toEqual(['below', 'file', 'secret']);
    const inPlace = ['init', `${root}2`, '--in-place', '--adopt', mirror.directory];
    const rules = ['--source', source, '--', '-fP /trace/***'];
    expect((await runProgram([...inPlace, ...rules])).exitCode).toBe(0);
    await runForJson(['sync', `${root}2`]);
    expect(readdirSync(mirror.directory)).toContain('trace');
  });

  test('in a file of the source is not obeyed, and what it would protect is counted', async () => {
    const { root, source, ...mirror } = withOwnFile();
    mirror.change({ '.rsync-filter': 'P /trace/***\n' });
    writeFileSync(join(mirror.directory, '.rsync-filter'), 'P /trace/***\n');
    const words = ['init', '--adopt', mirror.directory, '--source', source, '--', '-F'];
    expect((await runProgram(words)).exitCode).toBe(0);
    const { plan } = await runForJson(['sync', root, '--dry-run']);
    expect(plan).toMatchObject({ deletedFiles: 1 });
    const unasked = /the sync would delete 2 entries of .* exclude: trace\//;
    expectFailure(await runProgram(['sync', root]), 65, unasked);
    const synced = await runForJson(['sync', root, '--', '--delete-excluded']);
    expect(synced['plan']).toMatchObject({ deletedFiles: 1 });
    expect(readdirSync(mirror.directory)).not.toContain('trace');
  });
});

test('an option for the other rsync is refused if the source is on this host: it would write the mirror', async () => {
  const mirror = await oneSnapshot();
  const { source, root } = mirror;
  const log = join(root, 'current/log');
  for (const option of [`-M--log-file=${log}`, '--remote-option=--inplace']) {
    for (const flags of [[], ['--dry-run']]) {
      const result = await runProgram(['sync', root, ...flags, '--', option]);
      expectFailure(result, 64, /the source is on this host/, /Give the option itself/);
    }
  }
  expect(published(mirror)).toEqual(['below', 'file']);
  const words = ['init', root, '--source', 'host:/x', '--', '-M--fake-super'];
  expect((await runProgram(words)).exitCode).toBe(0);
  expect((await runProgram(['init', root, '--source', source])).exitCode).toBe(0);
  const forget = new RegExp(`: mirrorlatch init ${root} --clear-options$`, 'm');
  expectFailure(await runProgram(['sync', root]), 78, forget);
});

describe('options after -- of a later sync', () => {
  test('are added to those that the mirror remembers, for that run', async () => {
    const mirror = smallMirror();
    mirror.change({ secret: 'stays here', other: 'x' });
    await mirror.sync('--', '--exclude=/secret');
    await runForJson([
      'sync',
      mirror.root,
      '--allow-shrink',
      '--',
      '--bwlimit=5m',
      '--exclude=/other',
    ]);
    expect(published(mirror)).toEqual(['below', 'file']);
    await runForJson(['sync', mirror.root]);
    expect(published(mirror)).toEqual(['below', 'file', 'other']);
    expect(mirror.settings()['rsyncOptions']).toEqual(['--exclude=/secret']);
  });

  test('that contradict those are named, and the same ones are not', async () => {
    const mirror = smallMirror();
    mirror.change({ secret: 'stays here' });
    await mirror.sync('--', '--exclude=/secret', '--bwlimit=10m', '--whole-file');
    const given = ['--bwlimit=5m', '--no-whole-file', '--include=/secret', '--exclude', '/secret'];
    const result = await runProgram(['sync', mirror.root, '--', ...given]);
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(result.stderr).toMatch(
      "'--bwlimit=5m' replaces '--bwlimit=10m', which the mirror remembers, in this run",
    );
    expect(result.stderr).toMatch('--no-whole-file replaces --whole-file');
    expect(result.stderr).toMatch(
      "'--include=/secret' comes after the filter rules that the mirror",
    );
    const first =
      /from now on: mirrorlatch init (\S+) -- '--include=\/secret' '--exclude=\/secret' /;
    expect(first.exec(result.stderr)?.[1], transcript(result)).toBe(mirror.root);
    expect(result.stderr.match(/--exclude/g), 'no other of these').toHaveLength(1);
    expect(published(mirror)).toEqual(['below', 'file']);
    const quiet = await runProgram(['sync', mirror.root, '--quiet', '--', ...given]);
    expect(quiet.stderr).toBe('');
  });
});

test('a whole line that lacks a remembered rule is told what is left out by it', async () => {
  const mirror = smallMirror();
  mirror.change({ Packages: 'an index', Release: 'another' });
  const rules = ['--exclude', 'Packages*', '--exclude', 'Release*'];
  await runForJson(['sync', '-a', ...rules, mirror.source, mirror.root]);
  const second = ['sync', '-a', '--delete-after', '--exclude=Release*', mirror.source, mirror.root];
  const result = await runProgram(second);
  expect(result.stderr).toContain(
    "the mirror also remembers --exclude 'Packages*', so what that leaves out is missing",
  );
  const init = /mirrorlatch (init \S+ -- .*)$/m.exec(result.stderr)?.[1] ?? '';
  await execa('sh', ['-c', `'${launcher}' ${init}`]);
  const whole = await runProgram(second);
  expect(whole.stderr).not.toContain('remembers');
  expect(published(mirror)).toEqual(['Packages', 'below', 'file']);
  expect((await runProgram(['sync', mirror.root])).stderr).not.toContain('remembers');
});

describe('options of a first sync that published nothing', () => {
  test('are not remembered against a call that names its source anew', async () => {
    const mirror = smallMirror();
    const wrong = ['sync', mirror.source, mirror.root, '--', '--bwlimit=wrong'];
    expectFailure(await runProgram(wrong), 64, /rsync does not accept these options/);
    await mirror.sync();
    expect(mirror.settings()).toMatchObject({ source: `${mirror.source}/`, rsyncOptions: [] });
    expect(mirror.settings()).not.toHaveProperty('firstSync');
  });

  test('hold for what names no source, and are shown, until init replaces them', async () => {
    const mirror = smallMirror();
    mirror.change({ secret: 'stays here' });
    const words = ['sync', mirror.source, mirror.root, '--', '--exclude=/secret'];
    const killed = await runProgram([...words, '--usermap=wrong']);
    expect(killed.exitCode, transcript(killed)).toBe(64);
    expect(await runForJson(['status', mirror.root]).catch(String)).toContain('--exclude=/secret');
    await runForJson(['init', mirror.root, '--', '--exclude=/secret']);
    await runForJson(['sync', mirror.root]);
    expect(published(mirror)).toEqual(['below', 'file']);
    expect(mirror.settings()).toMatchObject({ source: `${mirror.source}/` });
  });
});

/** Puts words into the place of the option --exclude=/zz that a mirror remembers. */
function rememberInstead(mirror: SmallMirror, words: readonly string[]): void {
  const path = mirror.state('mirror.json');
  const written = words.map((word) => JSON.stringify(word)).join(',');
  writeFileSync(path, readFileSync(path, 'utf8').replace('"--exclude=/zz"', written));
}

test.for([
  [['-R'], ''],
  [['-zR'], ' -z'],
  [['--an-option-of-another-version'], ''],
  [['--an-option-of-another-version', 'value'], ''],
  [['--chmod'], ''],
] as const)(
  '%s, remembered by another version, ends each sync with 78, on record, and can be forgotten',
  async ([words, rest]) => {
    const mirror = await oneSnapshot();
    await runForJson(['init', mirror.root, '--', '--exclude=/none', '--exclude=/zz']);
    rememberInstead(mirror, words);
    mirror.change({ file: 'changed' });
    const failed = await runProgram(['sync', mirror.root]);
    expectFailure(failed, 78, /[^.]\. \S+ remembers that option/);
    const [forget = ''] = /mirrorlatch init \S+ .*/.exec(failed.stderr) ?? [];
    expect(forget).toBe(`mirrorlatch init ${mirror.root} -- '--exclude=/none'${rest}`);
    const status = await runProgram(['status', mirror.root]);
    expect(status.exitCode, transcript(status)).toBe(69);
    expect(status.stdout).toMatch(/the last sync or lock failed/);
    expectFailure(
      await runProgram(['sync', mirror.root, '--dry-run']),
      78,
      /remembers that option/,
    );
    await execa('sh', ['-c', `mirrorlatch() { ${process.execPath} ${bin} "$@"; }\n${forget}`]);
    await runForJson(['sync', mirror.root]);
    expect(readFileSync(join(mirror.root, 'current/file'), 'utf8')).toBe('changed');
  },
);

test('an option that a first sync of another version remembered can be seen and forgotten, too', async () => {
  const mirror = smallMirror();
  const words = ['sync', 'rsync://127.0.0.1:9/none', mirror.root, '--retries', '0'];
  expect((await runProgram([...words, '--', '--exclude=/zz'])).exitCode).toBe(69);
  rememberInstead(mirror, ['-R']);
  const status = await runProgram(['status', mirror.root, '--json']);
  expect(status.json()).toMatchObject({ rsyncOptions: ['-R'] });
  const failed = await runProgram(['sync', mirror.root]);
  expectFailure(failed, 78, /: mirrorlatch init \S+ --clear-options$/m);
  await runForJson(['init', mirror.root, '--clear-options', '--source', mirror.source]);
  expect(await runForJson(['sync', mirror.root])).toMatchObject({ outcome: 'published' });
});

test('a source that is refused in a mirror of another command is not remembered', async () => {
  const mirror = smallMirror();
  await runForJson(['init', mirror.root]);
  const fill = 'cd "$MIRRORLATCH_STAGING" && touch a b c';
  const filled = await runProgram(['lock', mirror.root, '--', 'sh', '-c', fill]);
  expect(filled.exitCode, transcript(filled)).toBe(0);
  const refused = await runProgram(['sync', mirror.source, mirror.root, '--', '--exclude=/x']);
  expectFailure(refused, 65, /was filled by lock, command sh; this sync brings \S+\/source\/$/m);
  expect(mirror.settings()).not.toHaveProperty('firstSync');
  const unnamed = await runProgram(['sync', mirror.root]);
  expectFailure(
    unnamed,
    64,
    /has no source yet: it was filled by lock, command sh$/m,
    /again in that way/,
  );
  await mirror.sync('--allow-shrink', '--', '--exclude=/below');
  expect(mirror.settings()).toMatchObject({
    source: `${mirror.source}/`,
    rsyncOptions: ['--exclude=/below'],
  });
});

test('init replaces the options, prints which, and clears them; status shows source, options and rules', async () => {
  const mirror = await oneSnapshot();
  await runForJson(['init', mirror.root, '--keep-within', '14d', '--', '--exclude=/a b', '-z']);
  const { stdout } = await runProgram(['status', mirror.root]);
  expect(stdout).toMatch(/^source +.*\/source\/$/m);
  expect(stdout).toMatch(/^options +'--exclude=\/a b' -z$/m);
  expect(stdout).toMatch(
    /^keeps +the last 3 snapshots, those published within 14d and those that/m,
  );
  expect(await runForJson(['status', mirror.root])).toMatchObject({
    rsyncOptions: ['--exclude=/a b', '-z'],
    retention: { keepLast: 3, keepWithinMs: 14 * 24 * 3600 * 1000 },
  });
  const replaced = await runProgram(['init', mirror.root, '--', '--exclude=/b']);
  expect(replaced.stdout).toMatch(
    /^rsync gets '--exclude=\/b', in place of '--exclude=\/a b' -z$/m,
  );
  const cleared = await runProgram(['init', mirror.root, '--clear-options']);
  expect(cleared.stdout).toMatch(/^rsync gets no options, in place of '--exclude=\/b'$/m);
  expect(mirror.settings()['rsyncOptions']).toEqual([]);
});

describe('a source other than the one that a mirror remembers', () => {
  test('is refused by name, unless --other-source or init says that it is meant', async () => {
    const mirror = await oneSnapshot();
    const other = join(mirror.home, "it's other");
    await execa('cp', ['-a', mirror.source, other]);
    writeFileSync(join(other, 'file'), 'of the other');
    for (const words of [
      ['sync', other, mirror.root],
      ['sync', other, mirror.root, '--dry-run'],
      ['sync', 'rsync://127.0.0.1:1/x/', mirror.root],
    ]) {
      const result = await runProgram(words);
      expectFailure(result, 64, /is a mirror of .*\/source\/, not of /, /--other-source/);
    }
    expect(readFileSync(join(mirror.root, 'current/file'), 'utf8')).toBe('first');
    await runForJson(['sync', other, mirror.root, '--other-source']);
    expect(readFileSync(join(mirror.root, 'current/file'), 'utf8')).toBe('of the other');
    expect(mirror.settings()['source']).toBe(`${mirror.source}/`);
    // The hint can be pasted.
    const { stderr } = await runProgram(['sync', other, mirror.root]);
    const [, command = ''] = /for good: mirrorlatch (.*)$/m.exec(stderr) ?? [];
    await execa('sh', ['-c', `"$0" "$1" ${command}`, process.execPath, bin]);
    expect(mirror.settings()['source']).toBe(`${other}/`);
  });

  test('is the same by another spelling of its path', async () => {
    const mirror = await oneSnapshot();
    await execa('ln', ['-s', mirror.source, join(mirror.home, 'link')]);
    for (const source of [`${mirror.source}//`, join(mirror.home, 'link'), './source']) {
      const result = await runProgram(['sync', source, mirror.root], { cwd: mirror.home });
      expect(result.exitCode, transcript(result)).toBe(0);
    }
  });
});
