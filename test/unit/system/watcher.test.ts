import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { watchDirectory } from '../../../src/system/watcher.ts';
import { scratchDirectory } from '../../support/scratch.ts';

/** More than any timer of Node holds; ms. */
const YEARS = 1e12;

function watchOf(pollMs?: number) {
  const directory = scratchDirectory();
  const watcher = watchDirectory(directory, { pollMs });
  onTestFinished(() => watcher.close());
  return { directory, watcher };
}

async function msUntil(change: Promise<void>): Promise<number> {
  const start = performance.now();
  await change;
  return performance.now() - start;
}

test('a file that changes makes it come sooner than the slow timer, an old one or a new', async () => {
  const { directory, watcher } = watchOf();
  // That it is set up is a reason to look, too.
  await watcher.change();
  for (const name of ['new', 'new', 'other']) {
    await watcher.change();
    const coming = msUntil(watcher.change());
    await pause(20);
    writeFileSync(join(directory, name), 'text', { flag: 'a' });
    expect(await coming).toBeLessThan(500);
  }
});

test('without any event it comes every second', async () => {
  const { watcher } = watchOf();
  await pause(300);
  await watcher.change();
  await watcher.change();
  const took = await msUntil(watcher.change());
  expect(took).toBeGreaterThan(800);
  expect(took).toBeLessThan(2_000);
});

test('with an interval it comes by that alone', async () => {
  const { directory, watcher } = watchOf(400);
  await watcher.change();
  const coming = msUntil(watcher.change());
  writeFileSync(join(directory, 'file'), 'text');
  expect(await coming).toBeGreaterThan(300);
});

test('what comes while nobody waits is not lost, and comes once', async () => {
  const { watcher } = watchOf(YEARS);
  watcher.wake();
  watcher.wake();
  expect(await msUntil(watcher.change())).toBeLessThan(100);
  expect(await msUntil(watcher.change(300))).toBeGreaterThan(250);
});

test('an interval or a limit that is longer than a timer can be does not come at once', async () => {
  const { watcher } = watchOf(YEARS);
  const coming = watcher.change(YEARS).then(() => 'came');
  expect(await Promise.race([coming, pause(300, 'still waiting')])).toBe('still waiting');
  watcher.wake();
  expect(await coming).toBe('came');
});
