import { randomUUID } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { processesHoldingFlock } from '../../src/system/proc.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { mayMount } from '../support/privilege.ts';
import {
  runForJson,
  runProgram,
  startProcess,
  startProgram,
  transcript,
} from '../support/program.ts';
import { makeScratch } from '../support/scratch.ts';
import { holdRsync, rsyncProcesses, startSlowSync } from '../support/slow-sync.ts';
import { mirrorsWith, type SmallMirror } from '../support/small-mirror.ts';
import { standInFor } from '../support/stand-in.ts';
import { describeTree, difference } from '../support/tree.ts';

const oneSnapshot = mirrorsWith('first');
const scratch = makeScratch();
const stopped: number[] = [];

afterAll(async () => {
  signal(stopped, 'SIGKILL');
  await scratch.remove();
});

// Concurrent, because most of the time is waiting.
describe.concurrent('an rsync that a killed sync left running', () => {
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
        command[0] === 'unlock'
          ? /: mirrorlatch unlock \S+\/mirror --wait 1m$/m
          : /repeat this command with --wait 1m$/m,
      );
      for (const pid of orphans) expect(result.stderr).toContain(`pid ${pid}`);
    }
    expect(rsyncProcesses(mirror.root)).toEqual(orphans);
  });

  test('is reported by status, which exits with 69', async () => {
    const { mirror, orphans } = await orphaned('status');
    const result = await runProgram(['status', mirror.root, '--json']);
    expect(result.exitCode, transcript(result)).toBe(69);
    const forPeople = await runProgram(['status', mirror.root]);
    expect(forPeople.stdout).toMatch(
      `; end them with: mirrorlatch sync ${mirror.root} --wait 1m\n`,
    );
    expect(forPeople.stdout).toMatch(/^left .*; the sync that ends them takes care of it$/m);
    const { lock, isHealthy } = result.json() as { lock: { state: unknown }; isHealthy: boolean };
    expect(isHealthy).toBe(false);
    expect(lock.state).toMatchObject({
      kind: 'orphans',
      processes: expect.arrayContaining(orphans.map((pid) => ({ pid, name: 'rsync' }))),
    });
  });

  test('is never joined: while it lives, nothing touches the tree that it writes to', async () => {
    const { mirror } = await orphaned('joined');
    const tree = mirror.state('staging', 'slow');
    const before = describeTree(tree);
    const { ino } = lstatSync(tree);
    expectFailure(await runProgram(['sync', mirror.root]), 75);
    expect(lstatSync(tree).ino).toBe(ino);
    expect(difference(before, describeTree(tree))).toEqual([]);
    const unlocked = await runForJson(['unlock', mirror.root, '--wait', '1h']);
    expect(unlocked).toMatchObject({ removed: { kind: 'orphans' } });
    expect(rsyncProcesses(mirror.root)).toEqual([]);
  });

  test('is ended by --wait even if it is stopped, and the sync continues its work', async () => {
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

test('I4: a removal that a killed prune left running keeps every writer out with 75', async () => {
  const home = join(scratch.path, 'removal');
  mkdirSync(home);
  const mirror = await oneSnapshot(home);
  mkdirSync(mirror.state('trash', 'tree'), { recursive: true });
  const [started, release] = [join(home, 'started'), join(home, 'release')];
  const waits = `: >'${started}'; until [ -e '${release}' ]; do sleep 0.1; done`;
  const PATH = standInFor('rm', join(home, 'programs'), waits);
  const prune = startProgram(['prune', mirror.root], { env: { PATH } });
  await expect.poll(() => existsSync(started)).toBe(true);
  prune.kill('SIGKILL');
  await prune.result;
  const result = await runProgram(['sync', mirror.root]);
  writeFileSync(release, '');
  expectFailure(result, 75, /its holder was killed and left running: .*rm \(pid \d+\)/);
  await expect.poll(() => existsSync(mirror.state('trash', 'tree'))).toBe(false);
});

test('I4: an rsync that a person runs under the lock is no orphan, even if a crash left a record', async () => {
  const home = join(scratch.path, 'by hand');
  mkdirSync(home);
  const mirror = await oneSnapshot(home);
  const killed = await startSlowSync(mirror);
  killed.kill('SIGKILL');
  await killed.result;
  await expect.poll(() => rsyncProcesses(mirror.root)).toEqual([]);
  const words = ['rsync', '-a', '--bwlimit=10', `${mirror.source}/`, join(home, 'copy')];
  const byHand = startProcess(['flock', mirror.state('sync.flock'), ...words]);
  await expect.poll(() => existsSync(join(home, 'copy'))).toBe(true);
  const result = await runProgram(['prune', mirror.root, '--wait', '1s']);
  expectFailure(result, 75, /is locked: held by flock \(pid \d+\), rsync/);
  expect(rsyncProcesses(join(home, 'copy')).length).toBeGreaterThan(0);
  byHand.kill('SIGTERM');
  for (const pid of rsyncProcesses(join(home, 'copy'))) process.kill(pid, 'SIGKILL');
  await byHand.result;
});

const whyNotElsewhere = mayMount ? '' : ' (skipped: needs root that may mount)';

describe.concurrent('a living sync in a container, which', () => {
  test.skipIf(!mayMount).for([
    [
      'has a boot id of its own, as under systemd-nspawn,',
      ['--mount'],
      `mount --bind "$0" /proc/sys/kernel/random/boot_id; exec "$@"`,
    ],
    [
      'has pids of its own, as under docker,',
      ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc'],
      'exec "$@"',
    ],
  ] as const)(
    `I4: %s is the holder, and --wait ends none of its processes${whyNotElsewhere}`,
    async ([name, spaces, script]) => {
      const home = join(scratch.path, `elsewhere ${spaces.length}`);
      mkdirSync(home);
      const mirror = await oneSnapshot(home);
      const bootId = join(home, 'boot-id');
      writeFileSync(bootId, `${randomUUID()}\n`);
      const through = ['unshare', ...spaces, 'sh', '-c', script, bootId];
      const holder = await startSlowSync(mirror, { program: { through } });
      const rsync = rsyncProcesses(mirror.root);
      stopped.push(...rsync);
      const goOn = holdRsync(mirror.root);
      const named = /is locked: sync by .*, now: transferring/;
      const result = await runProgram(['prune', mirror.root, '--wait', '1s']);
      expectFailure(result, 75, named);
      expect(result.stderr, name).not.toMatch(/was killed/);
      expect(rsyncProcesses(mirror.root)).toEqual(rsync);
      const status = await runProgram(['status', mirror.root, '--json']);
      expect(status.json()).toMatchObject({
        isHealthy: true,
        lock: { state: { kind: 'held', owner: { command: 'sync' } } },
      });
      goOn();
      expect(rsync.length).toBeGreaterThan(0);
      holder.kill('SIGKILL');
      await holder.result;
    },
  );
});

test.skipIf(!mayMount)(
  `root, whom no user hides a process from, is told of a holder that only another container may show${whyNotElsewhere}`,
  async () => {
    const home = join(scratch.path, 'from a container');
    mkdirSync(home);
    const mirror = await oneSnapshot(home);
    const lock = mirror.state('sync.flock');
    const held = startProcess(['flock', '--no-fork', lock, 'sleep', '1h']);
    await expect.poll(() => processesHoldingFlock(lock)).toEqual([held.pid]);
    const through = ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
    const result = await runProgram(['prune', mirror.root], { through });
    expectFailure(result, 75, /is locked: a process .* of another container, holds the lock$/m);
    held.kill('SIGTERM');
    await held.result;
  },
);

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
