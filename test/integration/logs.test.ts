import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { expectFailure } from '../support/expect-failure.ts';
import { runForJson, runProgram, transcript } from '../support/program.ts';
import { mirrorsWith, type SmallMirror, smallMirror } from '../support/small-mirror.ts';

const oneSnapshot = mirrorsWith('first');
const threeSnapshots = mirrorsWith('first', 'second', 'third');

const nothingListens = ['sync', '--other-source', 'rsync://127.0.0.1:1/module'];

test("logs/ID.log has rsync's own output: every entry, but no progress", async () => {
  const mirror = await oneSnapshot();
  mirror.change({ file: 'changed', 'new\nline': 'new', 'below/file': null });
  await mirror.sync('--id', 'second', '--allow-shrink');
  const log = logOf(mirror, 'second');
  expect(log).toMatch(/>f\S+.*\|file$/m);
  expect(log).toMatch(/>f\+{9}.*\|new\\#012line$/m);
  expect(log).toMatch(/\*deleting.*\|below\/file$/m);
  expect(log).toMatch(/^Number of files: /m);
  expect(log).not.toMatch(/xfr#|to-chk|\r/);
  // It has names from directories that others cannot enter.
  expect(statSync(mirror.state('logs', 'second.log')).mode & 0o777).toBe(0o600);
});

test("a failed sync keeps its log, and its error has rsync's message and the path of the log", async () => {
  const mirror = await oneSnapshot();
  const command = [...nothingListens, mirror.root, '--retries', '0', '--id', 'failed'];
  const result = await runProgram(command);
  expectFailure(result, 69, /failed to connect to 127\.0\.0\.1.*Connection refused/);
  expect(result.stderr).toContain(
    `All that rsync said is in ${mirror.state('logs', 'failed.log')}`,
  );
  expect(logOf(mirror, 'failed')).toMatch(/failed to connect/);
  const told = await runProgram([...command, '--json']);
  expect(told.exitCode, transcript(told)).toBe(69);
  expect(told.json()).toMatchObject({
    error: {
      code: 'UNAVAILABLE',
      log: mirror.state('logs', 'failed.log'),
      rsync: {
        exitCode: 10,
        said: expect.arrayContaining([expect.stringMatching(/failed to connect/)]),
      },
    },
  });
});

test('the log of a sync without changes is not kept', async () => {
  const mirror = await oneSnapshot();
  await mirror.sync();
  expect(logsOf(mirror)).toEqual(['first.log']);
});

test('the log of a snapshot is kept as long as the snapshot; of other syncs, the last 20 are kept', async () => {
  const mirror = await threeSnapshots();
  for (let index = 10; index < 40; index += 1) {
    writeFileSync(mirror.state('logs', `20260101T0000${index}Z.log`), 'failed');
  }
  await runForJson(['prune', mirror.root, '--keep-last', '1', '--grace', '0']);
  const logs = logsOf(mirror);
  expect(logs).toEqual(expect.arrayContaining(['second.log', 'third.log']));
  expect(logs).toHaveLength(2 + 20);
  expect(logs).not.toContain('20260101T000010Z.log');
  expect(logs).toContain('20260101T000039Z.log');
});

test('an in-place mirror keeps the last 20 logs', async () => {
  const mirror = smallMirror();
  await runForJson(['init', mirror.root, '--in-place']);
  for (let index = 10; index < 50; index += 1) {
    writeFileSync(mirror.state('logs', `20260101T0000${index}Z.log`), 'failed');
  }
  await mirror.sync();
  const logs = readdirSync(mirror.state('logs'));
  expect(logs).toHaveLength(20);
  expect(logs).toContain('20260101T000049Z.log');
});

test('the log that was written last stays, whatever its name, and what is no log is left alone', async () => {
  const mirror = smallMirror();
  await runForJson(['init', mirror.root, '--in-place']);
  mkdirSync(mirror.state('logs', '00000000T000000Z.log'));
  writeFileSync(mirror.state('logs', 'notes'), '');
  for (let index = 10; index < 40; index += 1) {
    writeFileSync(mirror.state('logs', `20260101T0000${index}Z.log`), 'failed');
  }
  const result = await runProgram([
    ...['sync', mirror.source, mirror.root],
    ...['--at', '2020-01-01T00:00Z'],
  ]);
  expect(result.stderr).not.toMatch(/warning/);
  const logs = readdirSync(mirror.state('logs'));
  expect(logs).toContain('20200101T000000Z.log');
  expect(logs).toContain('notes');
  expect(logs).toHaveLength(2 + 20);
});

function logOf(mirror: SmallMirror, id: string): string {
  return readFileSync(mirror.state('logs', `${id}.log`), 'latin1');
}

function logsOf(mirror: SmallMirror): string[] {
  return readdirSync(mirror.state('logs')).sort();
}
