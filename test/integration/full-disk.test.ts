import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { expectFailure } from '../support/expect-failure.ts';
import {
  fillDisk,
  type LoopFilesystem,
  makeLoopFilesystem,
  mountTmpfs,
  whyNoLoopFilesystem,
} from '../support/loop-filesystem.ts';
import { nobody } from '../support/privilege.ts';
import { runForJson, runProgram, transcript } from '../support/program.ts';
import { startSlowSync } from '../support/slow-sync.ts';
import { smallMirror } from '../support/small-mirror.ts';
import { describeTree, difference } from '../support/tree.ts';

const MIB = 1024 * 1024;

describe.skipIf(whyNoLoopFilesystem !== '')(`a full disk${whyNoLoopFilesystem}`, () => {
  let filesystem: LoopFilesystem;
  let filler: string;

  beforeAll(async () => {
    // No blocks are reserved for root, so the disk is full for every user.
    filesystem = await makeLoopFilesystem('ext4', { size: 24 * MIB, mkfs: ['-m', '0'] });
    filler = join(filesystem.path, 'filler');
  });
  afterEach(() => rmSync(filler, { force: true }));
  afterAll(() => filesystem.remove());

  test('during the transfer ends the sync with 74 and a hint; with free space the next sync continues', async () => {
    const mirror = smallMirror({ root: join(filesystem.path, 'transfer') });
    await mirror.publish('first', {});
    const before = describeTree(join(mirror.root, 'snapshots', 'first'));
    const sync = await startSlowSync(mirror, { seconds: 8, files: { a: 'whole already' } });
    fillDisk(filler);
    const result = await sync.result;
    expectFailure(
      result,
      74,
      /no space left/i,
      /No space left on device/,
      /Free space or inodes on the disk of \S+\/transfer,/,
      /See the other ways with: mirrorlatch help recipes$/m,
    );
    expect(mirror.linked('current')).toBe('first');
    expect(difference(before, describeTree(join(mirror.root, 'snapshots', 'first')))).toEqual([]);
    expect(existsSync(mirror.state('sync.lock')), 'the lock was given back').toBe(false);
    const { ino } = statSync(mirror.state('staging', 'slow', 'a'));

    rmSync(filler);
    // A disk that fills up cuts a file of the reserve short.
    mkdirSync(mirror.state('reserve'), { recursive: true });
    writeFileSync(mirror.state('reserve', '1'), '');
    const next = await runProgram(['sync', mirror.source, mirror.root, '--id', 'next']);
    expect(next.stdout, transcript(next)).toMatch(/^published next: /);
    expect(next.stderr).toMatch(/going on from what a sync that did not finish transferred$/m);
    expect(statSync(mirror.state('reserve', '1')).size).toBe(MIB / 8);
    expect(statSync(join(mirror.root, 'current', 'a')).ino, 'it was not copied again').toBe(ino);
    expect(
      difference(describeTree(mirror.source), describeTree(join(mirror.root, 'current'))),
    ).toEqual([]);
  });

  test('without a single free block makes commands exit with 74 at worst, and published snapshots stay readable', async () => {
    const mirror = smallMirror({ root: join(filesystem.path, 'last-block') });
    await mirror.publish('first', {});
    await mirror.publish('second', { file: 'second' });
    // More than what the lock gives back.
    mirror.change({ file: 'third', large: Buffer.alloc(4 * MIB, 'x') });
    fillDisk(filler);
    const before = describeTree(join(mirror.root, 'snapshots'));
    for (const command of ['sync', 'rollback', 'init']) {
      const result = await runProgram([command, mirror.root]);
      if (result.exitCode !== 0) {
        expectFailure(result, 74, /no space/i, /Free space or inodes/);
        expect(result.stderr, 'there is nothing to prune').not.toMatch(/mirrorlatch prune/);
        expect(result.stderr).not.toMatch(/unforeseen/);
      }
    }
    expect(difference(before, describeTree(join(mirror.root, 'snapshots')))).toEqual([]);
    const status = await runProgram(['status', mirror.root]);
    expect([0, 69], transcript(status)).toContain(status.exitCode);
    expect(['first', 'second']).toContain(mirror.linked('current'));
    expect(readFileSync(join(mirror.root, 'current', 'file'), 'utf8')).toMatch(/content|second/);
    rmSync(filler);
    await mirror.sync('--id', 'third');
    expect(readFileSync(join(mirror.root, 'current', 'file'), 'utf8')).toBe('third');
  });

  test.for([
    ['ext4', 'block'],
    ['ext4', 'inode'],
    ['tmpfs', 'block'],
    ['tmpfs', 'inode'],
    ['xfs', 'block'],
  ] as const)(
    'on %s without a single free %s keeps nobody from making room',
    async ([type, what]) => {
      const disk = await makeSmallDisk(type);
      const exhaust = () => (what === 'block' ? fillDisk : fillWithFiles)(join(disk, 'filler'));
      const mirror = smallMirror({ root: join(disk, 'mirror') });
      for (const id of ['a', 'b', 'c', 'd', 'e']) await mirror.publish(id, { file: id });
      await runForJson(['init', mirror.root, '--keep-daily', '7', '--keep-tag', 'tested']);
      endItsBlock(mirror.state('history.jsonl'));
      // Whatever a command gives back, somebody else takes.
      for (const words of [
        ['rollback'],
        ['unlock'],
        ['status'],
        ['list'],
        ['rollback'],
        ['unlock'],
      ]) {
        exhaust();
        const result = await runProgram([...words, mirror.root]);
        expect(result.exitCode, transcript(result)).toBe(0);
        expect(result.stderr).toBe('');
      }
      mirror.change({ file: 'f', large: Buffer.alloc(MIB, 'f') });
      exhaust();
      const rules = ['--keep-last', '1', '--keep-within', '0', '--grace', '0'];
      const sync = await runProgram(['sync', mirror.root, '--no-prune', ...rules]);
      const prune =
        /(mirrorlatch prune \S+ --keep-last 1 --keep-daily 0 --no-keep-tag --keep-within 0 --grace 0)$/m;
      expectFailure(sync, 74, /no space/i, prune);
      exhaust();
      const [, , ...advised] = (prune.exec(sync.stderr)?.[1] ?? '').split(' ');
      const result = await runProgram(['prune', ...advised]);
      expect(result.exitCode, transcript(result)).toBe(0);
      expect(mirror.snapshots()).toEqual(['d', 'e']);
    },
  );

  test.for([
    ['ext4', 'block'],
    ['tmpfs', 'inode'],
  ] as const)(
    'on %s without a single free %s lets settings be changed, and a mirror held and released',
    async ([type, what]) => {
      const disk = await makeSmallDisk(type);
      const mirror = smallMirror({ root: join(disk, 'mirror') });
      for (const id of ['a', 'b']) await mirror.publish(id, { file: id });
      for (const words of [
        ['init', '--keep-last', '9'],
        ['pin', '--reason', 'the last without the large file'],
        ['rollback', '--hold', 'the upstream is broken'],
        ['init', '--grace', '1h'],
        ['rollback', '--release'],
      ]) {
        (what === 'block' ? fillDisk : fillWithFiles)(join(disk, 'filler'));
        const result = await runProgram([...words, mirror.root]);
        expect(result.exitCode, transcript(result)).toBe(0);
      }
      expect(mirror.settings()).toMatchObject({ keepLast: 9, graceMs: 3_600_000 });
    },
  );

  test('with room for the lock but for little more keeps nobody from making room, and a sync that cannot begin is on record', async () => {
    const disk = await makeSmallDisk('ext4');
    const files = join(disk, 'filler');
    const mirror = smallMirror({ root: join(disk, 'mirror') });
    for (const id of ['a', 'b', 'c']) await mirror.publish(id, { file: id });
    const leave = (inodes: number) => {
      rmSync(mirror.state('staging', '.partial'), { recursive: true, force: true });
      fillWithFiles(files);
      // The last ones, because the next are named by how many there are.
      const count = readdirSync(files).length;
      for (let name = count - inodes; name < count; name += 1) rmSync(join(files, String(name)));
    };
    for (const inodes of [1, 2, 3, 4, 5]) {
      for (const verb of ['rollback', 'prune']) {
        leave(inodes);
        const result = await runProgram([verb, mirror.root]);
        expect(result.exitCode, `${inodes} are free: ${transcript(result)}`).toBe(0);
      }
    }
    // Without the reserve, nothing can begin.
    rmSync(mirror.state('reserve'), { recursive: true });
    leave(3);
    expectFailure(await runProgram(['sync', mirror.root]), 74, /no space/);
    const status = await runProgram(['status', mirror.root]);
    expect(status.stdout, transcript(status)).toMatch(/^why +the last sync or lock failed$/m);
    expect(mirror.history().at(-1)).toMatchObject({ event: 'failed', code: 'NO_SPACE' });
  });

  test('does not keep the gate of an in-place mirror as it is', async () => {
    const mirror = smallMirror({ root: join(filesystem.path, 'in-place') });
    await runForJson(['init', mirror.root, '--in-place', '--source', mirror.source]);
    await mirror.sync();
    for (const verb of ['close', 'open']) {
      fillDisk(filler);
      const result = await runProgram(['gate', verb, mirror.root]);
      expect(result.exitCode, transcript(result)).toBe(0);
    }
  });

  test('takes away a recycled tree that a sync does not begin with', async () => {
    const disk = await mountTmpfs('size=9m');
    const mirror = smallMirror({ root: join(disk, 'mirror') });
    const rules = ['--keep-last', '1', '--keep-within', '0', '--grace', '0'];
    for (const id of ['a', 'b', 'c']) await mirror.publish(id, { file: id }, ...rules);
    expect(existsSync(mirror.state('staging/.spare'))).toBe(true);
    mirror.change({ large: randomBytes(20 * MIB) });
    const short = await runProgram(['sync', mirror.root, '--strategy', 'link-dest', ...rules]);
    expectFailure(
      short,
      74,
      /: space is short, so the tree that was kept for the next sync was removed$/m,
    );
    expect(existsSync(mirror.state('staging/.spare'))).toBe(false);
  });

  test('lets a sync go on once what would go at its end is gone', async () => {
    const disk = await mountTmpfs('size=9m');
    const mirror = smallMirror({ root: join(disk, 'mirror') });
    const megabytes = (count: number) => ({ large: randomBytes(count * MIB) });
    for (const id of ['a', 'b', 'c']) await mirror.publish(id, megabytes(1), '--allow-shrink');
    mirror.change(megabytes(5));
    const rules = ['--keep-last', '3', '--keep-within', '0'];
    const short = await runProgram(['sync', mirror.root, ...rules]);
    expectFailure(short, 74, /warning: .*may not fit/, /no space left/i, /mirrorlatch prune/);
    expect(mirror.snapshots(), 'the grace time holds').toEqual(['a', 'b', 'c']);

    writeFileSync(mirror.state('marks.json'), 'damaged');
    const unknown = await runProgram(['sync', mirror.root, ...rules, '--grace', '0']);
    expectFailure(unknown, 74, /no space left/i, /marks\.json .* so nothing is pruned/);
    expect(mirror.snapshots(), 'any of them may be pinned').toEqual(['a', 'b', 'c']);
    rmSync(mirror.state('marks.json'));
    const next = await runProgram(['sync', mirror.root, '--id', 'd', ...rules, '--grace', '0']);
    expect(next.exitCode, transcript(next)).toBe(0);
    expect(next.stderr).toMatch(
      /space is short, so what would be removed at the end was removed first: a snapshot, a$/m,
    );
    expect(next.stderr, 'with that it fits').not.toMatch(/warning/);
    expect(next.stdout).toMatch(/published d: .*; removed a$/m);
    expect(mirror.snapshots()).toEqual(['b', 'c', 'd']);
  });

  test('lets lock clone the tree for its command once what would go at its end is gone', async () => {
    const disk = await mountTmpfs('size=8m');
    const mirror = smallMirror({ root: join(disk, 'mirror') });
    for (const id of ['a', 'b', 'c']) await mirror.publish(id, { large: randomBytes(2 * MIB) });
    const words = ['lock', mirror.root, '--keep-last', '1', '--grace', '0'];
    const result = await runProgram([
      ...words,
      '--',
      'sh',
      '-c',
      'echo d >"$MIRRORLATCH_STAGING/d"',
    ]);
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(readFileSync(join(mirror.root, 'current', 'd'), 'utf8')).toBe('d\n');
    expect(mirror.snapshots()).not.toContain('a');
  });

  test('is no trap after a failed lock: the next sync discards the tree of its command first', async () => {
    const mirror = smallMirror({ root: join(await mountTmpfs('size=9m'), 'mirror') });
    await mirror.publish('a', { a: randomBytes(3 * MIB) });
    expect((await runProgram(['lock', mirror.root, '--', 'false'])).exitCode).toBe(1);
    mirror.change({ b: randomBytes(2.5 * MIB) });
    const next = await runProgram(['sync', mirror.root]);
    expect(next.exitCode, transcript(next)).toBe(0);
    expect(next.stderr).toMatch(/what an earlier command left is discarded: \w+$/m);
  });

  test('is no trap for whole passes: what earlier syncs left goes when there is no other room', async () => {
    const mirror = smallMirror({ root: join(await mountTmpfs('size=9m'), 'mirror') });
    await mirror.publish('a', {});
    mirror.change({ b1: randomBytes(4.5 * MIB), z: randomBytes(9 * MIB) });
    expectFailure(
      await runProgram(['sync', mirror.root, '--strategy', 'link-dest']),
      74,
      /no space left/i,
    );
    mirror.change({ b1: null, z: null, b2: randomBytes(4.5 * MIB) });
    const next = await runProgram(['sync', mirror.root, '--strategy', 'link-dest']);
    expect(next.exitCode, transcript(next)).toBe(0);
    expect(next.stderr).toMatch(/no space is left, so partly transferred files were removed/);
    expect(next.stderr).toMatch(/no room is left, so the trees that earlier syncs left unfinished/);
  });

  test('except for blocks reserved for root can be freed by prune, as the hint says', async () => {
    const usual = await makeLoopFilesystem('ext4', { size: 24 * MIB });
    onTestFinished(() => usual.remove());
    chmodSync(usual.path, 0o777);
    const mirror = smallMirror({ root: join(usual.path, 'prune') });
    for (const id of ['first', 'second', 'third']) {
      await mirror.publish(id, { large: Buffer.alloc(MIB, id) });
    }
    const full = await execa('sh', ['-c', 'cat /dev/zero >filler'], {
      ...nobody,
      cwd: usual.path,
      reject: false,
    });
    expect(full.stderr).toMatch(/No space left on device/);
    mirror.change({ large: Buffer.alloc(3 * MIB, 'x') });
    expectFailure(await runProgram(['sync', mirror.root]), 74, /mirrorlatch prune/);

    const result = await runProgram(['prune', mirror.root, '--keep-last', '2', '--grace', '0']);
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(mirror.snapshots()).toEqual(['second', 'third']);
  });

  describe('in place', () => {
    /** A failed sync has collected `two`, and most of `zzz`. */
    async function failed() {
      const disk = await mountTmpfs('size=4m');
      const mirror = smallMirror({ root: join(disk, 'mirror') });
      mirror.change({ one: randomBytes(900 * 1024) });
      await runForJson(['init', mirror.root, '--in-place']);
      await mirror.sync();
      mirror.change({ two: randomBytes(900 * 1024), zzz: randomBytes(1300 * 1024) });
      const result = await runProgram(['sync', mirror.source, mirror.root]);
      expectFailure(result, 74, /no space|quota/i);
      expect(readdirSync(join(mirror.root, 'gate', 'live'))).toContain('.~tmp~');
      mirror.change({ zzz: null });
      return { disk, mirror };
    }

    test('is no trap: what a failed sync has collected needs no room again', async () => {
      const { disk, mirror } = await failed();
      // Almost all that is left goes, too.
      fillDisk(join(disk, 'filler'));
      truncateSync(join(disk, 'filler'), Math.max(0, statSync(join(disk, 'filler')).size - 8192));
      expect(await mirror.sync()).toMatchObject({ outcome: 'published' });
      expect(existsSync(join(mirror.root, 'current', 'two'))).toBe(true);
    });

    test('is no trap: the gate can be closed again although most of the reserve is spent', async () => {
      const { disk, mirror } = await failed();
      // Enough for the lock and a log.
      for (const file of readdirSync(mirror.state('reserve')).slice(1))
        rmSync(mirror.state('reserve', file));
      for (const file of readdirSync(mirror.state('reserve')))
        truncateSync(mirror.state('reserve', file), 4096);
      fillDisk(join(disk, 'filler'));
      mirror.change({ zzz: randomBytes(300 * 1024) });
      expect(await mirror.sync()).toMatchObject({ outcome: 'published' });
    });

    test('makes no sync fetch again what cannot fit anyway', async () => {
      const { mirror } = await failed();
      mirror.change({ zzz: randomBytes(3000 * 1024) });
      const collected = join(mirror.root, 'gate/live/.~tmp~/two');
      const { ino } = statSync(collected);
      expectFailure(await runProgram(['sync', mirror.root]), 74);
      expect(statSync(collected).ino).toBe(ino);
    });

    test('is no trap: what a failed sync has collected goes if there is no other room', async () => {
      const { mirror } = await failed();
      mirror.change({ two: null, three: randomBytes(1800 * 1024) });
      expect(await mirror.sync()).toMatchObject({ outcome: 'published' });
      expect(readdirSync(join(mirror.root, 'current')).sort()).toEqual([
        'below',
        'file',
        'one',
        'three',
      ]);
    });
  });
});

/** A filesystem of a few megabytes, whose blocks are for every user. */
async function makeSmallDisk(type: 'ext4' | 'xfs' | 'tmpfs'): Promise<string> {
  if (type === 'tmpfs') return mountTmpfs('size=6m,nr_inodes=300');
  const made =
    type === 'ext4'
      ? await makeLoopFilesystem('ext4', { size: 16 * MIB, mkfs: ['-m', '0', '-N', '300'] })
      : await makeLoopFilesystem('xfs', { size: 300 * MIB });
  onTestFinished(() => made.remove());
  return made.path;
}

/** Adds empty lines to a file, until one more needs another block. */
function endItsBlock(path: string): void {
  appendFileSync(path, '\n'.repeat(4096 - (statSync(path).size % 4096)));
}

/** Makes empty files until no inode is left. */
function fillWithFiles(path: string): void {
  mkdirSync(path, { recursive: true });
  try {
    for (let count = readdirSync(path).length; ; count += 1)
      closeSync(openSync(join(path, String(count)), 'wx'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  }
}
