import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa, execaSync } from 'execa';
import { describe, expect, onTestFinished, test } from 'vitest';
import { nameOfTopic, topics } from '../support/documents.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { mountTmpfs, whyNoLoopFilesystem } from '../support/loop-filesystem.ts';
import { runForJson, runProgram, startProgram, transcript } from '../support/program.ts';
import { bin } from '../support/project.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { mirrorsWith, type SmallMirror, smallMirror } from '../support/small-mirror.ts';
import { describeTree, difference } from '../support/tree.ts';

const twoSnapshots = mirrorsWith('first', 'second');

/** A state that no crash leaves, but a person or another program may. */
interface Broken {
  readonly name: string;
  make(mirror: SmallMirror): void;
  /** The message of every command that is affected, which exits with 78. */
  readonly said: RegExp;
  /** `list` is not affected, and `status` tells what refuses each writer. */
  readonly mayBeRead?: boolean;
  /** Follows the hint of the error, which the commands printed. */
  mend(mirror: SmallMirror, printed: string): void;
}

const notALink = /current is not a symlink to a snapshot of this mirror/;

/** Runs the command with which the message ends. */
function runTheHint(_: SmallMirror, printed: string): void {
  execaSync('sh', ['-c', /: ((?:mv|chmod) .*)/.exec(printed)?.[1] ?? 'false']);
}

const broken: readonly Broken[] = [
  {
    name: 'current is a directory',
    make: ({ root }) => {
      rmSync(join(root, 'current'));
      mkdirSync(join(root, 'current'));
      writeFileSync(join(root, 'current', 'file'), 'somebody put it here');
    },
    said: notALink,
    mend: runTheHint,
  },
  {
    name: 'current leads nowhere',
    make: ({ root }) => point(root, 'snapshots/gone'),
    said: /current leads to the snapshot gone, which is gone/,
    mend: runTheHint,
  },
  {
    name: 'current leads out of the mirror',
    make: ({ root, source }) => point(root, source),
    said: notALink,
    mend: runTheHint,
  },
  {
    name: 'current is absolute',
    make: ({ root }) => point(root, join(root, 'snapshots', 'second')),
    said: notALink,
    mend: runTheHint,
  },
  {
    name: 'current is a file',
    make: ({ root }) => {
      rmSync(join(root, 'current'));
      writeFileSync(join(root, 'current'), 'snapshots/second');
    },
    said: notALink,
    mend: runTheHint,
  },
  {
    name: 'the gate is open (0755)',
    make: (mirror) => chmodSync(mirror.state('staging'), 0o755),
    said: /staging must be a directory of mode 0700[\s\S]*chmod 0700 /,
    mayBeRead: true,
    mend: (mirror) => chmodSync(mirror.state('staging'), 0o700),
  },
  {
    name: 'staging is a symlink to elsewhere',
    make: (mirror) => {
      rmSync(mirror.state('staging'), { recursive: true });
      mkdirSync(join(mirror.home, 'elsewhere'), { mode: 0o700 });
      symlinkSync(join(mirror.home, 'elsewhere'), mirror.state('staging'));
    },
    said: /staging is not a directory[\s\S]*Move it away with: mv /,
    mayBeRead: true,
    mend: runTheHint,
  },
  {
    name: 'the snapshots are behind a symlink to a disk that is not mounted',
    make: ({ root, home }) => {
      renameSync(join(root, 'snapshots'), join(home, 'elsewhere'));
      symlinkSync(join(home, 'disk'), join(root, 'snapshots'));
    },
    said: /snapshots is a symlink to \S+\/disk, [\s\S]*mount its disk, or see where it leads with: readlink -f /,
    mend: ({ root, home }) => {
      rmSync(join(root, 'snapshots'));
      renameSync(join(home, 'elsewhere'), join(root, 'snapshots'));
    },
  },
  ...[tmpdir(), '/dev/shm'].map((disk) => ({
    name: `the snapshots were moved to ${disk}, with a symlink in their place`,
    make: ({ root }: SmallMirror) => {
      const elsewhere = mkdtempSync(join(disk, "somebody's "));
      onTestFinished(() => rmSync(elsewhere, { recursive: true }));
      execaSync('mv', [join(root, 'snapshots'), elsewhere]);
      symlinkSync(join(elsewhere, 'snapshots'), join(root, 'snapshots'));
    },
    said: /snapshots is a symlink to \S+\/somebody's \S+\/snapshots, [\s\S]*move it back with: mv /,
    mayBeRead: true,
    mend: runTheHint,
  })),
];

describe('a broken mirror', () => {
  test.for(broken)(
    '$name: the commands report it and change nothing, and their hint repairs it',
    async (one) => {
      const mirror = await twoSnapshots();
      mirror.change({ file: 'third' });
      one.make(mirror);
      const before = withoutTimes(mirror);
      let printed = '';
      const other = ['list', 'rollback', 'prune'][broken.indexOf(one) % 3] ?? 'list';
      for (const command of ['status', 'sync', other]) {
        const result = await runProgram([command, mirror.root]);
        if (one.mayBeRead && command === 'status') {
          expect(result.exitCode, transcript(result)).toBe(69);
          expect(one.said.source).toContain(/^why +\S+\/(\w+) /m.exec(result.stdout)?.[1]);
        } else if (one.mayBeRead && command === 'list') {
          expect(result.exitCode, transcript(result)).toBe(0);
        } else {
          expectFailure(result, 78, one.said);
          printed = result.stderr;
        }
      }
      expect(withoutTimes(mirror)).toEqual(before);
      one.mend(mirror, printed);
      await mirror.sync('--id', 'third');
      expect((await runProgram(['status', mirror.root])).exitCode).toBe(0);
      expect(readFileSync(join(mirror.root, 'current', 'file'), 'utf8')).toBe('third');
    },
  );

  test('an invalid mirror.json is reported with 78 and left for a person to repair', async () => {
    const mirror = await twoSnapshots();
    const settings = readFileSync(mirror.state('mirror.json'), 'utf8');
    const named: Record<string, RegExp> = {
      'of a later format': /of "format", the value is none of 1/,
      'with a value that cannot be': /of "keepLast", the value is less than 1/,
      'with an unknown setting': /the key "keep" is unknown/,
    };
    const wrong = {
      empty: '',
      torn: settings.slice(0, 40),
      'of a later format': settings.replace('"format": 1', '"format": 2'),
      'with a value that cannot be': settings.replace('"keepLast": 3', '"keepLast": 0'),
      'with an unknown setting': settings.replace('{', '{ "keep": 1,'),
      'no JSON': 'source=/srv',
    };
    for (const [what, text] of Object.entries(wrong)) {
      writeFileSync(mirror.state('mirror.json'), text);
      const command = what.startsWith('with') ? 'sync' : 'status';
      const result = await runProgram([command, mirror.root]);
      expectFailure(
        result,
        78,
        /mirror\.json does not hold valid settings of a mirror/,
        new RegExp(`Repair the file, or .* run: mirrorlatch init ${mirror.root}$`, 'm'),
        named[what] ?? /mirror.json/,
      );
      expect(readFileSync(mirror.state('mirror.json'), 'utf8')).toBe(text);
    }
    writeFileSync(mirror.state('mirror.json'), settings);
    expect((await runProgram(['status', mirror.root])).exitCode).toBe(0);
  });

  test.for(['mirror.json', 'sync.flock', 'history.jsonl'])(
    'something else in the place of %s is named',
    async (name) => {
      const mirror = await twoSnapshots();
      rmSync(mirror.state(name));
      if (name === 'history.jsonl') symlinkSync(name, mirror.state(name));
      else execaSync('mkfifo', [mirror.state(name)]);
      const verb = name === 'history.jsonl' ? 'status' : 'sync';
      const result = await runProgram([verb, mirror.root]);
      const said = name === 'history.jsonl' ? /the history of \S+ cannot be read/ : /is not a file/;
      expect(result.exitCode, transcript(result)).not.toBe(70);
      expect(result.stderr).toMatch(said);
    },
  );

  test('a dangling previous counts as missing: nothing fails, and the next publication repairs it', async () => {
    const mirror = await twoSnapshots();
    rmSync(join(mirror.root, 'previous'));
    symlinkSync('snapshots/gone', join(mirror.root, 'previous'));
    expect(await runForJson(['status', mirror.root])).toMatchObject({ previous: null });
    await mirror.publish('third', { file: 'third' });
    expect(mirror.linked('previous')).toBe('second');
  });

  test('missing files of .mirrorlatch, except its settings, are made again, and the snapshots stay', async () => {
    const mirror = await twoSnapshots();
    for (const name of ['leases', 'logs', 'staging', 'trash', 'history.jsonl', 'sync.flock']) {
      rmSync(mirror.state(name), { recursive: true, force: true });
    }
    await mirror.publish('third', { file: 'third' });
    expect(mirror.linked('previous')).toBe('second');
    expect(mirror.snapshots()).toEqual(['first', 'second', 'third']);
    const status = await runProgram(['status', mirror.root]);
    expect(status.exitCode, transcript(status)).toBe(0);
  });

  test('a snapshot that was removed by hand causes no error', async () => {
    const mirror = await twoSnapshots();
    rmSync(join(mirror.root, 'snapshots', 'first'), { recursive: true });
    await mirror.publish('third', { file: 'third' });
    expect(mirror.snapshots()).toEqual(['second', 'third']);
    expect((await runProgram(['status', mirror.root])).exitCode).toBe(0);
  });
});

describe('a command without -- before it', () => {
  test.each(['run', 'lock'])(
    'makes %s fail with the command line that was meant, without running anything',
    async (verb) => {
      for (const words of [
        ['touch', 'made'],
        ['touch', '-t', '197001010000', 'made'],
      ]) {
        const result = await runProgram([verb, './mirror', ...words]);
        expectFailure(
          result,
          125,
          new RegExp(`mirrorlatch ${verb} ./mirror -- ${words.join(' ')}$`, 'm'),
        );
      }
      const unclear = await runProgram([verb, '--pin', 'cwd', 'mirror', 'touch', '-t', 'made']);
      expectFailure(unclear, 125, new RegExp(`mirrorlatch ${verb} MIRROR -- COMMAND`));
    },
  );
});

test.for([
  [['run', '/m', '--verbose', 'ls', '-l'], 'run /m --verbose -- ls -l'],
  [['run', '/m', '-m', '/m3', 'apt-get', 'update'], 'run /m -m /m3 -- apt-get update'],
  [['run', '-m', '/m', 'apt-get', '-y', 'update'], 'run -m /m -- apt-get -y update'],
  [['run', '--wait=3s', '/m', '--pin', 'cwd', 'ls', '-l'], "run '--wait=3s' /m --pin cwd -- ls -l"],
  [['lock', '/m', '--no-wait', 'ls', '--resume'], 'lock /m --no-wait -- ls --resume'],
  [
    ['watch', '/m', '--initial', '--poll', '2s', 'a b', '-x'],
    "watch /m --initial --poll 2s -- 'a b' -x",
  ],
  [['run', '/m', '-x', 'ls', '-l'], undefined],
] as const)(
  'options of ours stay before the -- that a command lacks: %j',
  async ([words, meant]) => {
    const { stderr } = await runProgram(words);
    if (meant === undefined) expect(stderr).not.toContain(' -- ');
    else expect(stderr).toContain(`Put the command to run after --: mirrorlatch ${meant}\n`);
  },
);

test.for([
  [['--exclude=/a b/', '/m'], "init /m -- '--exclude=/a b/'"],
  [['/m', '--exclude', '/a/'], 'init /m -- --exclude /a/'],
  [['--source', 's', '-e', 'ssh', '/m', '-z'], 'init --source s /m -- -e ssh -z'],
  [['/m', '--bwlimit=5m', '--keep-last=3'], "init /m '--keep-last=3' -- '--bwlimit=5m'"],
] as const)('options of rsync without -- before them: init %j', async ([words, meant]) => {
  const given = await runProgram(['init', ...words]);
  expectFailure(given, 64, /unknown option/);
  expect(given.stderr).toContain(`Put options of rsync after --: mirrorlatch ${meant}\n`);
  const asJson = await runProgram(['init', '--json', ...words]);
  expect(JSON.stringify(asJson.json())).toContain('mirrorlatch init --json ');
});

test.for([
  [['sync', '/m', '--source', 'x'], /--source belongs to init: mirrorlatch init --help$/m],
  [['init', '/m', '--dry-run'], /--dry-run belongs to sync: mirrorlatch sync --help$/m],
  [
    ['prune', '/m', '--keep', '2'],
    /option '--keep'\. Did you mean --keep-last or --keep-hourly or .* or --keep-within\?$/m,
  ],
  [['rollback', '/m', '--quiet'], /unknown option '--quiet'\n {2}See .*rollback --help$/m],
  [['shell-init', 'csh'], /: SHELL cannot be 'csh'\. Allowed choices are bash/],
  [['sync', '/m', '--bogus', '--quiet'], /unknown option '--bogus'\n {2}See .*sync --help$/m],
  [['sync', '/m', '--dryrun'], /unknown option '--dryrun'\. Did you mean --dry-run\?$/m],
] as const)('an option that the command does not have: %j', async ([words, said]) => {
  const result = await runProgram(words);
  expectFailure(result, 64, said);
  expect(result.stderr).not.toMatch(/options of rsync/);
});

test.for([
  [['sync'], /^mirrorlatch: ROOT is missing$/m],
  [['init'], /^mirrorlatch: ROOT is missing$/m],
  [['list'], /^mirrorlatch: MIRROR is missing$/m],
  [['wait'], /^mirrorlatch: MIRROR is missing$/m],
  [['sync', '/m', '--id'], /^mirrorlatch: --id <name> is missing its value$/m],
  [
    ['init', '--adopt', '--in-place', '/web', '--keep-last', '3'],
    /^mirrorlatch: --adopt is missing its value: --in-place follows it\n {2}Did you mean: mirrorlatch init --in-place --adopt \/web --keep-last 3$/m,
  ],
  [
    ['rollback', '/m', '--hold', '--broken--'],
    /--hold is missing its value: --broken-- follows it\n {2}A value like that is written: --hold=--broken--$/m,
  ],
  [
    ['gate', 'close', '/m', '--reason', '--wait', '1m'],
    /--reason is missing its value: --wait follows it\n.* written: --reason=--wait$/m,
  ],
  [
    ['run', '/m', '--snapshot', '--pin', 'cwd', '--', 'true'],
    /--snapshot is missing its value: --pin follows it\n.* written: --snapshot=--pin$/m,
  ],
] as const)('a word that is missing is named: %j', async ([words, said]) => {
  expectFailure(await runProgram(words), words[0] === 'run' ? 125 : 64, said);
});

test.for([
  ['--exlude=x', '--exclude'],
  ['--bwlimt', '--bwlimit'],
])('a misspelt option of rsync: %s', async ([given = '', meant = '']) => {
  const result = await runProgram(['sync', '/up', '/m', '--', given]);
  expectFailure(result, 64, new RegExp(`Did you mean ${meant}\\?`));
});

test('a path in the place of another is refused with the command line that was meant', async () => {
  const home = scratchDirectory();
  const mirror = smallMirror({ home });
  await runForJson(['init', 'made'], { cwd: home });
  mkdirSync(join(home, 'filled'));
  writeFileSync(join(home, 'filled/file'), '');
  for (const [words, exitCode, meant] of [
    [['sync', 'made', 'source'], 64, /SRC comes first.*\n.* mirrorlatch sync source made$/m],
    [['sync', 'made', 'rsync://h/x'], 64, /SRC comes first.*\n.* sync rsync:\/\/h\/x made$/m],
    [
      ['sync', 'new', 'rsync://h/x'],
      64,
      /only be the source: mirrorlatch sync rsync:\/\/h\/x ROOT\./m,
    ],
    [['sync', 'rsync://h/x'], 64, /only be the source: mirrorlatch sync rsync:\/\/h\/x ROOT\./m],
    [['init', 'h:/srv/x'], 64, /Make it there: ssh h 'mirrorlatch init \/srv\/x'\. .* '?\.\/h:/],
    [['init', '--source', 'made', 'rsync://h/x'], 64, /init ROOT --source rsync:\/\/h\/x$/m],
    [['init', 'h::x'], 64, /init ROOT --source h::x$/m],
    [['status', 'me@h:/srv/x'], 66, /ssh me@h 'mirrorlatch status \/srv\/x'$/m],
    [
      ['rollback', 'h:/srv/x', '--release'],
      66,
      /ssh h 'mirrorlatch rollback \/srv\/x --release'$/m,
    ],
    [['status', 'ssh://h:22/srv/x'], 66, /ssh -p 22 h 'mirrorlatch status \/srv\/x'$/m],
    [['sync', 'source', 'filled'], 78, /take it over: mirrorlatch init --adopt \/.*\/filled\. /],
  ] as const) {
    expectFailure(await runProgram(words, { cwd: home }), exitCode, meant);
  }
  for (const verb of ['status', 'list', 'current', 'wait', 'watch', 'rollback', 'prune', 'unlock'])
    expectFailure(
      await runProgram([verb, join(home, 'none')]),
      66,
      /Check the path, and that its disk is mounted\.$/m,
    );
  expect(readdirSync(home).sort()).toEqual(['filled', 'made', 'source']);
  expect(mirror.snapshots()).toEqual([]);
  const [made, changed] = [
    await runProgram(['init', join(home, 'new')]),
    await runProgram(['init', join(home, 'new')]),
  ];
  expect(made.stdout).toMatch(/ is a new mirror; /);
  expect(changed.stdout).toMatch(/ is a mirror; /);
});

test('a standard output on a full disk ends a command with 74 once its work is done', async () => {
  const mirror = await twoSnapshots();
  const { root } = mirror;
  const through = ['sh', '-c', 'exec "$@" >/dev/full', 'sh'];
  mirror.change({ file: 'changed' });
  for (const words of [
    ['sync', root],
    ['list', root, '--json'],
    ['sync', '--help'],
    ['watch', root],
  ]) {
    const result = await runProgram(words, { through });
    expectFailure(
      result,
      74,
      /the result cannot be written to standard output: no space or no quota left/,
    );
  }
  expect(readFileSync(join(root, 'current/file'), 'utf8')).toBe('changed');
  const missing = await runProgram(['status', join(root, 'none'), '--json'], { through });
  expect(missing.exitCode, 'a failure of its own counts').toBe(66);
});

test('a working directory that has been deleted is named, if it matters', async () => {
  const { root } = await twoSnapshots();
  const inDeleted = (...words: string[]) =>
    runProgram(words, {
      through: ['sh', '-c', 'cd "$0" && rmdir "$0" && exec "$@"', scratchDirectory()],
    });
  expect((await inDeleted('sync', root)).exitCode).toBe(0);
  const result = await inDeleted('sync', 'mirror');
  expectFailure(
    result,
    74,
    /^mirrorlatch: the working directory does not exist any more\n.*cd \//m,
  );
});

test('a pattern that is not UTF-8 is refused, because another one would reach rsync', async () => {
  const mirror = smallMirror();
  const script = `exec "$0" "$1" sync "$2" "$3" -- --exclude="$(printf '/\\377')"`;
  const words = [process.execPath, bin, mirror.source, mirror.root];
  const { exitCode, stderr } = await execa('sh', ['-c', script, ...words], { reject: false });
  expect(exitCode, stderr).toBe(64);
  expect(stderr).toContain("a word of rsync's options is not valid UTF-8");
});

describe.skipIf(whyNoLoopFilesystem !== '')(`a read-only mount${whyNoLoopFilesystem}`, () => {
  test('I11: allows status, list and both dry runs; commands that write exit with 77 and the reason', async () => {
    const mirror = await twoSnapshots();
    mirror.change({ file: 'third' });
    await execa('mount', ['--bind', mirror.root, mirror.root]);
    await execa('mount', ['-o', 'remount,bind,ro', mirror.root]);
    const before = describeTree(mirror.root);
    for (const command of [
      ['status', mirror.root],
      ['list', mirror.root],
      ['sync', mirror.root, '--dry-run'],
      ['prune', mirror.root, '--dry-run'],
    ]) {
      const result = await runProgram(command);
      expect(result.exitCode, transcript(result)).toBe(0);
    }
    for (const command of ['sync', 'rollback', 'prune', 'unlock', 'init']) {
      expectFailure(await runProgram([command, mirror.root]), 77, /the filesystem is read-only/);
    }
    expect(difference(before, describeTree(mirror.root))).toEqual([]);
  });

  test('ends the commands with the code of its row in exit-codes, until what that says to do is done', async () => {
    const row = /^\| (\d+) \|[^|]*read-only.*`(mount [^`]*)`/m;
    const topic = topics.find((one) => nameOfTopic(one) === 'exit-codes');
    const [, code, remount] = row.exec(topic?.text ?? '') ?? [];
    const home = await mountTmpfs('size=100m');
    const mirror = smallMirror({ root: join(home, 'mirror') });
    for (const id of ['first', 'second', 'third']) await mirror.publish(id, { file: id });
    mirror.change({ file: 'fourth' });
    mkdirSync(join(home, 'site'));
    await execa('mount', ['-o', 'remount,ro', home]);
    const writing = [
      ['sync', mirror.root],
      ['prune', mirror.root, '--keep-last', '1', '--keep-within', '0', '--grace', '0'],
      ['init', mirror.root, '--keep-last', '9'],
      ['init', join(home, 'new')],
      ['init', '--adopt', join(home, 'site')],
    ];
    for (const words of writing)
      expectFailure(await runProgram(words), Number(code), /the filesystem is read-only/);
    await execa('sh', ['-c', `${remount} "$1"`, 'sh', home]);
    for (const words of writing) await runForJson(words);
  });

  test('is named as the reason when a new mirror cannot be made, at any depth', async () => {
    const mirror = smallMirror();
    const place = join(mirror.home, 'place');
    mkdirSync(join(place, 'site'), { recursive: true });
    await execa('mount', ['--bind', place, place]);
    onTestFinished(() => void execaSync('umount', [place]));
    await execa('mount', ['-o', 'remount,bind,ro', place]);
    for (const words of [
      ['sync', mirror.source, join(place, 'new')],
      ['sync', mirror.source, join(place, 'a/b/c')],
      ['init', join(place, 'new')],
      ['init', '--adopt', join(place, 'site')],
    ]) {
      const result = await runProgram(words);
      expectFailure(result, 77, /the filesystem is read-only \(.*\/place\/(new|a|site\.mirror)\)/);
    }
  });
});

test('a mirror below /proc, where nothing can be made, is refused at once', async () => {
  const result = await runProgram(['init', '/proc/mirrorlatch/mirror']);
  expectFailure(result, 64, /no directory can be made in \/proc$/m, /: findmnt -T \/proc$/m);
});

function point(root: string, target: string): void {
  rmSync(join(root, 'current'));
  symlinkSync(target, join(root, 'current'));
}

/**
 * What lies in ROOT. The lock that is taken and given back changes the times of directories, a sync
 * gets its place for partial files ready before it looks at anything, and history records a failed one.
 */
function withoutTimes(mirror: SmallMirror): unknown[] {
  return [...describeTree(mirror.root)]
    .filter(([path]) => !/sync\.flock$|staging\/\.partial$|history\.jsonl$/.test(path))
    .map(([path, { mtime, ...entry }]) => [path, entry]);
}

test.for([['--verbose'], ['-q']])(
  '%s after init is not taken for an option of rsync',
  async ([option = '']) => {
    const result = await runProgram(['init', '/srv/mirror', option]);
    expectFailure(result, 64, /unknown option/);
    expect(result.stderr).not.toMatch(/options of rsync/);
  },
);

test.for([['run'], ['lock']])(
  'with --json, %s prints the exit code that it ends with',
  async ([verb = '']) => {
    const result = await runProgram([verb, '/nowhere', '--json', '--', 'true']);
    expect(result.json()).toMatchObject({ error: { code: 'USAGE', exitCode: 125 } });
    expect(JSON.stringify(result.json())).not.toMatch(/after --/);
    expect(result.exitCode).toBe(125);
  },
);

test.for(['run', 'lock', 'watch'])(
  '%s with a command in place of the mirror asks for one',
  async (verb) => {
    const { stderr } = await runProgram([verb, 'apt-get', '-y', 'update']);
    expect(stderr).toContain(
      `No mirror was named. Name it before the command: mirrorlatch ${verb} MIRROR -- apt-get -y update\n`,
    );
  },
);

test('the command in a hint can be pasted, whatever the path of the mirror', async () => {
  const home = scratchDirectory();
  const root = join(home, "it's a mirror; $(touch x)");
  const mirror = smallMirror({ home, root });
  await runForJson(['init', root]);
  const hints: [words: readonly string[], pasted: RegExp][] = [
    [['sync', root], /mirrorlatch (sync SRC .*)$/m],
    [['current', root], /mirrorlatch (sync SRC .*), or wait/],
    [['sync', `${root}.none`], /mirrorlatch (sync SRC .*)$/m],
    [['rollback', root], /mirrorlatch (list .*)$/m],
    [['init', join(root, 'snapshots', 'x')], /the mirror itself, (.*), or/],
    [['lock', root], /mirrorlatch (lock .* -- COMMAND)$/m],
    [['watch', root, '--initial'], /mirrorlatch (watch .* -- COMMAND)$/m],
  ];
  for (const [words, pasted] of hints) {
    const { stderr } = await runProgram(words);
    const [, command = ''] = pasted.exec(stderr) ?? [];
    const script = `for word in ${command}; do printf '%s\\n' "$word"; done`;
    const { stdout } = await execa('sh', ['-c', script], { cwd: home });
    expect(
      stdout.split('\n').some((word) => word.startsWith(root)),
      stderr,
    ).toBe(true);
  }
  await mirror.publish('first', {});
  const lock = startProgram(['lock', root, '--lock-only', '--', 'sleep', '60']);
  await expect
    .poll(async () => JSON.stringify(await runForJson(['status', root])))
    .toContain('"held"');
  const unlock = await runProgram(['unlock', root]);
  expectFailure(unlock, 75, /mirrorlatch status '/, /With --wait 10m, sync, lock/);
  lock.kill('SIGTERM');
  await lock.result;
  expect(existsSync(join(home, 'x'))).toBe(false);
});

test('the command that closes staging can be pasted, whatever the name of the mirror', async () => {
  const mirror = smallMirror({ root: join(scratchDirectory(), 'a mirror; false') });
  await mirror.publish('first', {});
  chmodSync(mirror.state('staging'), 0o755);
  const refused = await runProgram(['sync', mirror.root]);
  expectFailure(refused, 78, /chmod 0700/);
  runTheHint(mirror, refused.stderr);
  expect(await mirror.sync()).toMatchObject({ outcome: 'unchanged' });
});

test('a path that is not valid UTF-8 is refused, and no other one is made', async () => {
  const mirror = await twoSnapshots();
  const before = readdirSync(mirror.home);
  for (const words of ['sync source', 'init', 'status', 'list', 'run']) {
    const script = `cd "$1" && exec node "$2" ${words} "$(printf 'm\\376 x')"`;
    const result = await execa('sh', ['-c', script, 'sh', mirror.home, bin], { reject: false });
    expect(result.exitCode, result.stderr).toBe(words === 'run' ? 125 : 64);
    expect(result.stderr).toMatch(/is not valid UTF-8/);
  }
  expect(readdirSync(mirror.home)).toEqual(before);
});
