import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { execa, execaSync } from 'execa';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { layoutOf } from '../../src/mirror/layout.ts';
import { refuseSplitMirror } from '../../src/mirror/plan/preflight.ts';
import { mountOf } from '../../src/system/mounts.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { inShell } from '../support/guards.ts';
import {
  makeImage,
  makeLoopFilesystem,
  makeUncleanImage,
  mountImage,
  mountTmpfs,
  unmountImage,
  whyNoLoopFilesystem,
} from '../support/loop-filesystem.ts';
import { nobody } from '../support/privilege.ts';
import {
  nobodyRunsTheProgram,
  runForJson,
  runProgram,
  startProcess,
  transcript,
} from '../support/program.ts';
import { launcher } from '../support/project.ts';
import { makeScratch, scratchDirectory } from '../support/scratch.ts';
import { mirrorsWith, smallMirror } from '../support/small-mirror.ts';
import { standInFor } from '../support/stand-in.ts';
import { describeTree, difference } from '../support/tree.ts';

const MIB = 1024 * 1024;
const whyNotAsNobody = nobodyRunsTheProgram
  ? ''
  : ' (skipped: only root can become nobody, who has to reach Node and the program)';

const oneSnapshot = mirrorsWith('first');

describe('the programs', () => {
  test('a missing rsync is reported with 69 and a hint, before anything is made', async () => {
    const mirror = smallMirror();
    for (const options of [[], ['--dry-run']]) {
      expectFailure(
        await runProgram(['sync', mirror.source, mirror.root, ...options], {
          env: { PATH: pathWith({}) },
        }),
        69,
        /the program rsync is not installed/,
        /apt-get install rsync/,
      );
    }
    expect(existsSync(mirror.root)).toBe(false);
  });

  test.for([
    ['2.6.9', 'rsync  version 2.6.9  protocol version 29', /too old: 2\.6\.9, 3\.1\.3 is needed/],
    ['3.1.2', 'rsync  version 3.1.2  protocol version 31', /too old: 3\.1\.2, 3\.1\.3 is needed/],
    ['no version', 'openrsync: protocol version 29', /of an unknown version/],
  ] as const)('an rsync that says %s is refused with 69', async ([, says, words]) => {
    const mirror = smallMirror();
    const PATH = pathWith({ rsync: `#!/bin/sh\necho '${says}'\n` });
    const result = await runProgram(['sync', mirror.source, mirror.root], { env: { PATH } });
    expectFailure(result, 69, words, /apt-get install rsync/);
    expect(existsSync(mirror.root)).toBe(false);
  });

  test('an rsync of version 3.1.3, 3.4.1 or v3.5.0 is new enough', async () => {
    const mirror = await oneSnapshot();
    for (const version of ['3.1.3', '3.4.1', 'v3.5.0']) {
      const says = `[ "$1" != --version ] || exec echo "rsync  version ${version}  protocol version 32"`;
      const PATH = standInFor('rsync', join(mirror.home, version), says);
      const result = await runProgram(['sync', mirror.root, '-n'], { env: { PATH } });
      expect(result.exitCode, transcript(result)).toBe(0);
    }
  });

  test.for(['flock', 'setpriv'])(
    'a missing %s is reported with 69, and nothing is published',
    async (name) => {
      const mirror = await oneSnapshot();
      mirror.change({ file: 'changed' });
      const PATH = pathWith({}, ['flock', 'setpriv', 'rsync', 'cp', 'rm', 'sync', 'touch'], name);
      const result = await runProgram(['sync', mirror.root], { env: { PATH } });
      expectFailure(result, 69, new RegExp(name), /apt-get install util-linux/);
      expect(mirror.linked('current')).toBe('first');
    },
  );
});

describe('the places', () => {
  test('ROOT inside SRC, SRC inside ROOT and ROOT equal to SRC are refused with 64, also through symlinks', async () => {
    const home = scratchDirectory();
    const at = (...names: string[]): string => join(home, ...names);
    mkdirSync(at('outer', 'inner'), { recursive: true });
    writeFileSync(at('outer', 'file'), 'content');
    writeFileSync(at('outer', 'inner', 'file'), 'content');
    symlinkSync('outer', at('to-outer'));
    symlinkSync('outer/inner', at('to-inner'));
    const before = describeTree(home);
    const pairs = [
      [at('outer'), at('outer')],
      [at('outer'), `${at('outer')}/`],
      [at('outer'), at('outer', 'new')],
      [at('outer'), at('outer', 'inner')],
      [at('outer', 'inner'), at('outer')],
      [at('outer', 'inner', '..'), at('outer', 'new')],
      [at('to-outer'), at('outer', 'new')],
      [at('outer'), at('to-outer', 'new')],
      [at('outer'), at('to-outer', 'new', 'deeper')],
      [at('outer'), at('to-inner')],
      [at('outer'), at('to-inner', 'new')],
      [at('to-inner'), at('outer')],
      [at('outer'), '/'],
      ['/', at('elsewhere')],
    ] as const;
    for (const [source, root] of pairs) {
      const result = await runProgram(['sync', source, root]);
      expect(result.exitCode, transcript(result)).toBe(64);
      expect(result.stderr).toMatch(/lies inside the|\/ cannot be a mirror/);
    }
    expect(difference(before, describeTree(home))).toEqual([]);
  });

  test('directories whose names only begin alike are accepted', async () => {
    const home = scratchDirectory();
    mkdirSync(join(home, 'mirror-source'));
    writeFileSync(join(home, 'mirror-source', 'file'), 'content');
    const result = await runProgram(['sync', join(home, 'mirror-source'), join(home, 'mirror')]);
    expect(result.exitCode, transcript(result)).toBe(0);
  });

  test('a lock that its holder takes and releases meanwhile is no obstacle', async () => {
    const mirror = smallMirror();
    await mirror.sync();
    const lock = JSON.stringify(mirror.state('sync.lock'));
    const held = `for (;;) { fs.mkdirSync(${lock}); fs.rmdirSync(${lock}); }`;
    const holder = startProcess([process.execPath, '-e', held]);
    await expect.poll(() => existsSync(mirror.state('sync.lock'))).toBe(true);
    const layout = layoutOf(mirror.root);
    for (let turn = 0; turn < 1_000; turn += 1) refuseSplitMirror(layout);
    holder.kill('SIGKILL');
    expect((await holder.result).signal).toBe('SIGKILL');
  });
});

describe.skipIf(!nobodyRunsTheProgram)(`permission${whyNotAsNobody}`, () => {
  test('an unreadable source is reported with 77, and no mirror is made', async () => {
    const mirror = smallMirror();
    chmodSync(mirror.home, 0o777);
    chmodSync(mirror.source, 0o700);
    const result = await runProgram(['sync', mirror.source, mirror.root], { user: nobody });
    expectFailure(result, 77, /the source .* cannot be read/, /a user that may read the source/);
    expect(existsSync(mirror.root)).toBe(false);
  });

  test('a directory in which no mirror may be made is reported with 77', async () => {
    const mirror = smallMirror();
    const result = await runProgram(['sync', mirror.source, mirror.root], { user: nobody });
    expectFailure(result, 77, /the mirror .* cannot be made: permission denied/);
  });

  test('a umask that closes files to their owner closes no mirror to its owner', async () => {
    const home = scratchDirectory();
    execaSync('chown', [`${nobody.uid}:${nobody.gid}`, home]);
    const mirror = smallMirror({ home, program: { user: nobody, umask: '0777' } });
    await mirror.publish('first', {});
    // As an older version left them.
    for (const name of ['sync.flock', 'settings.flock']) chmodSync(mirror.state(name), 0);
    await runForJson(['init', mirror.root, '--keep-last', '9'], { user: nobody });
    await mirror.publish('second', { file: 'second' });
    for (const name of ['sync.flock', 'settings.flock'])
      expect(statSync(mirror.state(name)).mode & 0o777).toBe(0o600);
    const asks = ['--', 'sh', '-c', 'umask'];
    const caller = { user: nobody, umask: '0777', env: { XDG_STATE_HOME: join(home, 'state') } };
    const tree = await runProgram(['lock', mirror.root, ...asks], caller);
    expect(tree, transcript(tree)).toMatchObject({ exitCode: 0, stdout: '0777\n' });
    for (const options of [
      ['--sticky', 'a'],
      ['--reuse', 'a'],
    ]) {
      const words = [launcher, 'run', mirror.root, ...options, '--pin', 'cwd', ...asks];
      const shell = inShell('umask 0777; exec "$@"', ...words);
      const read = await startProcess(shell, { ...nobody, env: caller.env, cwd: '/' }).result;
      expect(read, transcript(read)).toMatchObject({ exitCode: 0, stdout: '0777\n' });
    }
  });

  test("another user's mirror is reported with 77 by every command that would write, and stays unchanged", async () => {
    const mirror = await oneSnapshot();
    mirror.change({ file: 'changed' });
    const before = describeTree(mirror.root);
    for (const command of ['sync', 'rollback', 'prune', 'unlock', 'init']) {
      const result = await runProgram([command, mirror.root], { user: nobody });
      expectFailure(result, 77, /permission denied/, /Run it as the user that owns the mirror/);
      expect(result.stderr).not.toMatch(/unforeseen/);
    }
    expect(difference(before, describeTree(mirror.root))).toEqual([]);
  });
});

describe.skipIf(whyNoLoopFilesystem !== '')(`space and inodes${whyNoLoopFilesystem}`, () => {
  test('a plan larger than the free space is warned of, and ends with 74 when the disk is full', async () => {
    const mirror = smallMirror({ root: await mountTmpfs('size=20m') });
    await mirror.publish('first', {});
    mirror.change({ huge: '' });
    truncateSync(join(mirror.source, 'huge'), 50 * MIB);
    const result = await runProgram(['sync', mirror.root]);
    const needed = /warning: .* up to 52.4 MB are needed, \d\S* MB are free/;
    expectFailure(
      result,
      74,
      needed,
      /no space left on the disk of the mirror/,
      /Free space or inodes/,
    );
    expect(result.stderr, 'there is no snapshot that could go').not.toMatch(/mirrorlatch prune/);
    expect(mirror.linked('current')).toBe('first');
    mirror.change({ huge: null, small: 'fits' });
    // What was left of it fills the disk.
    const next = await runProgram(['sync', mirror.root]);
    expect(next.exitCode, transcript(next)).toBe(0);
    expect(next.stderr).toMatch(/partly transferred files were removed/);
  });

  test('in place, what cannot fit is warned of before the gate is closed', async () => {
    const mirror = smallMirror({ root: await mountTmpfs('size=20m') });
    await runForJson(['init', mirror.root, '--in-place', '--source', mirror.source]);
    await mirror.sync();
    mirror.change({ huge: '' });
    truncateSync(join(mirror.source, 'huge'), 50 * MIB);
    const result = await runProgram(['sync', mirror.root]);
    const warned = /warning: what is new may not fit .*\n(.*\n)*mirrorlatch: closing the gate\n/;
    expectFailure(result, 74, warned, /The tree may be half old, half new now/);
  });

  test('a sparse file and the names of one file are published although their sizes do not fit', async () => {
    const mirror = smallMirror({ root: await mountTmpfs('size=20m') });
    await mirror.publish('first', {});
    mirror.change({ sparse: '', large: Buffer.alloc(8 * MIB, 'x') });
    truncateSync(join(mirror.source, 'sparse'), 500 * MIB);
    for (const name of ['second', 'third', 'fourth'])
      linkSync(join(mirror.source, 'large'), join(mirror.source, name));
    const quiet = await runProgram(['sync', mirror.root, '--quiet', '--', '--sparse', '-H']);
    expect(quiet.exitCode, transcript(quiet)).toBe(0);
    expect(quiet.stderr).toBe('');
    expect(statSync(join(mirror.root, 'current', 'sparse')).size).toBe(500 * MIB);
  });

  test('a plan that needs more inodes than are free ends with 74', async () => {
    const mirror = smallMirror({ root: await mountTmpfs('size=20m,nr_inodes=80') });
    await mirror.publish('first', {});
    mirror.change(manyFiles(100));
    // Whichever writes first says it: rsync, or the record of what it has received.
    const full = /No space left on device|no space or no quota left/;
    const says = [/up to 10\d inodes are needed, \d+ are free/, full];
    expectFailure(await runProgram(['sync', mirror.root]), 74, ...says);
    expect(mirror.linked('current')).toBe('first');
    const elsewhere = await mountTmpfs('size=20m,nr_inodes=50');
    expectFailure(await runProgram(['sync', mirror.source, elsewhere]), 74, ...says);
  });

  test('only new data counts: a large tree with a small change fits beside itself', async () => {
    const mirror = smallMirror({ root: await mountTmpfs('size=20m') });
    await mirror.publish('first', { large: Buffer.alloc(12 * MIB, 'x') });
    mirror.change({ file: 'changed' });
    expect(await mirror.sync()).toMatchObject({ outcome: 'published' });
  });

  test('a full copy counts only once, even while it is being made', async () => {
    const mirror = smallMirror({ root: await mountTmpfs('size=40m') });
    // The first difference starts the copy, and the plan runs long enough for the copy to end.
    const large = Buffer.alloc(15 * MIB, 'x');
    await mirror.publish('first', { ...manyFiles(3_000), large }, '--strategy', 'copy');
    mirror.change({ '0-first': 'changed' });
    expect(await mirror.sync('--clone', 'copy')).toMatchObject({
      outcome: 'published',
      clone: 'copy',
    });
  });

  test('a full copy that does not fit is refused', async () => {
    const mirror = smallMirror({ root: await mountTmpfs('size=20m') });
    await mirror.publish('first', { large: Buffer.alloc(12 * MIB, 'x') });
    mirror.change({ file: 'changed' });
    expectFailure(await runProgram(['sync', mirror.root, '--clone', 'copy']), 74, /no space/i);
    expect(mirror.linked('current')).toBe('first');
    expect(await mirror.sync()).toMatchObject({ outcome: 'published' });
  });
});

describe.skipIf(whyNoLoopFilesystem !== '')(`the superblock${whyNoLoopFilesystem}`, () => {
  const scratch = makeScratch();
  const image = join(scratch.path, 'ext4.img');
  const path = join(scratch.path, 'ext4');

  beforeAll(async () => {
    await makeUncleanImage(image);
    await mountImage(image, path);
  });
  afterAll(async () => {
    await unmountImage(path);
    await scratch.remove();
  });

  test('of an unclean filesystem causes a warning by default, and the sync continues', async () => {
    const mirror = smallMirror({ root: join(path, 'warned') });
    const result = await runProgram(['sync', mirror.source, mirror.root]);
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(result.stderr).toMatch(
      /warning: the filesystem of .*\/warned \(\/dev\/loop\d+\) is not clean: check it with e2fsck/,
    );
    const quiet = await runProgram(['sync', mirror.root, '--quiet']);
    expect(quiet.stderr).toBe('');
  });

  test('ends the sync with 74 with --unclean refuse, and nothing is published', async () => {
    const mirror = smallMirror({ root: join(path, 'refused') });
    const result = await runProgram(['sync', mirror.source, mirror.root, '--unclean', 'refuse']);
    expectFailure(result, 74, /is not clean/, /e2fsck/, /--unclean warn/);
    expect(mirror.linked('current')).toBe(undefined);
    expect(existsSync(mirror.state('sync.lock'))).toBe(false);
    const status = await runProgram(['status', mirror.root, '--json']);
    expect(status.json()).toMatchObject({ lastSync: { event: 'failed', code: 'IO' } });
  });

  test('is not read with --unclean ignore', async () => {
    const mirror = smallMirror({ root: join(path, 'ignored') });
    const result = await runProgram(['sync', mirror.source, mirror.root, '--unclean', 'ignore']);
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(result.stderr).not.toMatch(/clean/);
  });

  test('of a filesystem with errors is named as tune2fs names it', async () => {
    const damaged = join(scratch.path, 'errors.img');
    await makeImage('ext4', damaged, { size: 16 * MIB });
    await execa('debugfs', ['-w', '-R', 'set_super_value state 3', damaged]);
    const mountPoint = join(scratch.path, 'errors');
    await mountImage(damaged, mountPoint);
    onTestFinished(() => unmountImage(mountPoint));
    const mirror = smallMirror({ root: join(mountPoint, 'mirror') });
    const result = await runProgram(['sync', mirror.source, mirror.root]);
    const { source } = mountOf(mountPoint) ?? { source: '' };
    const { stdout } = await execa('tune2fs', ['-l', source]);
    const state = /^Filesystem state:\s+(.*)$/m.exec(stdout)?.[1];
    expect(state).toBe('clean with errors');
    expect(result.stderr).toContain(`(${source}) is ${state}: check it with e2fsck`);
  });

  test.each([
    ['a journal', []],
    ['no journal, which is never clean while it is mounted,', ['-O', '^has_journal']],
  ])('of a clean filesystem with %s is not mentioned', async (_, options) => {
    const filesystem = await makeLoopFilesystem('ext4', { size: 16 * MIB, mkfs: options });
    onTestFinished(() => filesystem.remove());
    const mirror = smallMirror({ root: join(filesystem.path, 'mirror') });
    const result = await runProgram([
      'sync',
      mirror.source,
      mirror.root,
      ...['--unclean', 'refuse'],
    ]);
    expect(result.exitCode, transcript(result)).toBe(0);
  });
});

/** A directory for `PATH` with these scripts, and links to all real programs except one. */
function pathWith(
  scripts: Readonly<Record<string, string>>,
  programs: readonly string[] = [],
  without = '',
): string {
  const directory = scratchDirectory();
  for (const [name, script] of Object.entries(scripts)) {
    writeFileSync(join(directory, name), script, { mode: 0o755 });
  }
  for (const program of programs.filter((name) => name !== without)) {
    const { stdout } = execaSync('which', [program]);
    symlinkSync(stdout, join(directory, basename(stdout)));
  }
  return directory;
}

function manyFiles(count: number): Record<string, string> {
  return Object.fromEntries(Array.from({ length: count }, (_, at) => [`many/${at}`, '']));
}
