import {
  chmodSync,
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { expectFailure } from '../support/expect-failure.ts';
import {
  type LoopFilesystem,
  makeLoopFilesystem,
  whyNoLoopFilesystem,
} from '../support/loop-filesystem.ts';
import { nobody } from '../support/privilege.ts';
import { runProgram, transcript } from '../support/program.ts';
import { startSlowSync } from '../support/slow-sync.ts';
import { smallMirror } from '../support/small-mirror.ts';
import { describeTree, difference } from '../support/tree.ts';

const MIB = 1024 * 1024;

describe.skipIf(whyNoLoopFilesystem !== '')(`a disk that is full${whyNoLoopFilesystem}`, () => {
  let filesystem: LoopFilesystem;
  let filler: string;

  beforeAll(async () => {
    // Nothing is kept for root, so that full is full for whoever runs the tests.
    filesystem = await makeLoopFilesystem('ext4', { size: 24 * MIB, mkfs: ['-m', '0'] });
    filler = join(filesystem.path, 'filler');
  });
  afterEach(() => rmSync(filler, { force: true }));
  afterAll(() => filesystem.remove());

  test('amid the transfer ends the sync with 74 and the way out; with space again the next goes on', async () => {
    const mirror = smallMirror({ root: join(filesystem.path, 'transfer') });
    await mirror.publish('first', {});
    const before = describeTree(join(mirror.root, 'snapshots', 'first'));
    const sync = await startSlowSync(mirror, { seconds: 8, files: { a: 'whole already' } });
    fill(filler);
    const result = await sync.result;
    expectFailure(
      result,
      74,
      /no space left/i,
      /No space left on device/,
      /mirrorlatch prune ROOT --keep-last 2 --grace 0/,
    );
    expect(mirror.linked('current')).toBe('first');
    expect(difference(before, describeTree(join(mirror.root, 'snapshots', 'first')))).toEqual([]);
    expect(existsSync(mirror.state('sync.lock')), 'the lock was given back').toBe(false);
    const { ino } = statSync(mirror.state('staging', 'slow', 'a'));

    rmSync(filler);
    const next = await mirror.sync('--id', 'next');
    expect(next).toMatchObject({ outcome: 'published', id: 'next' });
    expect(statSync(join(mirror.root, 'current', 'a')).ino, 'it was not copied again').toBe(ino);
    expect(
      difference(describeTree(mirror.source), describeTree(join(mirror.root, 'current'))),
    ).toEqual([]);
  });

  test('to the last block ends every command with 74 at worst, and what is published is read as ever', async () => {
    const mirror = smallMirror({ root: join(filesystem.path, 'last-block') });
    await mirror.publish('first', {});
    await mirror.publish('second', { file: 'second' });
    mirror.change({ file: 'third' });
    fill(filler);
    const before = describeTree(join(mirror.root, 'snapshots'));
    for (const command of ['sync', 'rollback', 'init']) {
      const result = await runProgram([command, mirror.root]);
      if (result.exitCode !== 0) {
        expectFailure(result, 74, /no space/i, /mirrorlatch prune/);
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

  test('but for the blocks that are kept for root can be emptied by prune, as the error says', async () => {
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
    expectFailure(await runProgram(['sync', mirror.root]), 74, /mirrorlatch prune ROOT/);

    const result = await runProgram(['prune', mirror.root, '--keep-last', '2', '--grace', '0']);
    expect(result.exitCode, transcript(result)).toBe(0);
    expect(mirror.snapshots()).toEqual(['second', 'third']);
  });
});

/** Writes until there is no block left, not even for a directory. */
function fill(path: string): void {
  const descriptor = openSync(path, 'w');
  try {
    for (let size = MIB; size >= 512; ) {
      try {
        writeSync(descriptor, Buffer.alloc(size));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
        size /= 2;
      }
    }
  } finally {
    closeSync(descriptor);
  }
}
