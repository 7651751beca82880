import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa, type Options } from 'execa';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  pathsInUse,
  processesWithOpenFile,
  processName,
  processStartTicks,
  processUser,
} from '../../../src/system/proc.ts';
import { fileWork } from '../../support/file-work.ts';
import { mayMount, nobody, runsAsRoot } from '../../support/privilege.ts';
import { scratchDirectory } from '../../support/scratch.ts';

/** A child's descriptors with one more, as 3. */
function inheriting(descriptor: number): Options['stdio'] {
  return ['ignore', 'ignore', 'ignore', descriptor] as Options['stdio'];
}

/** Starts a process that lasts as long as the test, and waits until it is what it shall become. */
async function start(
  file: string,
  args: readonly string[],
  options: Options,
  name = file,
): Promise<number> {
  const child = execa(file, args, { reject: false, stdio: 'ignore', ...options });
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await child;
  });
  const pid = child.pid ?? 0;
  for (let turn = 0; turn < 400 && processName(pid) !== name; turn += 1) await sleep(5);
  return pid;
}

function usesOf(pid: number, directory: string): string[] {
  return pathsInUse(directory)
    .filter((use) => use.pid === pid)
    .map(({ use, path }) => `${use} ${path}`);
}

describe('a process', () => {
  test('is told from others by its start, whatever its name is', async () => {
    expect(processStartTicks(process.pid)).toMatch(/^\d+$/);
    const scratch = scratchDirectory();
    fileWork(scratch).write(') S 1 (', '#!/bin/sh\nread -r _ <>"$1"\n', 0o755);
    fileWork(scratch).fifo('fifo');
    const pid = await start(join(scratch, ') S 1 ('), [join(scratch, 'fifo')], {}, ') S 1 (');
    expect(processName(pid)).toBe(') S 1 (');
    expect(Number(processStartTicks(pid))).toBeGreaterThan(Number(processStartTicks(process.pid)));
  });

  test('that has ended, or is a zombie, has no start, name or user', async () => {
    const child = execa('true', { reject: false });
    const pid = child.pid ?? 0;
    await child;
    expect([processStartTicks(pid), processName(pid), processUser(pid)]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    const parent = await start('sh', ['-c', 'true & exec sleep 30'], {}, 'sleep');
    const zombie = Number((await execa('ps', ['-o', 'pid=', '--ppid', String(parent)])).stdout);
    expect(processStartTicks(zombie)).toBeUndefined();
  });

  test.skipIf(!runsAsRoot)('has a user, by name or where there is none by number', async () => {
    expect(processUser(await start('sleep', ['30'], { uid: nobody.uid }))).toBe('nobody');
    expect(processUser(await start('sleep', ['30'], { uid: 54_321 }))).toBe('54321');
  });
});

describe('who uses a directory', () => {
  test('stands in it, or has a file of it open', async () => {
    const scratch = scratchDirectory();
    mkdirSync(join(scratch, 'mirror/below'), { recursive: true });
    mkdirSync(join(scratch, 'mirror-too'));
    fileWork(scratch).write('mirror/file', '');
    const directory = join(scratch, 'mirror');
    const descriptor = openSync(join(directory, 'file'), 'r');
    const standing = await start('sleep', ['30'], { cwd: join(directory, 'below') });
    const holding = await start('sleep', ['30'], {
      stdio: inheriting(descriptor),
    });
    const beside = await start('sleep', ['30'], { cwd: join(scratch, 'mirror-too') });
    closeSync(descriptor);
    expect(usesOf(standing, directory)).toEqual([`cwd ${directory}/below`]);
    expect(usesOf(holding, directory)).toEqual([`fd ${directory}/file`]);
    expect(usesOf(beside, directory)).toEqual([]);
    expect(processesWithOpenFile(join(directory, 'file'))).toEqual([holding]);
  });

  test('has a file of it mapped', async () => {
    const scratch = scratchDirectory();
    await execa('cp', ['/bin/sleep', join(scratch, 'sleep')]);
    const pid = await start(join(scratch, 'sleep'), ['30'], {}, 'sleep');
    expect(usesOf(pid, scratch)).toContain(`maps ${scratch}/sleep`);
  });

  test.skipIf(!mayMount)('has a part of it mounted in a namespace of its own', async () => {
    const scratch = scratchDirectory();
    mkdirSync(join(scratch, 'mirror/snapshot'), { recursive: true });
    mkdirSync(join(scratch, 'elsewhere'));
    const pid = await start(
      'unshare',
      [
        '--mount',
        '--propagation',
        'private',
        'sh',
        '-c',
        'mount --bind mirror/snapshot elsewhere && cd / && exec sleep 30',
      ],
      { cwd: scratch },
      'sleep',
    );
    expect(usesOf(pid, join(scratch, 'mirror'))).toEqual([`mount ${scratch}/mirror/snapshot`]);
  });

  test.skipIf(!mayMount)(
    'stands in it by another path, through a bind mount of what holds it',
    async () => {
      const scratch = scratchDirectory();
      mkdirSync(join(scratch, 'data/mirror/snapshot'), { recursive: true });
      mkdirSync(join(scratch, 'container'));
      const pid = await start(
        'unshare',
        [
          '--mount',
          '--propagation',
          'private',
          'sh',
          '-c',
          'mount --bind data container && cd container/mirror/snapshot && exec sleep 30',
        ],
        { cwd: scratch },
        'sleep',
      );
      expect(usesOf(pid, join(scratch, 'data/mirror'))).toContain(
        `cwd ${scratch}/data/mirror/snapshot`,
      );
    },
  );
});
