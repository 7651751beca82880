import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { expect, onTestFinished, test, vi } from 'vitest';
import { rollback, wait } from '../../src/index.ts';
import { layoutOf } from '../../src/mirror/layout.ts';
import { acquireSyncLock } from '../../src/mirror/locks/acquire-lock.ts';
import type { SyncLock } from '../../src/mirror/locks/sync-lock.ts';
import { DEFAULT_LOCK } from '../../src/mirror/settings/policy.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { isWatching } from '../support/inotify.ts';
import { nobody } from '../support/privilege.ts';
import {
  nobodyRunsTheProgram,
  runForJson,
  runProgram,
  startProgram,
  transcript,
} from '../support/program.ts';
import { scratchDirectory } from '../support/scratch.ts';
import { startSlowSync } from '../support/slow-sync.ts';
import { mirrorsWith, type SmallMirror, smallMirror } from '../support/small-mirror.ts';

const twoSnapshots = mirrorsWith('first', 'second');

test('wait returns at once if the mirror can be read, and prints nothing', async () => {
  const mirror = await twoSnapshots();
  const result = await runProgram(['wait', mirror.root]);
  expect(result, transcript(result)).toMatchObject({ exitCode: 0, stdout: '', stderr: '' });
  expect(await runForJson(['wait', mirror.root])).toEqual({
    root: mirror.root,
    id: 'second',
    path: `${mirror.root}/snapshots/second`,
    waitedMs: expect.any(Number),
  });
});

test('wait does not wait for a sync that transfers', async () => {
  const mirror = await twoSnapshots();
  const sync = await startSlowSync(mirror);
  expect(await runForJson(['wait', mirror.root, '--timeout', '0'])).toMatchObject({ id: 'second' });
  sync.kill('SIGTERM');
  await sync.result;
});

test('wait waits while a sync is publishing, and returns when it has done so', async () => {
  const mirror = await twoSnapshots();
  const lock = await publisherOf(mirror);
  const waiting = startProgram(['wait', mirror.root, '--json']);
  await isWatching(waiting);
  await lock.release();
  const result = await waiting.result;
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(result.json()).toMatchObject({ id: 'second' });
});

test('wait reports how long it has waited', async () => {
  const mirror = await twoSnapshots();
  const lock = await publisherOf(mirror);
  vi.useFakeTimers({ toFake: ['performance'] });
  onTestFinished(() => void vi.useRealTimers());
  const waiting = wait({ root: mirror.root });
  vi.advanceTimersByTime(5_000);
  await lock.release();
  expect(await waiting).toMatchObject({ id: 'second', waitedMs: 5_000 });
});

test('wait exits with 75 after --timeout, and names the publishing process', async () => {
  const mirror = await twoSnapshots();
  const lock = await publisherOf(mirror);
  const words = ['wait', mirror.root, '--timeout', '300ms'];
  const holder = new RegExp(`is being published to: sync by .*pid ${process.pid}.*publishing`);
  expectFailure(await runProgram(words), 75, holder, /--timeout/);
  const { exitCode, stdout } = await runProgram([...words, '--json']);
  expect(exitCode).toBe(75);
  expect(JSON.parse(stdout)).toMatchObject({
    error: { code: 'BUSY', lock: { kind: 'held', owner: { pid: process.pid } } },
  });
  await lock.release();
});

test('wait returns if the publishing process is killed', async () => {
  const mirror = await twoSnapshots();
  const sync = await startSlowSync(mirror);
  const lock = layoutOf(mirror.root).lockDirectory;
  // The process announces the phase in this file; the real phase is too short to kill it in.
  const [token = ''] = readdirSync(lock);
  sync.kill('SIGSTOP');
  writeFileSync(`${lock}/${token}/progress.json`, JSON.stringify({ phase: 'publishing' }));
  const waiting = startProgram(['wait', mirror.root]);
  await isWatching(waiting);
  sync.kill('SIGKILL');
  const result = await waiting.result;
  expect(result.exitCode, transcript(result)).toBe(0);
});

test('wait for the first snapshot returns when it is published', async () => {
  const mirror = smallMirror();
  await runForJson(['init', mirror.root]);
  expectFailure(
    await runProgram(['wait', mirror.root, '--timeout', '100ms']),
    75,
    /has no snapshot yet: nobody holds the lock/,
  );
  const waiting = startProgram(['wait', mirror.root, '--json']);
  await isWatching(waiting);
  await mirror.publish('first', { file: 'first' });
  const result = await waiting.result;
  expect(result.json()).toMatchObject({ id: 'first' });
});

test('wait --for-publish prints the id of the next snapshot, and ignores a rollback', async () => {
  const mirror = await twoSnapshots();
  const waiting = startProgram(['wait', mirror.root, '--for-publish']);
  await expect.poll(waiting.saidSoFar).toContain('waiting: ');
  await rollback({ root: mirror.root });
  await mirror.sync();
  const result = await waiting.result;
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(result.stdout.trim()).toBe(mirror.linked('current'));
  expect(result.stdout).not.toMatch(/first|second/);
  expect(result.stderr).toBe(`mirrorlatch: waiting: ${mirror.root} has published nothing new\n`);
});

test('wait --for-publish does not report an unrecorded publication before a crash as new', async () => {
  const mirror = await twoSnapshots();
  // The state after a crash between the flip and its record.
  const history = readFileSync(mirror.state('history.jsonl'), 'utf8');
  writeFileSync(mirror.state('history.jsonl'), history.replace(/\n.*\n$/, '\n'));
  const waiting = wait({ root: mirror.root, forPublish: true, timeoutMs: 20_000 });
  await mirror.publish('third', { file: 'third' });
  expect(readFileSync(mirror.state('history.jsonl'), 'utf8')).toMatch(
    /"published".*"second".*\n.*"published".*"third"/,
  );
  expect(await waiting).toMatchObject({ id: 'third' });
});

test('wait --for-publish exits with 75 after --timeout', async () => {
  const mirror = await twoSnapshots();
  const words = ['wait', mirror.root, '--for-publish', '--timeout', '300ms'];
  expectFailure(await runProgram(words), 75, /has published nothing new: nobody holds the lock/);
});

test.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)('%s ends wait with %i and without a word', async (signal, exitCode) => {
  const mirror = await twoSnapshots();
  const waiting = startProgram(['wait', mirror.root, '--for-publish', '--quiet']);
  await isWatching(waiting);
  waiting.kill(signal);
  expect(await waiting.result).toMatchObject({ exitCode, stdout: '', stderr: '' });
});

test.runIf(nobodyRunsTheProgram)('wait works for a user with read permission', async () => {
  const mirror = await twoSnapshots();
  const lock = await publisherOf(mirror);
  const waiting = startProgram(['wait', mirror.root, '--quiet'], { user: nobody });
  await isWatching(waiting);
  await lock.release();
  expect(await waiting.result).toMatchObject({ exitCode: 0, stderr: '' });
});

test('wait ends with 66 if its mirror is gone', async () => {
  const [mirror, empty] = [await twoSnapshots(), smallMirror()];
  await runForJson(['init', empty.root]);
  const moved = [[mirror.root, '--for-publish'], [empty.root]].map(async (words) => {
    const waiting = startProgram(['wait', ...words]);
    await expect.poll(waiting.saidSoFar).toContain('waiting: ');
    renameSync(words[0] ?? '', `${words[0]}.away`);
    expectFailure(await waiting.result, 66, /there is no longer a mirror in/);
  });
  await Promise.all(moved);
});

test('wait without a mirror exits with 66', async () => {
  expectFailure(await runProgram(['wait', scratchDirectory()]), 66, /no mirror/);
});

/** Locks a mirror with a holder that announces that it is publishing, as a sync does. */
async function publisherOf({ root }: SmallMirror): Promise<SyncLock> {
  const lock = await acquireSyncLock(layoutOf(root), { command: 'sync', ...DEFAULT_LOCK });
  lock.report({ phase: 'publishing' });
  return lock;
}
