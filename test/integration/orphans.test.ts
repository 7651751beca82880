import { lstatSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { expectFailure } from '../support/expect-failure.ts';
import { runForJson, runProgram, transcript } from '../support/program.ts';
import { makeScratch } from '../support/scratch.ts';
import { rsyncProcesses, startSlowSync } from '../support/slow-sync.ts';
import { mirrorsWith, type SmallMirror } from '../support/small-mirror.ts';
import { describeTree, difference } from '../support/tree.ts';

const oneSnapshot = mirrorsWith('first');
const scratch = makeScratch();
const stopped: number[] = [];

afterAll(async () => {
  signal(stopped, 'SIGKILL');
  await scratch.remove();
});

// Side by side: most of it is waiting.
describe.concurrent('what a killed sync left running', () => {
  test('I4: is named, and keeps every writer out with 75', async () => {
    const { mirror, orphans } = await orphaned('named');
    for (const command of [
      ['sync', mirror.root],
      ['prune', mirror.root],
      ['rollback', mirror.root],
      ['unlock', mirror.root],
    ]) {
      const result = await runProgram(command);
      expectFailure(
        result,
        75,
        /its holder was killed and left running: rsync \(pid \d+\)/,
        /--wait/,
      );
      for (const pid of orphans) expect(result.stderr).toContain(`pid ${pid}`);
    }
    expect(rsyncProcesses(mirror.root)).toEqual(orphans);
  });

  test('is told by status, which ends with 69', async () => {
    const { mirror, orphans } = await orphaned('status');
    const result = await runProgram(['status', mirror.root, '--json']);
    expect(result.exitCode, transcript(result)).toBe(69);
    const { lock, isHealthy } = result.json() as { lock: { state: unknown }; isHealthy: boolean };
    expect(isHealthy).toBe(false);
    expect(lock.state).toMatchObject({
      kind: 'orphans',
      processes: expect.arrayContaining(orphans.map((pid) => ({ pid, name: 'rsync' }))),
    });
  });

  test('is never joined: while it lives, nobody touches the tree that it writes to', async () => {
    const { mirror } = await orphaned('joined');
    const tree = mirror.state('staging', 'slow');
    const before = describeTree(tree);
    const { ino } = lstatSync(tree);
    expectFailure(await runProgram(['sync', mirror.root]), 75);
    expect(lstatSync(tree).ino).toBe(ino);
    expect(difference(before, describeTree(tree))).toEqual([]);
  });

  test('is ended by --wait, though it was stopped, and the sync goes on from its work', async () => {
    const { mirror } = await orphaned('waited');
    const result = await runForJson(['sync', mirror.root, '--id', 'next', '--wait', '1h']);
    expect(result).toMatchObject({
      outcome: 'published',
      recovered: [{ kind: 'unfinished-tree', path: mirror.state('staging', 'slow') }],
    });
    expect(rsyncProcesses(mirror.root)).toEqual([]);
    expect(
      difference(describeTree(mirror.source), describeTree(join(mirror.root, 'current'))),
    ).toEqual([]);
  });
});

/**
 * A mirror whose sync was killed while rsync stood still, so that the signal by which the kernel
 * ends rsync together with its parent waits at its door.
 */
async function orphaned(name: string): Promise<{ mirror: SmallMirror; orphans: number[] }> {
  const home = join(scratch.path, name);
  mkdirSync(home);
  const mirror = await oneSnapshot(home);
  const holder = await startSlowSync(mirror);
  const orphans = rsyncProcesses(mirror.root);
  expect(orphans.length).toBeGreaterThan(0);
  stopped.push(...orphans);
  signal(orphans, 'SIGSTOP');
  holder.kill('SIGKILL');
  expect((await holder.result).signal).toBe('SIGKILL');
  return { mirror, orphans };
}

function signal(pids: readonly number[], name: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, name);
    } catch {
      // It has ended.
    }
  }
}
