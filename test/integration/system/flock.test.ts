import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { execa, type Options } from 'execa';
import { expect, onTestFinished, test } from 'vitest';
import { tryFlock } from '../../../src/system/flock.ts';
import {
  countLocks,
  countLocksOf,
  exclusivelyLocked,
  processesWithOpenFile,
} from '../../../src/system/proc.ts';
import { eventually } from '../../support/eventually.ts';
import { makeLoopFilesystem, whyNoLoopFilesystem } from '../../support/loop-filesystem.ts';
import { scratchDirectory } from '../../support/scratch.ts';

function open(path: string, flags = 'a'): number {
  const descriptor = openSync(path, flags);
  onTestFinished(() => {
    try {
      closeSync(descriptor);
    } catch {
      // The test has closed it.
    }
  });
  return descriptor;
}

test('an exclusive lock keeps all others out, until it is closed', () => {
  const path = join(scratchDirectory(), 'lock');
  const [one, other] = [open(path), open(path)];
  expect(tryFlock(one, 'exclusive')).toBe('locked');
  expect(tryFlock(one, 'exclusive')).toBe('locked');
  expect(tryFlock(other, 'exclusive')).toBe('held');
  expect(tryFlock(other, 'shared')).toBe('held');
  closeSync(one);
  expect(tryFlock(other, 'exclusive')).toBe('locked');
});

test('shared locks are compatible and need only read permission', () => {
  const path = join(scratchDirectory(), 'lock');
  open(path);
  const [one, other, writer] = [open(path, 'r'), open(path, 'r'), open(path)];
  expect(tryFlock(one, 'shared')).toBe('locked');
  expect(tryFlock(other, 'shared')).toBe('locked');
  expect(tryFlock(writer, 'exclusive')).toBe('held');
});

test('a child that inherits the lock keeps it after its parent has closed its own descriptor', async () => {
  const path = join(scratchDirectory(), 'lock');
  const mine = open(path);
  expect(tryFlock(mine, 'exclusive')).toBe('locked');
  const child = execa('sleep', ['30'], {
    stdio: ['ignore', 'ignore', 'ignore', mine] as Options['stdio'],
    reject: false,
  });
  closeSync(mine);
  const other = open(path);
  expect(tryFlock(other, 'exclusive')).toBe('held');
  expect(processesWithOpenFile(path)).toContain(child.pid);
  child.kill('SIGKILL');
  await child;
  await eventually(() => expect(tryFlock(other, 'exclusive')).toBe('locked'));
});

test('the kernel reports how many locks there are', () => {
  const path = join(scratchDirectory(), 'lock');
  const [one, other] = [open(path), open(path)];
  expect(countLocks(path)).toBe(0);
  tryFlock(one, 'shared');
  tryFlock(other, 'shared');
  expect(countLocks(path)).toBe(2);
});

test('the kernel reports those of many files in one look, in their order', () => {
  const home = scratchDirectory();
  const paths = ['shared', 'free', 'exclusive'].map((name) => join(home, name));
  const [shared = 0, , exclusive = 0] = paths.map((path) => open(path));
  tryFlock(shared, 'shared');
  tryFlock(exclusive, 'exclusive');
  expect(countLocksOf([...paths, join(home, 'missing')])).toEqual([1, 0, 1, 0]);
  expect(countLocksOf(paths, 'shared')).toEqual([1, 0, 0]);
  expect(exclusivelyLocked(paths)).toEqual(paths.slice(2));
});

test.skipIf(whyNoLoopFilesystem !== '').each(['ext4', 'xfs', 'btrfs'] as const)(
  `the kernel reports them on %s, too${whyNoLoopFilesystem}`,
  async (type) => {
    const filesystem = await makeLoopFilesystem(type);
    const path = join(filesystem.path, 'lock');
    const descriptor = openSync(path, 'a');
    try {
      tryFlock(descriptor, 'exclusive');
      expect(countLocks(path)).toBe(1);
    } finally {
      closeSync(descriptor);
      await filesystem.remove();
    }
  },
);

test('a descriptor that cannot be locked is an error, not a lock', () => {
  expect(() => tryFlock(9999, 'exclusive')).toThrow();
});
