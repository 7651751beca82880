import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa, type Options } from 'execa';
import { describe, expect, onTestFinished, test } from 'vitest';
import { pathsInUse } from '../../../src/system/paths-in-use.ts';
import {
  processesWithOpenFile,
  processName,
  processStartTicks,
  processUser,
} from '../../../src/system/proc.ts';
import { eventually } from '../../support/eventually.ts';
import { fileWork } from '../../support/file-work.ts';
import { mayMount, nobody, runsAsRoot } from '../../support/privilege.ts';
import { scratchDirectory } from '../../support/scratch.ts';

/** The stdio of a child with an additional descriptor 3. */
function inheriting(descriptor: number): Options['stdio'] {
  return ['ignore', 'ignore', 'ignore', descriptor] as Options['stdio'];
}

/** Starts a process that lasts as long as the test, and waits until it has executed its program. */
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
  await eventually(() => expect(processName(pid)).toBe(name));
  return pid;
}

/** As `start`, a sleep in a mount namespace of its own that a shell has prepared from `cwd`. */
function sleepWithMounts(preparation: string, cwd: string): Promise<number> {
  const words = [
    '--mount',
    '--propagation',
    'private',
    'sh',
    '-c',
    `${preparation} && exec sleep 30`,
  ];
  return start('unshare', words, { cwd }, 'sleep');
}

/** What this process has read since its start. */
function bytesRead(): number {
  return Number(/^rchar: (\d+)/.exec(readFileSync('/proc/self/io', 'utf8'))?.[1]);
}

function usesOf(pid: number, directory: string): string[] {
  return pathsInUse(directory)
    .filter((use) => use.pid === pid)
    .map(({ use, path }) => `${use} ${path}`);
}

describe('a process', () => {
  test('is identified by its start time, whatever its name is', async () => {
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

  test.skipIf(!runsAsRoot)('has a user, by name, or by number if there is no name', async () => {
    expect(processUser(await start('sleep', ['30'], { uid: nobody.uid }))).toBe('nobody');
    expect(processUser(await start('sleep', ['30'], { uid: 54_321 }))).toBe('54321');
  });
});

describe('a user of a directory', () => {
  test('has its working directory or an open file in it', async () => {
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

  test('has a file in it mapped', async () => {
    const scratch = scratchDirectory();
    await execa('cp', ['/bin/sleep', join(scratch, 'sleep')]);
    const pid = await start(join(scratch, 'sleep'), ['30'], {}, 'sleep');
    expect(usesOf(pid, scratch)).toContain(`maps ${scratch}/sleep`);
  });

  test('is told from one that could write by its maps, which are read once, however many they are', async () => {
    const scratch = scratchDirectory();
    for (let number = 0; number < 300; number += 1) writeFileSync(join(scratch, `${number}`), 'x');
    const script = `import mmap, sys, time
def shared(name, access):
    with open(sys.argv[1] + '/' + name, 'r+b') as file: return mmap.mmap(file.fileno(), 0, access=access)
held = [shared(str(number), mmap.ACCESS_WRITE if number == 7 else mmap.ACCESS_COPY) for number in range(300)]
open(sys.argv[1] + '/done', 'w').close()
time.sleep(60)`;
    const pid = await start('python3', ['-c', script, scratch], {});
    await eventually(() => expect(existsSync(join(scratch, 'done'))).toBe(true));
    const before = bytesRead();
    const maps = pathsInUse(scratch).filter((use) => use.pid === pid && use.use === 'maps');
    expect(bytesRead() - before).toBeLessThan(10_000_000);
    expect(maps).toHaveLength(300);
    const written = maps.filter(({ mayWrite }) => mayWrite).map(({ path }) => path);
    expect(written).toEqual([join(scratch, '7')]);
  });

  test.skipIf(!mayMount)('has a part of it mounted in another namespace', async () => {
    const scratch = scratchDirectory();
    mkdirSync(join(scratch, 'mirror/snapshot'), { recursive: true });
    mkdirSync(join(scratch, 'elsewhere'));
    const pid = await sleepWithMounts('mount --bind mirror/snapshot elsewhere && cd /', scratch);
    expect(usesOf(pid, join(scratch, 'mirror'))).toEqual([`mount ${scratch}/mirror/snapshot`]);
  });

  test('has an open file in it, although its first thread has ended', async () => {
    const scratch = scratchDirectory();
    fileWork(scratch).write('file', '');
    const script = `import ctypes, sys, threading, time
file = open(sys.argv[1])
threading.Thread(target=lambda: time.sleep(60)).start()
ctypes.CDLL(None).pthread_exit(None)`;
    const pid = await start('python3', ['-c', script, join(scratch, 'file')], { cwd: '/' });
    await eventually(() =>
      expect(readFileSync(`/proc/${pid}/status`, 'utf8')).toMatch(/^State:\tZ/m),
    );
    expect(usesOf(pid, scratch)).toEqual([`fd ${scratch}/file`]);
    expect(processesWithOpenFile(join(scratch, 'file'))).toEqual([pid]);
    expect(processStartTicks(pid)).toMatch(/^\d+$/);
  });

  test('has a thread in it with a working directory of its own', async () => {
    const scratch = scratchDirectory();
    // CLONE_FS of unshare(2), which needs no privilege.
    const script = `import ctypes, os, sys, threading, time
def work():
    ctypes.CDLL(None).unshare(0x200)
    os.chdir(sys.argv[1])
    time.sleep(60)
threading.Thread(target=work).start()
time.sleep(60)`;
    const pid = await start('python3', ['-c', script, scratch], { cwd: '/' });
    await eventually(() => expect(usesOf(pid, scratch)).toEqual([`cwd ${scratch}`]));
  });

  test.skipIf(!mayMount)('has it as a layer of an overlay in another namespace', async () => {
    const scratch = scratchDirectory();
    const layers = ['upper', 'work', 'a:b,c d\\'].map((name) => join(scratch, 'mirror', name));
    for (const layer of layers) mkdirSync(layer, { recursive: true });
    const pid = await sleepWithMounts(
      `cd mirror && mount -t overlay -o 'lowerdir=${scratch}/mirror/a\\:b\\,c d\\\\,upperdir=${scratch}/mirror/upper,workdir=${scratch}/mirror/work' overlay /mnt && cd /`,
      scratch,
    );
    expect(usesOf(pid, join(scratch, 'mirror')).sort()).toEqual(
      layers.map((layer) => `mount ${layer}`).sort(),
    );
  });

  test.skipIf(!mayMount)(
    'is in it by another path, through a bind mount of its parent',
    async () => {
      const scratch = scratchDirectory();
      mkdirSync(join(scratch, 'data/mirror/snapshot'), { recursive: true });
      mkdirSync(join(scratch, 'container'));
      const pid = await sleepWithMounts(
        'mount --bind data container && cd container/mirror/snapshot',
        scratch,
      );
      expect(usesOf(pid, join(scratch, 'data/mirror'))).toContain(
        `cwd ${scratch}/data/mirror/snapshot`,
      );
    },
  );
});

test('the name of a process is read as UTF-8, and invalid bytes are escaped', async () => {
  const directory = scratchDirectory();
  const script = 'cp /bin/sleep "$(printf "a\\351b")" && exec "./$(printf "a\\351b")" 1000';
  await start('sh', ['-c', script], { cwd: directory }, 'a\\xe9b');
  await start('sh', ['-c', 'cp /bin/sleep é && exec ./é 1000'], { cwd: directory }, 'é');
});
