import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { execa } from 'execa';
import { afterAll, describe, expect, test } from 'vitest';
import { adopt, unadopt } from '../../src/operations/adopt.ts';
import { eventually } from '../support/eventually.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { oneOfEachKind, runGuarded } from '../support/guards.ts';
import { whyNotInstalled } from '../support/installed.ts';
import { startPathReader } from '../support/path-reader.ts';
import { mayMount, nobody } from '../support/privilege.ts';
import {
  nobodyRunsTheProgram,
  runForJson,
  runProgram,
  startProcess,
  transcript,
} from '../support/program.ts';
import { bin } from '../support/project.ts';
import { makeScratch, scratchDirectory } from '../support/scratch.ts';
import { standInFor } from '../support/stand-in.ts';
import { describeTree, difference } from '../support/tree.ts';

const modes = ['snapshots', 'in-place'] as const;
const FILES = ['file', 'below/file', 'below/further/file'];
const whyNoMount = mayMount ? '' : ' (skipped: only root with CAP_SYS_ADMIN mounts)';
const whyNoBindfs = mayMount ? whyNotInstalled('bindfs') : whyNoMount;

const scratch = makeScratch();
const freshDirectory = () => mkdtempSync(join(scratch.path, 'one-'));
afterAll(() => scratch.remove());

/**
 * A directory that readers know, the place of its mirror, a source with the same contents, and where the
 * symlink of the directory lies while it is put in place.
 */
function makeDirectory(home = freshDirectory()) {
  const [directory, source] = [join(home, 'known'), join(home, 'source')];
  const write = (tree: string, content: string) => {
    mkdirSync(join(tree, 'below/further'), { recursive: true });
    for (const file of FILES) writeFileSync(join(tree, file), content);
  };
  write(directory, 'first');
  write(source, 'second');
  /** The inodes of a tree and of all its entries. */
  const inodes = () => ['.', 'below', ...FILES].map((name) => statSync(join(directory, name)).ino);
  const read = () => FILES.map((file) => readFileSync(join(directory, file), 'utf8')).join(' ');
  const [root, alias] = [`${directory}.mirror`, join(home, '.known.mirrorlatch')];
  return { home, directory, source, root, alias, write, inodes, read };
}

const flagsOf = (mode: (typeof modes)[number]) => (mode === 'in-place' ? ['--in-place'] : []);

describe.concurrent.each(modes)('Adoption as a mirror with %s', (mode) => {
  test('copies nothing, serves later syncs under the old path, and can be undone', async () => {
    const one = makeDirectory();
    const before = one.inodes();
    await runForJson(['init', '--adopt', one.directory, ...flagsOf(mode)]);
    expect(lstatSync(one.directory).isSymbolicLink()).toBe(true);
    expect(readlinkSync(one.directory)).toBe('known.mirror/current');
    expect(one.inodes()).toEqual(before);
    const status = await runForJson(['status', one.root]);
    expect(status).toMatchObject({ isHealthy: true, findings: [], source: null, syncedAt: null });
    const guarded = await runGuarded(oneOfEachKind[1], one.root, ['cat', 'file']);
    expect(guarded.stdout, transcript(guarded)).toBe('first');

    const rules = ['--source', one.source, '--max-shrink', '90'];
    const words = ['init', '--adopt', one.directory, ...flagsOf(mode), ...rules];
    const again = await runProgram([...words, '--', '--exclude=/none']);
    expect(again.exitCode, transcript(again)).toBe(0);
    expect(again.stdout).toMatch(`${one.directory} is already adopted`);
    const typed = await runGuarded(oneOfEachKind[0], one.directory, ['true']);
    const mirror = new RegExp(`mirror itself: ${one.root}$`, 'm');
    expectFailure(typed, 125, new RegExp(`there is no mirror in ${one.directory}$`, 'm'), mirror);
    const target = mode === 'in-place' ? 'tree that is being read' : 'published snapshot';
    expect(again.stdout).toContain(
      `from now on: mirrorlatch sync ${one.root}; an rsync to ${one.directory} would write into the ${target}\n`,
    );
    expect(one.inodes()).toEqual(before);
    const settings = JSON.parse(readFileSync(join(one.root, '.mirrorlatch/mirror.json'), 'utf8'));
    expect(settings).toMatchObject({
      source: `${one.source}/`,
      maxShrinkPercent: 90,
      rsyncOptions: ['--exclude=/none'],
    });

    await runForJson(['sync', one.source, one.root]);
    expect(one.read()).toBe('second second second');
    const synced = one.inodes();
    const swapped = await runProgram(['init', '--unadopt', one.root]);
    expectFailure(
      swapped,
      64,
      /is the mirror that was made of/,
      /: mirrorlatch init --unadopt \S+$/m,
    );
    const undone = await runForJson(['init', '--unadopt', one.directory]);
    expect(lstatSync(one.directory).isDirectory()).toBe(true);
    expect(one.inodes()).toEqual(synced);
    expect(undone).toMatchObject({ directory: one.directory, root: one.root });
    expect(undone['left']).toHaveLength(mode === 'snapshots' ? 1 : 0);
    expect(existsSync(join(one.root, 'current'))).toBe(false);
    const after = await runProgram(['status', one.root, '--json']);
    expect(after.json()).toMatchObject({ findings: [] });
    expectFailure(await runProgram(['init', '--unadopt', one.directory]), 64, /not made of/);
  });

  test('warns of what the first sync will delete, with the command that shows it, until that sync', async () => {
    const one = makeDirectory();
    writeFileSync(join(one.directory, 'robots.txt'), 'mine');
    const words = ['init', '--adopt', one.directory, ...flagsOf(mode)];
    const warning = (root: string) =>
      new RegExp(
        `warning: the first sync deletes what ${one.directory} has and its source has not; to see what: mirrorlatch sync ${root} --dry-run$`,
        'm',
      );
    const first = await runProgram(words);
    expect(first.stderr, transcript(first)).toMatch(warning(`SRC ${one.root}`));
    const named = await runProgram([...words, '--source', one.source]);
    expect(named.stderr, transcript(named)).toMatch(warning(one.root));
    const shown = await runProgram(['sync', one.root, '--dry-run']);
    expect(shown.stdout, transcript(shown)).toMatch(/robots\.txt/);
    await runForJson(['sync', one.root]);
    expect(existsSync(join(one.directory, 'robots.txt'))).toBe(false);
    expect((await runProgram(words)).stderr).not.toMatch('first sync');

    const undone = await runProgram(['init', '--unadopt', one.directory]);
    if (mode === 'in-place') {
      expect(undone.stdout).not.toMatch('as it was adopted');
      return;
    }
    const [, id = ''] =
      /^(\S+) is \S+ as it was adopted, with what syncs have deleted since$/m.exec(undone.stdout) ??
      [];
    expect(readFileSync(join(one.root, 'snapshots', id, 'robots.txt'), 'utf8')).toBe('mine');
  });

  test('keeps the path readable at every instant, back and forth a dozen times', {
    timeout: 180_000,
  }, async () => {
    const one = makeDirectory();
    const before = one.inodes();
    const reader = await startPathReader(one.directory, FILES);
    for (let round = 0; round < 12 || reader.turns() < 100; round += 1) {
      await adopt({ directory: one.directory, mode, settings: {} });
      if (round === 0) expect(lstatSync(one.directory).isSymbolicLink()).toBe(true);
      await unadopt({ directory: one.directory });
      if (round === 0) expect(lstatSync(one.directory).isDirectory()).toBe(true);
    }
    expect((await reader.leave()).missed).toEqual({});
    expect(one.inodes()).toEqual(before);
  });

  test('does not wait for readers of the path, but is not undone under a guarded reader', async () => {
    const one = makeDirectory();
    await runForJson(['init', '--adopt', one.directory, ...flagsOf(mode)]);
    const reading = execa(join(one.root, '.mirrorlatch/reader'), ['sleep', '60'], {
      reject: false,
    });
    await eventually(() => expect(readlinkSync(`/proc/${reading.pid}/exe`)).toMatch(/\/sleep$/));
    expectFailure(await runProgram(['init', '--unadopt', one.directory]), 75, /is being read/);
    expect(one.read()).toBe('first first first');
    reading.kill('SIGKILL');
    await reading;
    await runForJson(['init', '--unadopt', one.directory]);
    expect(lstatSync(one.directory).isDirectory()).toBe(true);
  });

  test.skipIf(!mayMount).each([
    ['in a PID namespace, whose /proc/locks does not list the lease', ''],
    ['that has closed the descriptor of the lease', '3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-'],
  ])('is not undone under a guarded reader %s', async (name, closing) => {
    const one = makeDirectory();
    await runForJson(['init', '--adopt', one.directory, ...flagsOf(mode)]);
    const unadopt = `'${process.execPath}' '${bin}' init --unadopt '${one.directory}'`;
    const script = `'${join(one.root, '.mirrorlatch/reader')}' --pin namespace sh -c 'exec sleep 600 ${closing}' >/dev/null 2>&1 &
      until [ "$(cat /proc/$!/comm)" = sleep ]; do sleep 0.1; done
      '${process.execPath}' '${bin}' gate status '${one.root}'
      ${unadopt}
      code=$?; kill -9 $!; exit $code`;
    const isApart = closing === '';
    const apart = isApart ? ['unshare', '--pid', '--fork', '--mount-proc'] : ['env'];
    const result = await startProcess([...apart, 'sh', '-c', script]).result;
    expectFailure(result, 75, /is being read/);
    if (isApart && mode === 'in-place')
      expect(result.stdout, name).toMatch(/1 guarded reader is inside/);
    expect(lstatSync(one.directory).isSymbolicLink()).toBe(true);
  });

  test('that crashed before the exchange is reported, undone by the next command, and can be repeated', async () => {
    const one = makeDirectory();
    const before = one.inodes();
    await adopt({ directory: one.directory, mode, settings: {} });
    // The state before the exchange: the tree at its old path, the symlink in its place, `current` made.
    const place = join(one.root, readlinkSync(join(one.root, 'current')));
    rmSync(one.directory);
    renameSync(place, one.directory);
    symlinkSync('known.mirror/current', place);

    expect(one.inodes()).toEqual(before);
    const status = await runProgram(['status', one.root, '--json']);
    const finding = { kind: 'unfinished-adoption', path: one.directory };
    expect(status.json()['findings']).toContainEqual(finding);
    for (let count = 0; count < 2; count += 1) {
      const sync = await runProgram(['sync', one.source, one.root]);
      expectFailure(sync, 78, /the adoption of .* was interrupted/, /init .* --adopt/);
    }
    expect(readdirSync(one.root)).not.toContain('current');
    expect(one.inodes()).toEqual(before);
    await runForJson(['init', '--adopt', one.directory, ...flagsOf(mode)]);
    expect(lstatSync(one.directory).isSymbolicLink()).toBe(true);
    expect(one.inodes()).toEqual(before);
    await runForJson(['sync', one.source, one.root]);
    expect(one.read()).toBe('second second second');
  });

  test('that crashed between two renames, where names cannot be exchanged, is repaired by the next command', async () => {
    const one = makeDirectory();
    const before = one.inodes();
    await adopt({ directory: one.directory, mode, settings: {} });
    renameSync(one.directory, one.alias);
    const status = await runProgram(['status', one.root, '--json']);
    const finding = { kind: 'unfinished-adoption', path: one.directory };
    expect(status.json()['findings']).toEqual([finding]);
    // In place, the crash came before the gate was opened for the first time.
    const gate = join(one.root, '.mirrorlatch/gate.json');
    if (mode === 'in-place') {
      const record = JSON.parse(readFileSync(gate, 'utf8'));
      writeFileSync(gate, JSON.stringify({ ...record, state: 'dirty', by: 'init' }));
    }
    await runForJson(['init', '--adopt', one.directory, ...flagsOf(mode)]);
    if (mode === 'in-place') expect(readFileSync(gate, 'utf8')).toContain('"state":"open"');
    expect(one.inodes()).toEqual(before);
    renameSync(one.directory, one.alias);
    await runForJson(['sync', one.source, one.root]);
    expect(one.read()).toBe('second second second');
  });

  test('that crashed between two renames can be undone at once', async () => {
    const one = makeDirectory();
    const before = one.inodes();
    await adopt({ directory: one.directory, mode, settings: {} });
    renameSync(one.directory, one.alias);
    await runForJson(['init', '--unadopt', one.directory]);
    expect(lstatSync(one.directory).isDirectory()).toBe(true);
    expect(one.inodes()).toEqual(before);
  });

  test.each([
    ['renamed', () => {}],
    ['renamed, and a file in its place,', (parent: string) => writeFileSync(parent, '')],
    ['renamed, and a loop in its place,', (parent: string) => symlinkSync(parent, parent)],
  ])(
    'with the directory above it %s stops no writer, and the mirror learns the new path',
    async (_, fill) => {
      const home = freshDirectory();
      const [before, after] = [join(home, 'before'), join(home, 'after')];
      const one = makeDirectory(before);
      await runForJson(['init', '--adopt', one.directory, ...flagsOf(mode)]);
      renameSync(before, after);
      fill(before);
      const [link, source, root] = ['known', 'source', 'known.mirror'].map((name) =>
        join(after, name),
      );
      if (link === undefined || source === undefined || root === undefined) throw new Error(after);

      const learn = `mirrorlatch init ${root} --adopt ${link}`;
      const said = `${one.directory} was adopted, but does not lead to what is current`;
      for (const words of [
        ['sync', source, root],
        ['lock', root, '--', 'true'],
      ]) {
        const result = await runProgram(words);
        expect(result.exitCode, transcript(result)).toBe(0);
        expect(result.stderr).toMatch(
          `${said} in ${root}. If readers use ${link} now, say so with: ${learn}\n`,
        );
      }
      const status = await runProgram(['status', root]);
      expect(status.exitCode, transcript(status)).toBe(69);
      expect(status.stdout).toMatch(said);
      expectFailure(
        await runProgram(['init', '--unadopt', link]),
        64,
        new RegExp(`: ${learn}$`, 'm'),
      );

      const learnt = await runProgram(learn.split(' ').slice(1));
      expect(learnt.exitCode, transcript(learnt)).toBe(0);
      expect(learnt.stderr).not.toMatch('does not lead');
      expect(await runForJson(['status', root])).toMatchObject({ isHealthy: true, findings: [] });
      await runForJson(['init', '--unadopt', link]);
      expect(readFileSync(join(link, 'file'), 'utf8')).toBe('second');
    },
  );

  test.skipIf(whyNoBindfs !== '')(
    `uses two renames if the filesystem cannot exchange names${whyNoBindfs}`,
    async () => {
      const one = makeDirectory(await withoutExchange());
      const before = one.read();
      await runForJson(['init', '--adopt', one.directory, ...flagsOf(mode)]);
      expect(lstatSync(one.directory).isSymbolicLink()).toBe(true);
      expect(one.read()).toBe(before);
      await runForJson(['sync', one.source, one.root]);
      expect(one.read()).toBe('second second second');
      await runForJson(['init', '--unadopt', one.directory]);
      expect(lstatSync(one.directory).isDirectory()).toBe(true);
      expect(one.read()).toBe('second second second');
    },
  );
});

test.skipIf(!nobodyRunsTheProgram)('a directory that may not be read is not adopted', async () => {
  const home = scratchDirectory();
  chownSync(home, nobody.uid, nobody.gid);
  const directory = join(home, 'closed');
  mkdirSync(directory, { mode: 0o300 });
  chownSync(directory, nobody.uid, nobody.gid);
  const result = await runProgram(['init', '--adopt', directory], { user: nobody });
  expectFailure(result, 77, /closed cannot be adopted: you may not read it/);
  expect(readdirSync(home)).toEqual(['closed']);
});

test.skipIf(!nobodyRunsTheProgram || !mayMount)(
  'an adopted path is not judged by status for a user who may not look there, nor where the mirror is mounted read-only',
  async () => {
    const home = freshDirectory();
    const one = makeDirectory(join(home, 'parent'));
    const root = join(home, 'mirror');
    await runForJson(['init', root, '--adopt', one.directory, '--source', one.source]);
    for (const directory of [scratch.path, home]) chmodSync(directory, 0o755);
    chmodSync(one.home, 0o750);
    const asNobody = await runProgram(['status', root], { user: nobody });
    expect(asNobody.exitCode, transcript(asNobody)).toBe(0);
    expect(asNobody.stdout).toMatch(/^left +\? \(.*\/staging.* and \S+\/parent\)$/m);

    const client = join(home, 'client');
    mkdirSync(client);
    await execa('mount', ['--bind', '-o', 'ro', root, client]);
    renameSync(one.home, `${one.home}.old`);
    const onClient = await runProgram(['status', client]);
    expect(onClient.exitCode, transcript(onClient)).toBe(0);
    expect((await runProgram(['status', root])).exitCode).toBe(69);
  },
);

test('a symlink that is missing is not made again, least of all by a copy of the mirror', async () => {
  const one = makeDirectory();
  await runForJson(['init', '--adopt', one.directory]);
  const copy = join(one.home, 'copy');
  await execa('cp', ['-a', one.root, copy]);
  rmSync(one.directory);
  for (const root of [copy, one.root]) {
    const sync = await runProgram(['sync', one.source, root, '--quiet']);
    expect(sync.exitCode, transcript(sync)).toBe(0);
    expect(sync.stderr).toMatch(
      `Make the symlink again with: ln -sT ${root}/current ${one.directory}`,
    );
    expect(existsSync(one.directory)).toBe(false);
    const status = await runProgram(['status', root]);
    expect(status.stdout, transcript(status)).toMatch(
      /does not lead to what is current; .*: ln -sT/,
    );
    const unadopt = await runProgram(['init', root, '--unadopt', one.directory]);
    expectFailure(unadopt, 78, /does not lead to/, /: ln -sT/);
  }
  symlinkSync(join(one.root, 'current'), one.directory);
  expectFailure(
    await runProgram(['init', copy, '--unadopt', one.directory]),
    78,
    /does not lead to/,
  );
  expect(readlinkSync(one.directory)).toBe(join(one.root, 'current'));
});

test('a copy of a mirror does not finish the adoption that a crash interrupted', async () => {
  const one = makeDirectory();
  await runForJson(['init', '--adopt', one.directory]);
  const copy = join(one.home, 'copy');
  renameSync(one.directory, one.alias);
  await execa('cp', ['-a', one.root, copy]);
  await runForJson(['sync', one.source, copy]);
  expect(existsSync(one.directory)).toBe(false);
  await runForJson(['sync', one.source, one.root]);
  expect(readlinkSync(one.directory)).toBe('known.mirror/current');
});

test('an adoption that was interrupted is not forgotten for a symlink that leads to the mirror', async () => {
  const one = makeDirectory();
  await runForJson(['init', '--adopt', one.directory]);
  const place = join(one.root, readlinkSync(join(one.root, 'current')));
  rmSync(one.directory);
  renameSync(place, one.directory);
  symlinkSync('known.mirror/current', place);
  const link = join(one.home, 'link');
  symlinkSync('known.mirror/current', link);
  const result = await runProgram(['init', one.root, '--adopt', link]);
  expectFailure(result, 78, /the adoption of .* was interrupted/);
  await runForJson(['init', '--adopt', one.directory]);
  expect(one.read()).toBe('first first first');
});

test('what the first sync deletes is warned of under a new path, too', async () => {
  const one = makeDirectory();
  await runForJson(['init', '--adopt', one.directory, '--source', one.source]);
  await runForJson(['sync', one.root]);
  await runForJson(['init', '--unadopt', one.directory]);
  await runForJson(['init', '--adopt', one.directory]);
  const link = join(one.home, 'link');
  renameSync(one.directory, link);
  const result = await runProgram(['init', one.root, '--adopt', link]);
  expect(result.stderr, transcript(result)).toMatch(`the first sync deletes what ${link} has`);
});

describe.skipIf(!nobodyRunsTheProgram)('A mirror of an ordinary user goes on', () => {
  /** A directory of root, with an adopted directory of that user, and the user's mirror outside. */
  async function makeOfUser() {
    const home = scratchDirectory();
    const one = makeDirectory(join(home, 'parent'));
    const root = join(home, 'mirror');
    mkdirSync(root);
    await execa('chown', ['-R', `${nobody.uid}:${nobody.gid}`, home]);
    const run = (...words: string[]) => runProgram(words, { user: nobody });
    const source = join(home, 'source');
    renameSync(one.source, source);
    const adopted = await run('init', root, '--adopt', one.directory, '--source', source);
    expect(adopted.exitCode, transcript(adopted)).toBe(0);
    chownSync(one.home, 0, 0);
    const writers = [
      ['sync', root],
      ['lock', root, '--', 'true'],
      ['rollback', root],
      ['prune', root],
    ];
    return { ...one, root, run, writers };
  }

  test.each([
    ['missing', false],
    ['missing since a crash', true],
  ])('if the adopted path is %s in a directory of root', async (_, isCrash) => {
    const one = await makeOfUser();
    if (isCrash) renameSync(one.directory, one.alias);
    else rmSync(one.directory);
    for (const words of one.writers) {
      const result = await one.run(...words);
      expect(result.exitCode, transcript(result)).toBe(0);
      expect(result.stderr).toMatch(`: ln -sT ${one.root}/current ${one.directory}\n`);
    }
  });

  test('if that user may not enter the directory above the adopted path', async () => {
    const one = await makeOfUser();
    chmodSync(one.home, 0o700);
    for (const words of one.writers) {
      const result = await one.run(...words);
      expect(result.exitCode, transcript(result)).toBe(0);
      expect(result.stderr).toMatch(
        `${one.directory} was adopted, but this user may not look whether it leads to what is current in ${one.root}.`,
      );
      expect(result.stderr).toMatch(`: mirrorlatch init ${one.root} --adopt LINK\n`);
    }
  });
});

test('what is given back is not held any more', async () => {
  const one = makeDirectory();
  await runForJson(['init', '--adopt', one.directory]);
  await runForJson(['rollback', one.root, 'current', '--hold', 'bad']);
  const result = await runProgram(['init', '--unadopt', one.directory]);
  expect(result.stderr).toMatch(/is no longer held/);
  const settings = readFileSync(join(one.root, '.mirrorlatch/mirror.json'), 'utf8');
  expect(settings).not.toMatch('bad');
});

describe('What is left of a mirror whose directory is given back', () => {
  /** An adopted directory, with another that serves what is current: the first publication after it. */
  async function makeServing() {
    const one = makeDirectory();
    const served = join(one.home, 'served');
    const flags = ['--source', one.source, '--serve-at', served];
    await runForJson(['init', '--adopt', one.directory, ...flags]);
    await runForJson(['sync', one.root]);
    return { ...one, served };
  }

  test('is to be deleted by a command that is given only if nothing else would go with it', async () => {
    const one = await makeServing();
    const standing = execa('sh', ['-c', 'read -r line; echo mine >upload'], { cwd: one.served });
    one.write(one.source, 'third');
    await runForJson(['sync', one.root]);
    standing.stdin.write('go on\n');
    await standing;
    const tree = join(one.root, 'snapshots/mine');
    mkdirSync(tree);
    writeFileSync(join(one.root, "somebody's file"), '');
    const command = 'echo work >"$MIRRORLATCH_STAGING/work"; exit 1';
    const failed = await runProgram(['lock', one.root, '--quiet', '--', 'sh', '-c', command]);
    expect(failed.exitCode, transcript(failed)).toBe(1);
    const undone = await runProgram(['init', '--unadopt', one.directory]);
    expect(undone.exitCode, transcript(undone)).toBe(0);
    expect(undone.stdout).not.toMatch('rm -r');
    const listed = undone.stdout.split('\n').filter((line) => line.startsWith('  '));
    const paths = listed.map((line) => line.slice(2));
    expect(paths).toEqual([
      `'${one.root}/somebody'\\''s file'`,
      tree,
      expect.stringMatching(/\/staging\/[^/]+\.command$/),
      expect.stringMatching(/\/superseded\/.*\.kept$/),
    ]);
    expect(readFileSync(join(paths[2] ?? '', 'work'), 'utf8')).toBe('work\n');
    expect(readFileSync(join(paths[3] ?? '', 'upload'), 'utf8')).toBe('mine\n');
  });

  test('no longer serves a clone of what was given back, and can be synced', async () => {
    const one = await makeServing();
    const undone = await runProgram(['init', '--unadopt', one.directory]);
    expect(undone.exitCode, transcript(undone)).toBe(0);
    expect(undone.stdout + undone.stderr).toMatch(
      `${one.served} is no longer served, and stays as it is`,
    );
    expect(undone.stdout).toMatch(/; to delete it: rm -r \S+$/m);
    expect(undone.stdout).toMatch(`no sync of ${one.root} reaches ${one.directory} any more`);
    const status = await runProgram(['status', one.root]);
    expect(status.stdout).toMatch(
      /^why +what was current is not in the mirror any more, and the next/m,
    );
    await runForJson(['sync', one.root]);
    expect(readFileSync(join(one.served, 'file'), 'utf8')).toBe('second');
    expect(readdirSync(one.home)).not.toContain('.served.mirrorlatch-serves');
  });
});

test('an empty directory is adopted with a warning, because a disk may not be mounted', async () => {
  const directory = join(scratchDirectory(), 'empty');
  mkdirSync(directory);
  const result = await runProgram(['init', '--adopt', directory]);
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(result.stderr).toMatch(`warning: ${directory} is empty`);
  expect(result.stdout).not.toMatch('already adopted');
});

test('I2: what shares files with snapshots of another mirror is not adopted in place, until those are gone', async () => {
  const one = makeDirectory();
  await runForJson(['init', '--adopt', one.directory, '--source', one.source]);
  for (const content of ['third', 'fourth']) {
    writeFileSync(join(one.source, 'file'), content);
    await runForJson(['sync', one.root]);
  }
  await runForJson(['init', '--unadopt', one.directory]);
  linkSync(join(one.directory, 'file'), join(one.directory, 'its other name'));
  const place = join(one.home, 'in place');
  const words = ['init', place, '--in-place', '--adopt', one.directory];
  expectFailure(
    await runProgram(words),
    64,
    /: 2 of its files, such as \S+\/known\/below\/\S*file, have names outside of it$/m,
    /: find \S+ -xdev -samefile \S+$/m,
  );
  expect(lstatSync(one.directory).isDirectory()).toBe(true);
  expect(existsSync(place)).toBe(false);
  rmSync(one.root, { recursive: true });
  await runForJson(words);
  expect(lstatSync(one.directory).isSymbolicLink()).toBe(true);
});

test('I2: an adoption warns of files that have names outside, and of what that means', async () => {
  const one = makeDirectory();
  linkSync(join(one.directory, 'file'), join(one.directory, '..', 'elsewhere'));
  linkSync(join(one.directory, 'file'), join(one.directory, 'inside too'));
  const result = await runProgram(['init', '--adopt', one.directory, '--source', one.source]);
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(result.stderr).toMatch(
    /warning: \S+\/known: 1 of its files, \S+\/known\/\S*(file|inside too), has names outside of it\. What writes to one there, or changes its mode, changes published snapshots\. Find them with: find \S+ -xdev -samefile .*\. To publish files that nothing else shares, adopt a copy: cp -a \S+ \S+\/known\.copy$/m,
  );
});

test('I2: an adoption as snapshots warns of processes that have entered the directory, but not of those that started it', async () => {
  for (const [mode, flags] of [
    ['snapshots', []],
    ['in-place', ['--in-place']],
  ] as const) {
    const one = makeDirectory();
    const standing = execa('sleep', ['600'], {
      cwd: join(one.directory, 'below'),
      reject: false,
    });
    const holding = execa('sh', ['-c', `exec 9<'${one.directory}' && exec sleep 600`], {
      reject: false,
    });
    await eventually(() => {
      expect(readlinkSync(`/proc/${standing.pid}/cwd`)).toBe(join(one.directory, 'below'));
      expect(readlinkSync(`/proc/${holding.pid}/fd/9`)).toBe(one.directory);
    });
    const result = await runProgram(['init', '--adopt', one.directory, ...flags], {
      cwd: one.directory,
      through: ['sh', '-c', '"$@"; exit "$?"', 'sh'],
    });
    expect(result.exitCode, transcript(result)).toBe(0);
    const warnings = result.stderr.match(/has been entered by .*(?=\. What they write there)/g);
    const said = warnings?.map((warning) => warning.match(/\S+ \(pid \d+\)/g)?.sort());
    const both = [standing, holding].map(({ pid }) => `sleep (pid ${pid})`).sort();
    expect(said, transcript(result)).toEqual(mode === 'snapshots' ? [both] : undefined);
    for (const process of [standing, holding]) {
      process.kill('SIGKILL');
      await process;
    }
  }
});

test('a part of a mirror is not adopted', async () => {
  const one = makeDirectory();
  await runForJson(['sync', one.directory, one.root]);
  const before = describeTree(one.root);
  for (const part of ['snapshots', 'current/', 'current/below']) {
    const words = ['init', `${one.root}.other`, '--adopt', join(one.root, part)];
    expectFailure(await runProgram(words), 64, /it is (a part of the mirror|not a directory)/);
  }
  expect(difference(before, describeTree(one.root))).toEqual([]);
});

test('a directory is not adopted by an in-place mirror with a tree that was never published', async () => {
  const one = makeDirectory();
  await runForJson(['init', one.root, '--in-place']);
  mkdirSync(join(one.root, 'gate/live'));
  const words = ['init', '--adopt', one.directory, '--in-place'];
  const place = /mirrorlatch init \S+\.mirror2 --adopt /;
  expectFailure(await runProgram(words), 64, /is already a mirror of its own/, place);
  expect(existsSync(join(one.root, 'current'))).toBe(false);
  expect(lstatSync(one.directory).isDirectory()).toBe(true);
});

test('a directory is not given back while the settings cannot be changed', async () => {
  const one = makeDirectory();
  await adopt({ directory: one.directory, mode: 'snapshots', settings: {} });
  const lock = join(one.root, '.mirrorlatch/settings.flock');
  rmSync(lock, { force: true });
  mkdirSync(lock);
  const before = one.read();
  expectFailure(await runProgram(['init', '--unadopt', one.directory]), 78, /settings\.flock/);
  expect(lstatSync(one.directory).isSymbolicLink()).toBe(true);
  expect(one.read()).toBe(before);
  rmdirSync(lock);
  await runForJson(['init', '--unadopt', one.directory]);
});

test('a tree that the last lock in place has left unfinished is given back with a warning', async () => {
  const one = makeDirectory();
  await adopt({ directory: one.directory, mode: 'in-place', settings: {} });
  await runProgram(['lock', one.root, '--', 'false']);
  const undone = await runProgram(['init', '--unadopt', one.directory]);
  expect(undone.exitCode, transcript(undone)).toBe(0);
  expect(undone.stderr).toMatch(
    /warning: \S+\/known may be half old, half new: it is not whole: false ended with 1 \(2/,
  );
});

test('a tree whose gate was closed by hand is given back only after that is opened, and then with its warning', async () => {
  const one = makeDirectory();
  await adopt({ directory: one.directory, mode: 'in-place', settings: {} });
  await runProgram(['lock', one.root, '--', 'false']);
  await runForJson(['gate', 'close', one.root, '--reason', 'I look at it']);
  const words = ['init', '--unadopt', one.directory];
  const closed = await runProgram(words);
  expectFailure(
    closed,
    75,
    /closed by hand: I look at it\n.*mirrorlatch gate open \S+\/known\.mirror\n/,
  );
  expect(lstatSync(one.directory).isSymbolicLink()).toBe(true);
  await runForJson(['gate', 'open', one.root]);
  const undone = await runProgram(words);
  expect(undone.exitCode, transcript(undone)).toBe(0);
  expect(undone.stderr).toMatch(/warning: \S+\/known may be half old, half new/);
});

test('a directory is not adopted into a mirror whose gate was closed by hand', async () => {
  const one = makeDirectory();
  await runForJson(['init', one.root, '--in-place']);
  await runForJson(['gate', 'close', one.root, '--reason', 'not yet']);
  const words = ['init', '--adopt', one.directory, '--in-place'];
  expectFailure(await runProgram(words), 75, /closed by hand: not yet/);
  expect(lstatSync(one.directory).isDirectory()).toBe(true);
  await runForJson(['gate', 'open', one.root]);
  await runForJson(words);
  expect(one.read()).toBe('first first first');
});

describe('Two calls at once', () => {
  const lock = { waitMs: 50_000 };
  const refusal = expect.objectContaining({ reason: expect.objectContaining({ code: 'USAGE' }) });

  test('to adopt different directories as one mirror adopt one, and leave the other unchanged', async () => {
    const [one, other] = [makeDirectory(), makeDirectory()];
    await runForJson(['init', one.root]);
    const calls = [one, other].map(({ directory }) =>
      adopt({ directory, root: one.root, mode: 'snapshots', settings: {}, lock }),
    );
    const ends = await Promise.allSettled(calls);
    expect(ends.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(ends).toContainEqual(refusal);
    const refused = ends[0]?.status === 'rejected' ? one : other;
    expect(lstatSync(refused.directory).isDirectory()).toBe(true);
    expect(refused.read()).toBe('first first first');
    expect(readdirSync(join(one.root, 'snapshots'))).toHaveLength(1);
  });

  // As often as it took to meet the moment between the look and the exchange.
  test('to adopt one directory as different mirrors let one have it, and the path leads to its tree', async () => {
    for (let round = 0; round < 8; round += 1) {
      const one = makeDirectory();
      const roots = ['a', 'b'].map((name) => join(one.home, name));
      const results = await Promise.all(
        roots.map((root) => runProgram(['init', root, '--adopt', one.directory])),
      );
      expect(one.read()).toBe('first first first');
      expect(results.map(({ exitCode }) => exitCode).sort()).toEqual([0, 64]);
      const loser = roots[results.findIndex(({ exitCode }) => exitCode === 64)] ?? '';
      if (!existsSync(loser)) continue;
      const settings = JSON.parse(readFileSync(join(loser, '.mirrorlatch/mirror.json'), 'utf8'));
      expect(settings).not.toHaveProperty('adopted');
      expect(existsSync(join(loser, 'current'))).toBe(false);
    }
  });

  test('to give a directory back give it back once', async () => {
    const one = makeDirectory();
    await adopt({ directory: one.directory, mode: 'snapshots', settings: {} });
    const calls = [1, 2].map(() => unadopt({ directory: one.directory, lock }));
    const ends = await Promise.allSettled(calls);
    expect(ends.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(ends).toContainEqual(refusal);
    expect(lstatSync(one.directory).isDirectory()).toBe(true);
    expect(one.read()).toBe('first first first');
  });
});

test('a mirror keeps its current snapshot if somebody replaced the adopted path by a directory', async () => {
  const one = makeDirectory();
  await runForJson(['init', '--adopt', one.directory]);
  rmSync(one.directory);
  mkdirSync(one.directory);
  for (const outcome of ['published', 'unchanged']) {
    const result = await runForJson(['sync', one.source, one.root]);
    expect(result).toMatchObject({ outcome });
  }
  expect(readFileSync(join(one.root, 'current/file'), 'utf8')).toBe('second');
});

describe.concurrent('Adoption refuses and leaves unchanged', () => {
  const refused = async (
    one: ReturnType<typeof makeDirectory>,
    words: readonly string[],
    exitCode: number,
    ...said: RegExp[]
  ): Promise<void> => {
    const before = readdirSync(one.home);
    expectFailure(await runProgram(['init', ...words]), exitCode, ...said);
    expect(readdirSync(one.home)).toEqual(before);
    expect(readdirSync(one.directory).sort()).toEqual(['below', 'file']);
  };

  test('a symlink, a file, and a missing path', async () => {
    const one = makeDirectory();
    symlinkSync('known', join(one.home, 'link'));
    await refused(one, ['--adopt', join(one.home, 'link')], 64, /it is a symlink to .*\/known\n/);
    await refused(one, ['--adopt', join(one.home, 'known/file')], 64, /is not a directory/);
    await refused(one, ['--adopt', join(one.home, 'none')], 66, /there is no directory/);
    await refused(
      one,
      ['--adopt', '/'],
      64,
      /^mirrorlatch: \/ cannot be adopted: it is a mount point/m,
    );
  });

  test('a mirror, a directory that contains its mirror, and one inside its mirror', async () => {
    const one = makeDirectory();
    await runForJson(['sync', one.source, join(one.home, 'mirror')]);
    await refused(one, ['--adopt', join(one.home, 'mirror')], 64, /already a mirror/);
    symlinkSync('known/below', join(one.home, 'way in'));
    for (const root of [join(one.directory, 'mirror'), one.directory, join(one.home, 'way in/m')]) {
      await refused(one, [root, '--adopt', one.directory], 64, /lies inside/);
    }
    await refused(one, [one.home, '--adopt', one.directory], 64, /lies inside/);
    const other = join(one.home, 'mirror');
    await refused(one, [other, '--adopt', one.directory], 64, /a mirror of its own/);
    renameSync(other, join(one.directory, 'below/further/mirror'));
    const inside = /known\/below\/further\/mirror in it is a mirror/;
    await refused(one, ['--adopt', one.directory], 64, inside);
  });

  test('a directory in which another program writes to a file', async () => {
    const one = makeDirectory();
    const writer = execa('sh', ['-c', 'exec >>below/file; exec cat'], {
      cwd: one.directory,
      reject: false,
    });
    await eventually(() => {
      const output = readlinkSync(`/proc/${writer.pid}/fd/1`);
      expect(output).toBe(join(one.directory, 'below/file'));
    });
    const named = /: cat \(pid \d+\) may still write to \S+\/known\/below\/file\n/;
    await refused(one, ['--adopt', one.directory], 75, named);
    writer.stdin.end();
    await writer;
    await runForJson(['init', '--adopt', one.directory]);
  });

  test('I2: a directory to which a process has begun to write between the look at it and the lock', async () => {
    const one = makeDirectory();
    const before = one.inodes();
    const begin = `exec 9>>'${one.directory}/below/file'; sleep 600 >/dev/null 2>&1 & exec 9>&-; echo $! >'${one.home}/pid'`;
    // With this search, the look ends.
    const atEnd = `case "$*" in *' -name .mirrorlatch '*) ${begin} ;; esac`;
    const PATH = standInFor('find', join(one.home, 'programs'), atEnd);
    const words = ['init', '--adopt', one.directory];
    const result = await runProgram(words, { env: { PATH } });
    const pid = Number(readFileSync(join(one.home, 'pid'), 'utf8'));
    process.kill(pid, 'SIGKILL');
    const named = `: sleep \\(pid ${pid}\\) may still write to \\S+/known/below/file\\n`;
    expectFailure(result, 75, new RegExp(named));
    expect(one.inodes()).toEqual(before);
    expect(lstatSync(one.directory).isDirectory()).toBe(true);
    const settings = JSON.parse(readFileSync(join(one.root, '.mirrorlatch/mirror.json'), 'utf8'));
    expect(settings).not.toHaveProperty('adopted');
    expect(readdirSync(one.root).sort()).toEqual(['.mirrorlatch', 'snapshots']);
    expect(readdirSync(join(one.root, 'snapshots'))).toEqual([]);
    await runForJson(words);
    expect(one.inodes()).toEqual(before);
  });

  test.each([
    ['by a name that has been removed since', 'known/below/file', 'rm known/below/file'],
    ['by a name that lies elsewhere', 'elsewhere', ':'],
  ])(
    'I2: a directory with a file that a process has open for writing %s',
    async (_, name, later) => {
      const one = makeDirectory();
      const [file, other] = ['known/below/file', 'known/below/other'];
      const names = `ln ${file} ${other}; ln ${file} elsewhere`;
      const script = `${names}; exec 9>>${name}; ${later}; echo open; exec cat`;
      const writer = execa('sh', ['-c', script], { cwd: one.home, reject: false });
      let said = '';
      writer.stdout.on('data', (chunk: Buffer) => {
        said += chunk.toString();
      });
      await eventually(() => expect(said).toBe('open\n'));
      const named = /: cat \(pid \d+\) may still write to \S+\/known\/below\/(file|other)\n/;
      await refused(one, ['--adopt', one.directory], 75, named);
      // A name elsewhere of a file that is not in the tree any more is no reason to refuse it.
      rmSync(join(one.home, file), { force: true });
      rmSync(join(one.home, other));
      await runForJson(['init', '--adopt', one.directory]);
      writer.stdin.end();
      await writer;
    },
  );

  test('I2: a directory with a file that a process has mapped for writing, but not one with a mapped program', async () => {
    const one = makeDirectory();
    cpSync('/bin/sleep', join(one.source, 'sleep'));
    renameSync(join(one.source, 'sleep'), join(one.directory, 'below/further/program'));
    const running = execa(join(one.directory, 'below/further/program'), ['600'], { reject: false });
    // Not by the module mmap, which keeps a descriptor of the file.
    const script = `import ctypes, os, sys
libc = ctypes.CDLL(None)
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
libc.mmap.restype = ctypes.c_void_p
def shared(flags):
    file = os.open(sys.argv[1], flags)
    at = libc.mmap(None, 1, 1, 1, file, 0)
    os.close(file)
    return at
late = shared(os.O_RDWR)
shared(os.O_RDONLY)
print('both', flush=True); sys.stdin.readline()
libc.munmap(ctypes.c_void_p(late), ctypes.c_size_t(1))
print('read-only', flush=True); sys.stdin.readline()`;
    const writer = execa('python3', ['-c', script, join(one.directory, 'file')], { reject: false });
    let said = '';
    writer.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    await eventually(() => expect(said).toBe('both\n'));
    const named = /: python\S* \(pid \d+\) may still write to \S+\/known\/file\n/;
    await refused(one, ['--adopt', one.directory], 75, named);
    writer.stdin.write('go on\n');
    await eventually(() => expect(said).toBe('both\nread-only\n'));
    await runForJson(['init', '--adopt', one.directory]);
    expect(readlinkSync(`/proc/${running.pid}/exe`)).toMatch(/\/snapshots\/\S+\/program$/);
    for (const process of [writer, running]) {
      process.kill('SIGKILL');
      await process;
    }
  });

  test.skipIf(!mayMount)(
    `I2: a directory that can be written to through a mount in another place${whyNoMount}`,
    async () => {
      const one = makeDirectory();
      const at = join(one.home, 'it is');
      mkdirSync(at);
      const adopting = [process.execPath, bin, 'init', '--adopt', one.directory];
      // In a namespace of its own, because another test that makes one would keep a copy of the mount.
      const inNamespace = (script: string, ...words: string[]) =>
        startProcess(['unshare', '--mount', 'sh', '-c', script, 'sh', ...words]).result;
      const bound = await inNamespace(
        `mount --bind '${one.directory}' '${at}' && "$@"`,
        ...adopting,
      );
      expectFailure(bound, 78, /could still be written to through the mount \S+\/it is\n/);
      expect(existsSync(one.root)).toBe(false);
      const detach = /Detach it with: (.*?)\. Then/.exec(bound.stderr)?.[1];
      expect(detach).toBe(`umount '${at}'`);

      const readOnly = await inNamespace(
        `mount --bind -o ro '${one.directory}' '${at}' && mount --bind '${one.directory}' '${at}' && ${detach} && "$@"`,
        ...adopting,
      );
      expect(readOnly.exitCode, transcript(readOnly)).toBe(0);
    },
  );

  test.skipIf(!mayMount)(
    `I2: a directory that a process has mounted for itself, unless it is read-only there${whyNoMount}`,
    async () => {
      const one = makeDirectory();
      const at = join(one.home, 'it is');
      mkdirSync(at);
      const script = `mount --bind '${one.directory}' '${at}' && echo mounted && read -r _ && mount -o remount,bind,ro '${at}' && echo again && read -r _`;
      const container = execa('unshare', ['--mount', 'sh', '-c', script], { reject: false });
      let said = '';
      container.stdout.on('data', (chunk: Buffer) => {
        said += chunk.toString();
      });
      await eventually(() => expect(said).toBe('mounted\n'));
      const named = /: sh \(pid \d+\) may still write to \S+\/known\n/;
      await refused(one, ['--adopt', one.directory], 75, named);
      container.stdin.write('\n');
      await eventually(() => expect(said).toBe('mounted\nagain\n'));
      await runForJson(['init', '--adopt', one.directory]);
      container.kill('SIGKILL');
      await container;
    },
  );

  test('a directory in which an rsync is running', async () => {
    const one = makeDirectory();
    writeFileSync(join(one.source, 'large'), 'x'.repeat(2_000_000));
    const rsync = execa('rsync', ['-a', '--bwlimit=100', `${one.source}/`, `${one.directory}/`], {
      reject: false,
    });
    while (!readdirSync(one.directory).some((name) => name.startsWith('.large'))) await pause(20);
    const result = await runProgram(['init', '--adopt', one.directory]);
    const writing = /: rsync \(pid \d+\),? .*may still write to \S+\/known/;
    expectFailure(result, 75, writing, /Wait until that has ended/);
    rsync.kill('SIGTERM');
    await rsync;
    expect(existsSync(one.root)).toBe(false);
  });

  test.skipIf(!mayMount)(
    `a mount point, and a directory on another filesystem than its mirror${whyNoMount}`,
    async () => {
      const one = makeDirectory();
      await execa('mount', ['-t', 'tmpfs', 'tmpfs', one.directory]);
      one.write(one.directory, 'mounted');
      await refused(one, ['--adopt', one.directory], 64, /a mount point/);
      const inside = join(one.directory, 'below');
      await refused(one, [one.root, '--adopt', inside], 64, /another filesystem/);
      await execa('umount', [one.directory]);
    },
  );
});

describe.concurrent('A served directory', () => {
  /** A mirror and a directory that serves its current snapshot. */
  async function makeServed(home = freshDirectory()) {
    const source = join(home, 'source');
    const root = join(home, 'mirror');
    const served = join(home, 'served');
    mkdirSync(join(source, 'below/further'), { recursive: true });
    const publish = async (id: string) => {
      for (const file of FILES) writeFileSync(join(source, file), id);
      return runForJson(['sync', source, root, '--id', id]);
    };
    await publish('g1');
    await runForJson(['init', root, '--serve-at', served]);
    const read = () => FILES.map((file) => readFileSync(join(served, file), 'utf8')).join(' ');
    const superseded = () => {
      const directory = join(root, '.mirrorlatch/superseded');
      return existsSync(directory) ? readdirSync(directory) : [];
    };
    return { home, root, served, publish, read, superseded };
  }

  // Long on a busy machine: its reader has to come round, too.
  test('is whole at every instant over dozens of publications and rollbacks', {
    timeout: 180_000,
  }, async () => {
    const one = await makeServed();
    await one.publish('g2');
    expect(lstatSync(one.served).isDirectory()).toBe(true);
    expect(one.read()).toBe('g2 g2 g2');
    const reader = await startPathReader(one.served, FILES);
    const { rollback } = await import('../../src/index.ts');
    for (let round = 0; round < 20 || reader.turns() < 100; round += 1) {
      await rollback({ root: one.root });
    }
    for (let round = 0; round < 2; round += 1) {
      await rollback({ root: one.root });
      await reader.reads();
    }
    await one.publish('g3');
    expect(one.read()).toBe('g3 g3 g3');
    await reader.reads();
    const { missed, seen } = await reader.leave();
    expect(missed).toEqual({});
    expect([...seen].sort()).toEqual(['g1', 'g2', 'g3']);
    await runForJson(['sync', one.root]);
    expect(one.superseded()).toEqual([]);
  });

  test('stays after a publication while it is the working directory of a process, and is removed afterwards', async () => {
    const one = await makeServed();
    await one.publish('g2');
    const standing = execa('sh', ['-c', 'read -r line; cat file below/file'], { cwd: one.served });
    await one.publish('g3');
    await one.publish('g4');
    expect(one.superseded()).toHaveLength(1);
    standing.stdin.write('go on\n');
    expect((await standing).stdout).toBe('g2g2');
    await runForJson(['sync', one.root]);
    expect(one.superseded()).toEqual([]);
    expect(one.read()).toBe('g4 g4 g4');
  });

  test('is brought up to date by the next sync after a crash between the flip and the exchange', async () => {
    const one = await makeServed();
    await one.publish('g2');
    const settings = join(one.root, '.mirrorlatch/mirror.json');
    const text = readFileSync(settings, 'utf8');
    writeFileSync(settings, JSON.stringify({ ...JSON.parse(text), serveAt: undefined }));
    await one.publish('g3');
    writeFileSync(settings, text);
    expect(one.read()).toBe('g2 g2 g2');
    expect(await runForJson(['sync', one.root])).toMatchObject({ outcome: 'unchanged' });
    expect(one.read()).toBe('g3 g3 g3');
  });

  test('keeps the old tree for its readers after a crash right after the exchange', async () => {
    const one = await makeServed();
    await one.publish('g2');
    const standing = execa('sh', ['-c', 'read -r line; cat file below/file'], { cwd: one.served });
    const left = join(one.root, '.mirrorlatch/staging/g3+served.clone');
    renameSync(one.served, left);
    mkdirSync(one.served);
    await one.publish('g3');
    expect(existsSync(left)).toBe(false);
    standing.stdin.write('go on\n');
    expect((await standing).stdout).toBe('g2g2');
    await runForJson(['sync', one.root]);
    expect(one.superseded()).toEqual([]);
    expect(one.read()).toBe('g3 g3 g3');
  });

  test('can move: the next sync fills the new directory and leaves the old one unchanged', async () => {
    const one = await makeServed();
    await one.publish('g2');
    const elsewhere = join(one.home, 'elsewhere');
    mkdirSync(elsewhere);
    await runForJson(['init', one.root, '--serve-at', elsewhere]);
    expect(await runForJson(['sync', one.root])).toMatchObject({ outcome: 'unchanged' });
    expect(readFileSync(join(elsewhere, 'file'), 'utf8')).toBe('g2');
    expect(one.read()).toBe('g2 g2 g2');
  });

  test('is released with a word about the files that it shares with snapshots', async () => {
    const one = await makeServed();
    await one.publish('g2');
    const released = await runProgram(['init', one.root, '--no-serve-at']);
    expect(released.stdout).toMatch(
      `${one.served} stays as it is\nfiles of ${one.served} are hard`,
    );
    const again = await runProgram(['init', one.root, '--no-serve-at']);
    expect(again.stdout).not.toMatch('hard links');
  });

  test('is refused by init where it is not possible, before a new mirror is made', async () => {
    const one = await makeServed();
    const part = /is a part of the mirror .*\/mirror\n/;
    writeFileSync(join(one.home, 'a file'), '');
    symlinkSync('served', join(one.home, 'a link'));
    mkdirSync(join(one.home, "somebody's"));
    writeFileSync(join(one.home, "somebody's", 'file'), '');
    for (const [name, said, saidOfAnother = said] of [
      ['a file', /is not a directory/],
      ['a link', /is not a directory/],
      ["somebody's", /not empty/],
      ['none/served', /the directory .* does not exist/],
      ['mirror/snapshots', /needs it for itself/, part],
      ['mirror/.mirrorlatch/served', /needs it for itself/, part],
      ['mirror/served', part],
    ] as const) {
      const words = ['--serve-at', join(one.home, name)];
      expectFailure(await runProgram(['init', one.root, ...words]), 64, said);
      for (const another of [[join(one.home, 'new')], ['--adopt', join(one.home, 'source')]])
        expectFailure(await runProgram(['init', ...another, ...words]), 64, saidOfAnother);
    }
    const around = ['init', join(one.home, 'new/mirror'), '--serve-at', join(one.home, 'new')];
    expectFailure(await runProgram(around), 64, /the mirror .* lies in it/);
    for (const name of ['new', 'source.mirror'])
      expect(existsSync(join(one.home, name)), name).toBe(false);
  });

  test.skipIf(whyNoBindfs !== '')(
    `is refused with 69 on another filesystem, or on one that cannot exchange names${whyNoBindfs}`,
    async () => {
      const home = await withoutExchange();
      const root = join(home, 'mirror');
      await runForJson(['init', root]);
      const before = readFileSync(join(root, '.mirrorlatch/mirror.json'), 'utf8');
      const result = await runProgram(['init', root, '--serve-at', join(home, 'served')]);
      expectFailure(result, 69, /cannot exchange two names/);
      const elsewhere = await runProgram(['init', root, '--serve-at', join(home, '..', 'served')]);
      expectFailure(elsewhere, 64, /another filesystem/);
      expect(readFileSync(join(root, '.mirrorlatch/mirror.json'), 'utf8')).toBe(before);
      expect(readdirSync(home)).toEqual(['mirror']);
    },
  );
});

/** A directory on a filesystem without RENAME_EXCHANGE: bindfs returns EINVAL. */
async function withoutExchange(): Promise<string> {
  const place = freshDirectory();
  const [below, view] = [join(place, 'below'), join(place, 'view')];
  for (const directory of [below, view]) mkdirSync(directory);
  await execa('bindfs', [below, view]);
  return view;
}
