import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { watchDirectory } from '../../../src/system/watcher.ts';
import { scratchDirectory } from '../../support/scratch.ts';

/** Longer than the longest timer of Node, in ms. */
const YEARS = 1e12;

// The test controls the clock; filesystem events come in real time.
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
  onTestFinished(() => void vi.useRealTimers());
});

function watch(directory: string, pollMs?: number) {
  const watcher = watchDirectory(directory, { pollMs });
  onTestFinished(() => watcher.close());
  return watcher;
}

/** Whether it has looked by now. */
async function hasCome(change: Promise<void>): Promise<boolean> {
  const nextTurn = new Promise<false>((resolve) => setImmediate(resolve, false));
  return Promise.race([change.then(() => true), nextTurn]);
}

/** Checks that it looks after so many ms and no earlier. */
async function comesAfter(ms: number, change: Promise<void>): Promise<void> {
  vi.advanceTimersByTime(ms - 1);
  expect(await hasCome(change)).toBe(false);
  vi.advanceTimersByTime(1);
  await change;
}

test.each(['old', 'new'])('a change of a file makes it look without a timer: %s', async (name) => {
  const directory = scratchDirectory();
  writeFileSync(join(directory, 'old'), 'text');
  const watcher = watch(directory);
  // Its set-up is a reason to look, too.
  await watcher.change();
  const change = watcher.change();
  expect(await hasCome(change)).toBe(false);
  writeFileSync(join(directory, name), 'text', { flag: 'a' });
  await change;
});

test('without events it looks every second', async () => {
  const watcher = watch(scratchDirectory());
  await watcher.change();
  for (let turn = 0; turn < 3; turn += 1) {
    await comesAfter(1_000, watcher.change());
  }
});

test('with an interval it looks only at that', async () => {
  const directory = scratchDirectory();
  const [byEvents, byInterval] = [watch(directory), watch(directory, 400)];
  await byEvents.change();
  const change = byInterval.change();
  writeFileSync(join(directory, 'file'), 'text');
  await byEvents.change();
  await comesAfter(400, change);
});

test('an event that comes while nothing waits is not lost, and counts once', async () => {
  const watcher = watch(scratchDirectory(), YEARS);
  watcher.wake();
  watcher.wake();
  await watcher.change();
  await comesAfter(300, watcher.change(300));
});

test('an interval or a limit longer than the longest timer does not end at once', async () => {
  const watcher = watch(scratchDirectory(), YEARS);
  const change = watcher.change(YEARS);
  vi.advanceTimersByTime(1_000);
  expect(await hasCome(change)).toBe(false);
  watcher.wake();
  await change;
});
