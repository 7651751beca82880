import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import { refuseNeeded } from '../../src/reader/shims.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { builtReader } from '../support/guards.ts';
import { mayMount, nobody, runsAsRoot } from '../support/privilege.ts';
import {
  nobodyRunsTheProgram,
  runForJson,
  runProgram,
  startProcess,
  startProgram,
  transcript,
} from '../support/program.ts';
import { launcher } from '../support/project.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { mirrorsWith, smallMirror } from '../support/small-mirror.ts';
import { describeTree, difference } from '../support/tree.ts';
import { commandsReading } from '../support/watched-command.ts';

const oneSnapshot = mirrorsWith('first');
const twoSnapshots = mirrorsWith('first', 'second');

test.runIf(mayMount)(
  'I1: a command found in PATH sees one snapshot, whatever calls it; bare it sees two',
  async () => {
    const home = join(scratchDirectory(), `it's "my" $mirror\n\`here\` \\ é`);
    mkdirSync(home);
    const mirror = smallMirror({ home });
    for (const id of ['first', 'second']) await mirror.publish(id, { file: id });
    const { bin, env, whileFlipped } = commandsReading(mirror.root);
    const directory = join(home, 'shims');
    await runForJson(['shims', directory, '--mirror', mirror.root, 'peruse', 'apt-get']);
    // PATH is set as by secure_path of sudo, a crontab, and Environment= of systemd.
    const PATH = `${directory}:${bin}:/usr/bin:/bin`;
    const options = { env: { ...env, PATH }, extendEnv: false, cwd: '/' };
    const calls = [
      (number: number) => execa(join(directory, 'peruse'), [`${number}`], options),
      (number: number) => execa('sh', ['-c', `peruse ${number}; exit`], options),
      (number: number) => execa('sudo', ['env', 'peruse', `${number}`], options),
    ];
    for (const [number, call] of calls.entries()) {
      const [before, after, cwd] = await whileFlipped(number, () => call(number));
      expect([before, cwd]).toEqual([after, '/']);
    }
    const bare = await whileFlipped(9, () => execa(join(bin, 'peruse'), ['9'], options));
    expect(bare[0]).not.toBe(bare[1]);
  },
);

test.runIf(mayMount)('with --sticky apt-get install sees what apt-get update saw', async () => {
  const mirror = await twoSnapshots();
  const { bin, env } = commandsReading(mirror.root);
  const directory = join(mirror.home, 'shims');
  await runForJson(['shims', directory, '-m', mirror.root, '--sticky', 'apt-get'], { env });
  const type = (command: string) =>
    execa('sh', ['-c', command], {
      env: { ...env, PATH: `${directory}:/usr/sbin:${env.PATH}` },
      extendEnv: false,
      cwd: '/',
    });
  await type('apt-get update');
  await mirror.publish('third', { file: 'third' });
  await type('apt-get install hello && apt-get update && apt-get install hello');
  expect(
    readFileSync(join(bin, '..', 'read'), 'utf8')
      .trim()
      .split('\n'),
  ).toEqual([...['second', 'second', 'third', 'third']]);
});

test.runIf(runsAsRoot)(
  'a shim and an alias of root do not run a script that another user can change',
  async () => {
    const { root, home, state } = await oneSnapshot();
    const directory = join(home, 'shims');
    const shims = () => runProgram(['shims', directory, '--mirror', root, 'nl']);
    const own = await shims();
    expect(own.stderr, transcript(own)).not.toMatch(/another user/);
    expect(readFileSync(join(directory, 'nl'), 'utf8')).toContain(state('reader'));
    for (const path of [state('reader'), state(), root]) {
      chownSync(path, nobody.uid, nobody.gid);
      const result = await shims();
      expect(result.stderr, transcript(result)).toContain(
        `another user than you and root can change ${path}, so the guard is mirrorlatch run`,
      );
      expect(readFileSync(join(directory, 'nl'), 'utf8')).not.toContain(state('reader'));
      const alias = await runProgram(['shell-init', 'bash', '--mirror', root, '--sudo', 'nl']);
      expect(alias.stdout, transcript(alias)).toMatch(/mirrorlatch'* run /);
      chownSync(path, 0, 0);
    }
    chmodSync(state(), 0o777);
    expect((await shims()).stderr).toContain(
      `another user than you and root can change ${state()}`,
    );
  },
);

test('a shim passes on the exit code of its command, and exits with 125 if the mirror is gone', async () => {
  const mirror = await oneSnapshot();
  const bin = join(mirror.home, 'bin');
  mkdirSync(bin);
  writeFileSync(join(bin, 'peruse'), '#!/bin/sh\nexit 42\n', { mode: 0o755 });
  const [failing, running] = [join(mirror.home, 'failing'), join(mirror.home, 'running')];
  await runForJson(['shims', failing, '-m', mirror.root, 'peruse']);
  await runForJson(['shims', running, '-m', mirror.root, '--if-unavailable', 'run', 'peruse']);
  const env = { PATH: `${bin}:${process.env['PATH']}` };
  const exitOf = async (directory: string) =>
    (await execa(join(directory, 'peruse'), { env, reject: false })).exitCode;
  expect([await exitOf(failing), await exitOf(running)]).toEqual([42, 42]);
  renameSync(mirror.root, join(mirror.home, 'elsewhere'));
  expect([await exitOf(failing), await exitOf(running)]).toEqual([125, 42]);
});

test('a variable that sh does not pass on, and a function of bash, reach the command of a shim and of lock', async () => {
  const mirror = await oneSnapshot();
  const directory = join(mirror.home, 'shims');
  const env = {
    'a.b': "it's\n1",
    IFS: 'x',
    OPTIND: '9',
    'BASH_FUNC_[%%': '() {  echo replaced;\n}',
  };
  const print = ['-0', ...Object.keys(env)];
  const { PATH } = commandsReading(mirror.root).env;
  const shim = join(directory, 'printenv');
  for (const options of [[], ['--sticky']]) {
    const words = ['-m', mirror.root, '--pin', 'cwd', ...options, 'printenv'];
    await runForJson(['shims', directory, ...words], { env: { PATH } });
    for (const command of [
      [shim, ...print],
      ['bash', '--posix', shim, ...print],
      [launcher, 'lock', mirror.root, '--lock-only', '--', 'printenv', ...print],
    ]) {
      const result = await startProcess(['env', ...command], { env: { PATH, ...env } }).result;
      expect(result.stdout.split('\0'), transcript(result)).toEqual([...Object.values(env), '']);
    }
  }
});

test('the directory is made with its parents, and everybody can use it, whatever the umask', async () => {
  const mirror = await oneSnapshot();
  const directory = join(mirror.home, 'a', 'b', 'shims');
  const made = ['shims', directory, '-m', mirror.root, 'apt', '[', 'apt'];
  expect(await runForJson(made, { umask: '077' })).toEqual({
    directory,
    shims: [
      { command: 'apt', path: join(directory, 'apt'), outcome: 'written' },
      { command: '[', path: join(directory, '['), outcome: 'written' },
    ],
  });
  for (const path of [
    directory,
    dirname(directory),
    join(directory, 'apt'),
    join(directory, '['),
  ]) {
    expect(statSync(path).mode & 0o7777, path).toBe(0o755);
  }
});

test('repeating the command changes nothing, and other options replace the file in one step', async () => {
  const mirror = await oneSnapshot();
  const directory = join(mirror.home, 'shims');
  const write = async (...options: string[]) =>
    (await runForJson(['shims', directory, '-m', mirror.root, 'apt', ...options]))['shims'];
  await write();
  const before = describeTree(directory);
  expect(await write()).toMatchObject([{ outcome: 'unchanged' }]);
  expect(difference(before, describeTree(directory))).toEqual([]);
  expect(await write('--wait', '30s')).toMatchObject([{ outcome: 'written' }]);
  expect(readFileSync(join(directory, 'apt'), 'utf8')).toMatch(/reader --wait 30s --chdir no -- /);
  chmodSync(join(directory, 'apt'), 0o700);
  expect(await write('--wait', '30s')).toMatchObject([{ outcome: 'written' }]);
  expect(statSync(join(directory, 'apt')).mode & 0o7777).toBe(0o755);
  expect(readdirSync(directory)).toEqual(['apt']);
});

test('a shim is whole at every instant while it is replaced', async () => {
  const mirror = await oneSnapshot();
  const directory = join(mirror.home, 'shims');
  const write = (wait: number) =>
    runForJson(['shims', directory, '-m', mirror.root, '--wait', `${wait}s`, 'date']);
  await write(0);
  let isWriting = true;
  let runs = 0;
  const running = (async () => {
    for (; isWriting; runs += 1) await execa(join(directory, 'date'));
  })();
  for (let round = 1; round <= 4 || runs < 10; round += 1) {
    await Promise.all([write(10 * round), write(10 * round + 1)]);
  }
  isWriting = false;
  await running;
  expect(readdirSync(directory)).toEqual(['date']);
});

test.for([
  'a file',
  'an empty file',
  'a symlink to a shim',
  'a directory',
  'a dangling symlink',
  'a fifo',
])(
  'I12: %s in place of a shim is refused with 78, and nothing is written or removed',
  async (what) => {
    const mirror = await oneSnapshot();
    const directory = join(mirror.home, 'shims');
    const path = join(directory, 'apt');
    await runForJson(['shims', directory, '-m', mirror.root, 'another']);
    if (what === 'a file') writeFileSync(path, '#!/bin/sh\nexec /usr/bin/apt "$@"\n');
    else if (what === 'an empty file') writeFileSync(path, '');
    else if (what === 'a symlink to a shim') symlinkSync('another', path);
    else if (what === 'a directory') mkdirSync(path);
    else if (what === 'a dangling symlink') symlinkSync('nothing', path);
    else await execa('mkfifo', [path]);
    const before = describeTree(directory);
    for (const words of [
      ['-m', mirror.root, 'before', 'apt'],
      ['--remove', 'another', 'apt'],
    ]) {
      const result = await runProgram(['shims', directory, ...words]);
      expectFailure(result, 78, /apt is not a shim of mirrorlatch/, /a directory of their own/);
    }
    expect(difference(before, describeTree(directory))).toEqual([]);
    expect(await runForJson(['shims', directory, '--remove'])).toMatchObject({
      shims: [{ command: 'another', outcome: 'removed' }],
    });
    expect(readdirSync(directory)).toEqual(['apt']);
  },
);

test('--remove removes the given shims, or all, and leftovers of a killed run, and may be repeated', async () => {
  const mirror = await oneSnapshot();
  const directory = join(mirror.home, 'shims');
  await runForJson(['shims', directory, '-m', mirror.root, 'a', 'b', 'c']);
  copyFileSync(join(directory, 'a'), join(directory, '.mirrorlatch-0123456789ab'));
  writeFileSync(join(directory, 'note'), 'of mine');
  const remove = async (...names: string[]) => {
    const { shims } = await runForJson(['shims', directory, '--remove', ...names]);
    return (shims as { command: string; outcome: string }[]).map(
      ({ command, outcome }) => `${command} ${outcome}`,
    );
  };
  expect(await remove('a', 'x')).toEqual(['a removed', 'x absent']);
  expect(await remove()).toEqual(['.mirrorlatch-0123456789ab removed', 'b removed', 'c removed']);
  expect(await remove()).toEqual([]);
  expect(readdirSync(directory)).toEqual(['note']);
  const absent = await runProgram(['shims', join(mirror.home, 'nowhere'), '--remove']);
  expect(absent.exitCode, transcript(absent)).toBe(0);
  expect(absent.stdout).toBe(`there are no shims in ${join(mirror.home, 'nowhere')}\n`);
  expect(existsSync(join(mirror.home, 'nowhere'))).toBe(false);
});

test('the human output has a line for each shim, and a hint if the directory is not in PATH', async () => {
  const mirror = await oneSnapshot();
  const directory = join(mirror.home, 'shims');
  const write = ['shims', directory, '-m', mirror.root, 'apt', 'apt-get'];
  expect((await runProgram(write)).stdout.trimEnd().split('\n')).toEqual([
    'command  shim',
    `apt      ${join(directory, 'apt')}      written`,
    `apt-get  ${join(directory, 'apt-get')}  written`,
    `Put ${directory} before the other directories of PATH.`,
  ]);
  const inPath = { env: { PATH: `${directory}:${process.env['PATH']}` } };
  expect((await runProgram(write, inPath)).stdout).not.toMatch(/PATH/);
  const early = await runProgram(['shims', directory, '-m', '/no/mirror', 'apt'], inPath);
  expect(early.stderr).toMatch(/^mirrorlatch: warning: there is no mirror in \/no\/mirror yet/m);
  const undone = await runProgram(['shims', directory, '--remove', 'apt']);
  expect(undone.stdout.trimEnd().split('\n')[1]).toBe(
    `apt      ${join(directory, 'apt')}  removed`,
  );
});

test('an invalid command line exits with 64 and writes nothing', async () => {
  const mirror = await oneSnapshot();
  const directory = join(mirror.home, 'shims');
  const of = (...words: string[]) => runProgram(['shims', directory, ...words]);
  for (const [result, ...said] of [
    [await of('apt'), /no mirror was given/],
    [await of('-m', mirror.root), /no command was named/],
    [await of('-m', mirror.root, 'apt', '/usr/bin/apt'), /cannot be the name of a shim/],
    [await of('-m', mirror.root, 'apt', '..'), /cannot be the name of a shim/],
    [await of('-m', mirror.root, '--', '-x'), /"-x" cannot be the name of a shim/],
    [await of('-m', mirror.root, 'a\nb'), /"a\\nb" cannot be the name of a shim/],
    [await of('-m', mirror.root, ''), /"" cannot be the name of a shim/],
    [await of('-m', mirror.root, 'flock'), /the guard itself runs it/],
    [await of('-m', mirror.root, 'apt', 'ssh'), /ssh cannot be guarded: a sync itself runs it/],
    [await of('--remove', '../mirror'), /cannot be the name of a shim/],
    [await of('-m', mirror.root, '--or-current', 'apt'), /--sticky/],
    [await of('-m', mirror.root, '--if-unavailable', 'maybe', 'apt'), /fail, run/],
  ] as const) {
    expectFailure(result, 64, ...said);
    expect(result.stdout).toBe('');
  }
  expect(existsSync(directory)).toBe(false);
});

test.runIf(mayMount)(
  'programs that the guard runs are refused, because it would call itself for ever',
  async () => {
    const mirror = await oneSnapshot();
    const home = scratchDirectory();
    const named = [launcher, builtReader].flatMap((file) => {
      const [, words = ''] = /^unset -f ((?:.*\\\n)*.*)/m.exec(readFileSync(file, 'utf8')) ?? [];
      return words.split(/[\s\\]+/);
    });
    expect(named).toContain('flock');
    const isBuiltin = 'case $(command -v -- "$0") in /*) exit 1 ;; esac';
    const needed = named.filter((name) => spawnSync('sh', ['-c', isBuiltin, name]).status === 1);
    // A builtin, but unshare runs the program.
    needed.push('true');
    for (const name of needed) expect(() => refuseNeeded(name)).toThrow('the guard itself runs it');
    // A program of any other name tells of each call.
    const [own, told] = [join(home, 'own'), join(home, 'told')];
    mkdirSync(own);
    const teller = join(home, 'teller');
    writeFileSync(
      teller,
      `#!/bin/sh\necho "\${0##*/}" >>${told}\nexec "/usr/bin/\${0##*/}" "$@"\n`,
    );
    chmodSync(teller, 0o755);
    writeFileSync(told, '');
    chmodSync(told, 0o666);
    for (const name of readdirSync('/usr/bin'))
      if (!needed.includes(name)) symlinkSync(teller, join(own, name));
    const env = { PATH: `${own}:${process.env['PATH']}`, 'a.b': 'lost by sh' };
    for (const { uid } of [{ uid: 0 }, nobody])
      for (const pin of ['namespace', 'cwd']) {
        const run = [launcher, 'run', '--pin', pin, '-m', mirror.root, '--', 'id', '-u'];
        const as = ['--reuid', `${uid}`, '--clear-groups', ...run];
        expect((await execa('setpriv', as, { env })).stdout).toBe(`${uid}`);
      }
    expect(readFileSync(told, 'utf8')).toBe('id\n'.repeat(4));
  },
);

test('the rsync of a sync is not guarded by its shim', async () => {
  const mirror = await oneSnapshot();
  const directory = join(mirror.home, 'shims');
  await runForJson(['shims', directory, '-m', mirror.root, 'rsync', 'setsid']);
  const source = join(mirror.home, 'upstream');
  mkdirSync(source);
  writeFileSync(join(source, 'file'), 'of the source');
  const env = { PATH: `${directory}:${process.env['PATH']}` };
  const synced = await runProgram(
    ['sync', '--other-source', '--allow-shrink', source, mirror.root],
    { env },
  );
  expect(synced).toMatchObject({ exitCode: 0 });
  expect(readFileSync(join(mirror.root, 'current/file'), 'utf8')).toBe('of the source');
  // What it runs for its user is guarded.
  const words = ['lock', mirror.root, '--', 'setsid', 'printenv', 'MIRRORLATCH_PIN'];
  expect((await runProgram(words, { env })).stdout).toMatch(/^(namespace|cwd)\n/);
});

test('I2: a part of a mirror is no directory for shims', async () => {
  const mirror = await oneSnapshot();
  const place = join(mirror.root, 'current', 'below');
  const before = describeTree(place);
  for (const words of [['-m', mirror.root, 'apt'], ['--remove']])
    expectFailure(
      await runProgram(['shims', place, ...words]),
      64,
      /is a part of the mirror .*\/mirror\n/,
    );
  expect(difference(before, describeTree(place))).toEqual([]);
});

test('ROOT and what lies in it are no directory for shims, but shims in them can be removed', async () => {
  const mirror = await oneSnapshot();
  for (const place of [mirror.root, join(mirror.root, 'bin')]) {
    const refused = await runProgram(['shims', place, 'wc', '--mirror', mirror.home]);
    expectFailure(refused, 64, /is (a part of )?the mirror .*\/mirror\n/, /outside of the mirror/);
    expect(existsSync(join(place, 'wc'))).toBe(false);
    await runForJson(['shims', place, '--remove']);
  }
});

test('a directory in PATH of the name of DIR is no command', async () => {
  const mirror = await oneSnapshot();
  mkdirSync(join(mirror.home, 'path', 'bin'), { recursive: true });
  const env = { PATH: `${join(mirror.home, 'path')}:${process.env['PATH']}` };
  await runForJson(['shims', 'bin', '--mirror', mirror.root, 'sort'], { cwd: mirror.home, env });
  expect(existsSync(join(mirror.home, 'bin', 'sort'))).toBe(true);
});

test('a file in place of the directory ends it with 74, and stays', async () => {
  const mirror = await oneSnapshot();
  const file = join(mirror.home, 'file');
  writeFileSync(file, 'of mine');
  expectFailure(await runProgram(['shims', file, '-m', mirror.root, 'apt']), 74, /file/);
  expect(readFileSync(file, 'utf8')).toBe('of mine');
});

test.runIf(nobodyRunsTheProgram)('without permission it exits with 77', async () => {
  const mirror = await oneSnapshot();
  const directory = join(mirror.home, 'shims');
  await runForJson(['shims', directory, '-m', mirror.root, 'apt']);
  const before = describeTree(directory);
  for (const words of [['-m', mirror.root, 'apt-get'], ['--remove']]) {
    const result = await startProgram(['shims', directory, ...words], { user: nobody }).result;
    expectFailure(result, 77, /permission denied/);
  }
  expect(difference(before, describeTree(directory))).toEqual([]);
});

test('a command in place of DIR is refused, and a command that is nowhere is named', async () => {
  const mirror = await oneSnapshot();
  const words = ['shims', '--mirror', mirror.root, 'sort', 'head'];
  const refused = await runProgram(words, { cwd: mirror.home });
  expectFailure(refused, 64, /sort is a command: DIR is missing/);
  expect(refused.stderr).toContain(
    `mirrorlatch shims /usr/local/sbin --mirror ${mirror.root} sort head\n`,
  );
  expect(existsSync(join(mirror.home, 'sort'))).toBe(false);
  const sh = join(mirror.home, 'sh');
  for (let round = 1; round <= 2; round += 1) {
    const { stderr } = await runProgram(['shims', sh, '-m', mirror.root, 'sort', 'apt-gte']);
    expect(stderr).toMatch(/warning: there is no command apt-gte: its shim ends with 127/);
    expect(stderr).not.toMatch(/sort/);
  }
});
