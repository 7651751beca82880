import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { execa, execaSync } from 'execa';
import { expect, test } from 'vitest';
import { expectFailure } from '../support/expect-failure.ts';
import { oneOfEachKind, runGuarded } from '../support/guards.ts';
import { nobody, runsAsRoot } from '../support/privilege.ts';
import { runForJson, runProgram, transcript } from '../support/program.ts';
import { mirrorsWith, smallMirror } from '../support/small-mirror.ts';
import { describeTree, difference } from '../support/tree.ts';

const oneSnapshot = mirrorsWith('first');
const notRoot = runsAsRoot ? '' : ' (skipped: only root can become another user)';

test('init makes a mirror without a snapshot, with a closed gate, and names its source', async () => {
  const mirror = smallMirror();
  const result = await runProgram(['init', mirror.root, '--source', mirror.source]);
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(result.stdout).toBe(
    `${mirror.root} is a new mirror of ${mirror.source}/\n` +
      'it keeps the last 3 snapshots and those that were current within 1d\n' +
      'at most 30 % of the files or bytes may vanish\n' +
      `fill it with: mirrorlatch sync ${mirror.root}\n`,
  );
  expect(readdirSync(mirror.root).sort()).toEqual(['.mirrorlatch', 'snapshots']);
  expect(readdirSync(mirror.state()).sort()).toEqual([
    'leases',
    'logs',
    'mirror.json',
    'reader',
    'reserve',
    'settings.flock',
    'staging',
  ]);
  expect(statSync(mirror.state('staging')).mode & 0o7777).toBe(0o700);
  expect(statSync(mirror.state()).mode & 0o7777).toBe(0o755);
});

test('init may be repeated', async () => {
  const mirror = smallMirror();
  const first = await runForJson(['init', mirror.root, '--source', mirror.source]);
  const before = describeTree(mirror.root);
  expect(await runForJson(['init', mirror.root])).toEqual(first);
  const contents = [before, describeTree(mirror.root)].map((tree) =>
    [...tree].map(([path, { sha256 }]) => [path, sha256]),
  );
  expect(contents[1]).toEqual(contents[0]);
});

test('--json prints the settings, and the defaults agree with --help', async () => {
  const mirror = smallMirror();
  expect(await runForJson(['init', mirror.root])).toEqual({
    root: mirror.root,
    settings: {
      format: 1,
      mode: 'snapshots',
      rsyncOptions: [],
      keepLast: 3,
      graceMs: 24 * 60 * 60 * 1000,
      maxShrinkPercent: 30,
    },
  });
});

test('init remembers the rsync options after --, and refuses those that would break a snapshot', async () => {
  const mirror = smallMirror();
  mirror.change({ secret: 'stays here' });
  const command = ['init', mirror.root, '--source', mirror.source];
  expectFailure(await runProgram([...command, '--', '--inplace']), 64, /--inplace/);
  expect(existsSync(mirror.root)).toBe(false);
  await runForJson([...command, '--', '--exclude=/secret']);
  await runForJson(['sync', mirror.root]);
  expect(readdirSync(join(mirror.root, 'current')).sort()).toEqual(['below', 'file']);
});

test('init prints what it understood of the retention rules, and refuses a duration without a unit', async () => {
  const mirror = await oneSnapshot();
  const refused = await runProgram(['init', mirror.root, '--keep-within', '14']);
  expectFailure(refused, 64, /--keep-within.*'14'.*It has no unit: write 14s, 14m, 14h or 14d/);
  const words = ['--keep-last', '2', '--keep-within', '14d', '--grace', '0'];
  const result = await runProgram(['init', mirror.root, ...words]);
  expect(result.stdout).toMatch(/^it keeps the last 2 snapshots and those published within 14d$/m);
});

test('init can change the source of a mirror', async () => {
  const mirror = await oneSnapshot();
  const other = join(mirror.home, 'other');
  mkdirSync(other);
  writeFileSync(join(other, 'file'), 'of the other');
  const changed = await runProgram(['init', mirror.root, '--source', other]);
  expect(changed.stdout).toMatch(` of ${other}/, in place of ${mirror.source}/\n`);
  expect(changed.stderr).toBe('');
  await runForJson(['sync', mirror.root, '--allow-shrink']);
  expect(readFileSync(join(mirror.root, 'current', 'file'), 'utf8')).toBe('of the other');
  const misspelt = await runProgram(['init', mirror.root, '--source', `${other}s`]);
  expect(misspelt.stderr).toMatch(`warning: there is no directory ${other}s yet\n`);
});

test('a first sync makes the mirror with its parents, but refuses a directory with other contents', async () => {
  const mirror = smallMirror();
  const deep = join(mirror.home, 'a', 'b', 'mirror');
  await runForJson(['sync', mirror.source, deep]);
  expect(readFileSync(join(deep, 'current', 'file'), 'utf8')).toBe('content');

  mkdirSync(mirror.root);
  writeFileSync(join(mirror.root, 'precious'), 'not to be mixed up with a mirror');
  const before = describeTree(mirror.root);
  expectFailure(
    await runProgram(['sync', mirror.source, mirror.root]),
    78,
    /is not empty: it holds "precious"/,
    /mirrorlatch init/,
  );
  expect(difference(before, describeTree(mirror.root))).toEqual([]);

  await runForJson(['init', mirror.root]);
  await runForJson(['sync', mirror.source, mirror.root]);
  expect(readFileSync(join(mirror.root, 'precious'), 'utf8')).toMatch(/^not to be/);
});

test('a first sync offers no init that would refuse what is left of a mirror', async () => {
  const mirror = smallMirror();
  await runForJson(['sync', mirror.source, mirror.root]);
  rmSync(join(mirror.root, '.mirrorlatch'), { recursive: true });
  const result = await runProgram(['sync', mirror.source, mirror.root]);
  expectFailure(result, 78, /is not empty: it holds "current"/, /Move these away, or make/);
  expect(result.stderr).not.toContain('init');
});

test.for(['current', 'previous', 'snapshots'])(
  'init refuses a directory with a %s that mirrorlatch did not make',
  async (name) => {
    const mirror = smallMirror();
    mkdirSync(join(mirror.root, name), { recursive: true });
    const before = describeTree(mirror.root);
    expectFailure(await runProgram(['init', mirror.root]), 78, new RegExp(`holds "${name}"`));
    expect(difference(before, describeTree(mirror.root))).toEqual([]);
  },
);

test('what is a part of a mirror is no mirror, and cannot become or serve one: the message names the mirror', async () => {
  const mirror = await oneSnapshot();
  const other = smallMirror();
  await runForJson(['init', other.root]);
  const before = describeTree(mirror.root);
  for (const part of ['current', 'current/below', 'snapshots/new', '.mirrorlatch/staging/new']) {
    const path = join(mirror.root, part);
    const itself = new RegExp(`mirror itself.*${mirror.root}(,|\\n)`);
    expectFailure(await runProgram(['status', path]), 66, /there is no mirror in/, itself);
    const there = new RegExp(`itself: mirrorlatch prune ${mirror.root} --keep-last 1$`, 'm');
    expectFailure(await runProgram(['prune', path, '--keep-last', '1']), 66, there);
    expectFailure(await runProgram(['init', path]), 64, /is a part of the mirror/, itself);
    expectFailure(await runProgram(['sync', other.source, path]), 64, /is a part of/, itself);
  }
  const elsewhere = join(mirror.root, 'elsewhere');
  expectFailure(await runProgram(['init', elsewhere]), 64, /is a part of the mirror/);
  expectFailure(
    await runProgram(['init', other.root, '--serve-at', join(mirror.root, 'snapshots', 'new')]),
    64,
    /is a part of the mirror/,
  );
  expect(difference(before, describeTree(mirror.root))).toEqual([]);
});

test('a name that only the working directory brings into a mirror leads to no command for that mirror', async () => {
  const mirror = await oneSnapshot();
  const cwd = join(mirror.root, 'current', 'below');
  for (const words of [
    ['prune', 'ubuntu', '--keep-last', '1'],
    ['rollback', 'ubuntu'],
    ['unlock', 'ubuntu'],
    ['gate', 'open', 'ubuntu'],
    ['lock', 'ubuntu', '--', 'true'],
    ['sync', 'ubuntu'],
  ]) {
    const result = await runProgram(words, { cwd });
    expectFailure(
      result,
      words[0] === 'lock' ? 125 : 66,
      /there is no mirror in ubuntu/,
      /no ubuntu in .*absolute path/,
    );
    expect(result.stderr, words.join(' ')).not.toMatch(/itself|mirrorlatch \w/);
  }
  for (const words of [
    ['init', 'ubuntu'],
    ['sync', mirror.source, 'ubuntu'],
  ]) {
    const result = await runProgram(words, { cwd });
    expectFailure(result, 64, /ubuntu would be in the mirror/, /Give an absolute path/);
    expect(result.stderr).not.toMatch(/itself/);
  }
  const elsewhere = await runProgram(['prune', 'host:/srv/m', '--keep-last', '1'], { cwd });
  expectFailure(elsewhere, 66, /on another host: ssh host/);
});

test('a snapshot that is not the current one leads to no command that would act on the others', async () => {
  const mirror = await oneSnapshot();
  await mirror.publish('second', { file: 'second' });
  const snapshots = join(mirror.root, 'snapshots');
  const first = await runProgram(['prune', join(snapshots, 'first'), '--keep-last', '1']);
  expectFailure(first, 66, new RegExp(`in a snapshot of a mirror.* itself: ${mirror.root}\n`));
  const second = await runProgram(['prune', join(snapshots, 'second'), '--keep-last', '1']);
  expectFailure(second, 66, new RegExp(`itself: mirrorlatch prune ${mirror.root} --keep-last 1\n`));
});

test('init accepts an empty directory, and one with the lost+found of a new filesystem', async () => {
  const mirror = smallMirror();
  mkdirSync(join(mirror.root, 'lost+found'), { recursive: true });
  expect(await mirror.sync()).toMatchObject({ outcome: 'published' });
});

test('init refuses what no sync could work with', async () => {
  const mirror = await oneSnapshot();
  const second = join(mirror.home, 'second');
  await runForJson(['sync', join(mirror.root, 'current'), second]);
  const before = mirror.settings();
  const password = join(mirror.home, 'password');
  writeFileSync(password, 'secret', { mode: 0o644 });
  for (const [words, said, hint] of [
    [['--', '--bwlimit=10x'], /rsync: --bwlimit=10x is invalid/, /man rsync/],
    [['--', '--copy-as=nobody'], /--copy-as cannot be used/, /rsync-options/],
    [['--source', second], /the source \S+ is the root of a mirror/, /sync \S+\/second\/current /],
  ] as const) {
    expectFailure(await runProgram(['init', mirror.root, ...words]), 64, said, hint);
  }
  expect(mirror.settings()).toEqual(before);
  const open = ['sync', mirror.root, '--', `--password-file=${password}`];
  expectFailure(await runProgram(open), 64, /every user may read \S+$/m, /with: chmod 600 \S+$/m);
  const wrong = await runProgram(['sync', mirror.root, second]);
  expectFailure(wrong, 64, /is the root of a mirror/, /sync \S+\/mirror\/current \S+\/second$/m);
  expectFailure(await runProgram(['sync', mirror.root, mirror.root]), 64, /the source/);
  const made = join(mirror.home, 'made');
  const fifo = join(mirror.home, 'fifo');
  execaSync('mkfifo', [fifo]);
  const ofFifo = await runProgram(['init', made, '--', `--exclude-from=${fifo}`]);
  expectFailure(ofFifo, 64, /is not a regular file/);
  expect(existsSync(made)).toBe(false);
  await runProgram(['sync', mirror.source, made, '--', '--max-size=10x']);
  expect(existsSync(made)).toBe(false);
});

test('an option that is remembered and that rsync itself refuses is a broken setting, and one that is given is no failed sync', async () => {
  const mirror = await oneSnapshot();
  const wrong = '--usermap=wrong';
  const given = await runProgram(['sync', mirror.root, '--', wrong]);
  expectFailure(given, 64, /rsync does not accept these options/, /Check the options of rsync/);
  expect((await runProgram(['status', mirror.root])).exitCode).toBe(0);
  await runForJson(['init', mirror.root, '--', wrong]);
  const remembered = await runProgram(['sync', mirror.root]);
  expectFailure(remembered, 78, /remembers its options/, /init \S+ --clear-options$/m);
  expect((await runProgram(['status', mirror.root])).exitCode).toBe(69);
});

test('a ROOT that is a file or a dangling symlink is refused and left unchanged', async () => {
  const mirror = smallMirror();
  writeFileSync(mirror.root, 'a file');
  symlinkSync('nowhere', join(mirror.home, 'dangling'));
  for (const root of [mirror.root, join(mirror.home, 'dangling')]) {
    for (const command of [
      ['init', root],
      ['sync', mirror.source, root],
    ]) {
      const result = await runProgram(command);
      expectFailure(result, 64);
      expect(result.stderr).toContain(root);
      expect(result.stderr).not.toMatch(/unforeseen/);
    }
  }
  expect(readFileSync(mirror.root, 'utf8')).toBe('a file');
  expect(readlinkSync(join(mirror.home, 'dangling'))).toBe('nowhere');
});

test('a ROOT below a file is refused with 64, by the name of the file', async () => {
  const mirror = smallMirror();
  writeFileSync(join(mirror.home, 'file'), '');
  const root = join(mirror.home, 'file', 'below');
  for (const command of [
    ['init', root],
    ['sync', mirror.source, root],
  ]) {
    expectFailure(await runProgram(command), 64, /\/file is not a directory/);
  }
});

test.for([['init'], ['sync'], ['status'], ['current'], ['prune']])(
  'an empty name is refused by %s, and not taken for the working directory',
  async ([command = '']) => {
    const { home, root, source } = smallMirror();
    const words = command === 'sync' ? ['sync', source, ''] : [command, ''];
    expectFailure(await runProgram(words, { cwd: home }), 64, /name of the mirror is empty/);
    expect(existsSync(join(home, '.mirrorlatch'))).toBe(false);
    expect(existsSync(root)).toBe(false);
  },
);

test('init of / is refused with 64', async () => {
  for (const root of ['/', '//', '/tmp/..']) {
    expectFailure(await runProgram(['init', root]), 64, /\/ cannot be a mirror/);
  }
  expect(existsSync('/.mirrorlatch')).toBe(false);
});

test('a mirror in a directory of the kernel is refused, with the way out', async () => {
  const result = await runProgram(['init', '/proc/x/mirror']);
  expectFailure(result, 64, /no directory can be made in \/proc\n/, /: findmnt -T \/proc$/m);
});

test('a source that a first sync could not reach is replaced by one that works', async () => {
  const mirror = smallMirror();
  const typo = 'rsync://127.0.0.1:1/typo/';
  expect((await runProgram(['sync', typo, mirror.root, '--retries', '0'])).exitCode).toBe(69);
  await mirror.sync();
  expect(await runForJson(['status', mirror.root])).toMatchObject({ source: `${mirror.source}/` });
  expect(await runForJson(['sync', mirror.root])).toMatchObject({ outcome: 'unchanged' });
});

test('another source for a later sync is not remembered', async () => {
  const mirror = await oneSnapshot();
  const other = join(mirror.home, 'other');
  await execa('cp', ['-a', mirror.source, other]);
  await runForJson(['sync', other, mirror.root, '--other-source']);
  expect(await runForJson(['status', mirror.root])).toMatchObject({ source: `${mirror.source}/` });
});

test.skipIf(!runsAsRoot)(
  `I11: readers can enter whatever the umask of the sync, if the mode of ROOT lets them${notRoot}`,
  async () => {
    const mirror = smallMirror();
    mkdirSync(mirror.root);
    await execa('chmod', ['-R', 'a+rX', mirror.source, mirror.root]);
    for (const file of ['first', 'second']) {
      mirror.change({ file });
      await execa('chmod', ['-R', 'a+rX', mirror.source]);
      const result = await runProgram(['sync', mirror.source, mirror.root], { umask: '077' });
      expect(result.exitCode, transcript(result)).toBe(0);
      const read = await execa('cat', [join(mirror.root, 'current', 'file')], {
        ...nobody,
        cwd: '/',
        reject: false,
      });
      expect(read.stdout, read.stderr).toBe(file);
      const id = mirror.linked('current') ?? '';
      const lease = await execa('flock', ['-s', '-n', mirror.state('leases', id), 'true'], {
        ...nobody,
        cwd: '/',
        reject: false,
      });
      expect(lease.exitCode, lease.stderr).toBe(0);
    }
    for (const name of ['mirror.json', 'history.jsonl'])
      expect(statSync(mirror.state(name)).mode & 0o777, name).toBe(0o644);
  },
);

test('init refuses a source that lies around the mirror or in it', async () => {
  const mirror = smallMirror();
  const inside = join(mirror.source, 'mirror');
  const result = await runProgram(['init', inside, '--source', mirror.source]);
  expectFailure(result, 64, /the mirror .* lies inside the source/);
  expect(existsSync(inside)).toBe(false);
  const around = await runProgram(['init', mirror.root, '--source', join(mirror.root, 'tree')]);
  expectFailure(around, 64, /the source .* lies inside the mirror/);
});

test('--adopt and --unadopt in one command are refused', async () => {
  const { source } = smallMirror();
  const result = await runProgram(['init', '--adopt', source, '--unadopt', source]);
  expectFailure(result, 64, /--adopt cannot be combined with --unadopt/);
  expect(existsSync(`${source}.mirror`)).toBe(false);
});

test('a ROOT that is a symlink to nothing is refused with the command that makes its target', async () => {
  const mirror = smallMirror();
  const target = join(mirror.home, "it's not there");
  symlinkSync(target, mirror.root);
  for (const words of [
    ['sync', mirror.source, mirror.root],
    ['sync', mirror.source, join(mirror.root, 'below')],
    ['init', mirror.root],
  ]) {
    expectFailure(await runProgram(words), 64, /is a symlink to .*not there, which does not exist/);
  }
  const { stderr } = await runProgram(['init', mirror.root]);
  await execa('sh', ['-c', /mkdir -p .*$/m.exec(stderr)?.[0] ?? 'false']);
  expect(await mirror.sync()).toMatchObject({ outcome: 'published' });
});

test('a ROOT that leads into a mirror that is missing is refused, and nothing is made in the place of its tree', async () => {
  const one = smallMirror();
  const adopted = join(one.home, 'adopted');
  await execa('cp', ['-a', one.source, adopted]);
  await runForJson(['init', '--adopt', adopted]);
  const root = `${adopted}.mirror`;
  await runForJson(['sync', one.source, root]);
  const links: Record<string, string> = {
    'to adopted': 'adopted',
    'to a directory': 'adopted.mirror/current/below',
    'to a snapshot': join('adopted.mirror', readlinkSync(join(root, 'current'))),
    'to a tree in place': 'adopted.mirror/gate/live',
  };
  for (const [name, target] of Object.entries(links)) symlinkSync(target, join(one.home, name));
  // Stands for a disk that is not mounted.
  renameSync(root, join(one.home, 'away'));
  for (const isMountPoint of [false, true]) {
    if (isMountPoint) mkdirSync(root);
    const before = describeTree(one.home);
    for (const words of [
      ['init', adopted],
      ['init', '--adopt', one.source, adopted],
      ['sync', one.source, adopted],
      ['sync', one.source, join(adopted, 'new')],
      ...Object.keys(links).map((name) => ['init', join(one.home, name)]),
    ]) {
      const result = await runProgram(words);
      const said = new RegExp(`is a symlink to ${root}/.*, and there is no mirror in ${root}\n`);
      expectFailure(result, 64, said, /Check that its disk is mounted/);
      expect(result.stderr).not.toMatch('mkdir');
    }
    expect(difference(before, describeTree(one.home))).toEqual([]);
  }
});

test('a served directory is a part of its mirror, until it is served no longer', async () => {
  const mirror = await oneSnapshot();
  mkdirSync(join(mirror.home, 'elsewhere'));
  const served = join(mirror.home, 'elsewhere', 'served');
  const never = join(mirror.home, 'elsewhere', 'never');
  await runForJson(['init', mirror.root, '--serve-at', never]);
  const moved = await runProgram(['init', mirror.root, '--serve-at', served]);
  expect(moved.stdout).toMatch(`it serves ${served}, which the next sync fills\n`);
  expect(moved.stdout, 'it was never made').not.toMatch(never);
  const waiting = await runProgram(['status', mirror.root]);
  expect(waiting.stdout).toMatch(`serves   ${served}, which the next sync fills\n`);
  await mirror.publish('second', { file: 'second' });
  expect(await runForJson(['status', mirror.root])).toMatchObject({
    served: { path: served, id: 'second' },
  });
  const itself = new RegExp(`Name the mirror itself: (mirrorlatch status )?${mirror.root}\n`);
  for (const words of [
    ['init', served],
    ['init', join(served, 'below')],
    ['sync', mirror.source, served],
    ['init', '--adopt', served],
    ['shims', join(mirror.home, 'sh'), '--mirror', served, 'apt'],
  ]) {
    const result = await runProgram(words);
    expectFailure(result, 64, new RegExp(`part of the mirror ${mirror.root}`));
  }
  expectFailure(await runProgram(['status', served]), 66, itself);
  expectFailure(await runGuarded(oneOfEachKind[0], served, ['true']), 125, itself);
  expect(existsSync(join(served, '.mirrorlatch'))).toBe(false);

  await runForJson(['init', mirror.root, '--no-serve-at']);
  expect(mirror.settings()).not.toHaveProperty('serveAt');
  await mirror.publish('third', { file: 'third' });
  expect(readFileSync(join(served, 'file'), 'utf8')).toBe('second');
  expect(readdirSync(dirname(served))).toEqual(['served']);
  expect(await runForJson(['init', served])).toMatchObject({ root: served });
});
