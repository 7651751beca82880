import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { sync } from '../../src/index.ts';
import { eventually } from '../support/eventually.ts';
import { expectFailure } from '../support/expect-failure.ts';
import { runForJson, runProgram, transcript } from '../support/program.ts';
import { mirrorsWith, smallMirror } from '../support/small-mirror.ts';
import { describeTree, difference } from '../support/tree.ts';

const oneSnapshot = mirrorsWith('first');

test('without --id a snapshot is named after the UTC time at which its sync began', async () => {
  const mirror = smallMirror();
  const earliest = basicFormat(new Date());
  const { id, path } = await mirror.sync();
  expect(id).toMatch(/^\d{8}T\d{6}Z$/);
  expect(String(id) >= earliest && String(id) <= basicFormat(new Date())).toBe(true);
  expect(path).toBe(join(mirror.root, 'snapshots', String(id)));
  expect(mirror.linked('current')).toBe(id);
});

test('two syncs within one second get different names', async () => {
  const mirror = await oneSnapshot();
  const ids = new Set<unknown>();
  for (let turn = 0; turn < 3; turn += 1) {
    mirror.change({ file: `turn ${turn}` });
    ids.add((await mirror.sync())['id']);
  }
  expect(ids.size).toBe(3);
  for (const id of ids) expect(id).toMatch(/^\d{8}T\d{6}Z(-\d+)?$/);
});

test.for(['v1.2-rc_3+build', 'A', '0', 'x'.repeat(100), '...a'.replace(/^\.+/, 'a...')])(
  '--id %s names the snapshot, its lease and its log',
  async (id) => {
    const mirror = smallMirror();
    expect(await mirror.sync('--id', id)).toMatchObject({ outcome: 'published', id });
    expect(mirror.snapshots()).toEqual([id]);
    expect(existsSync(mirror.state('leases', id))).toBe(true);
    expect(existsSync(mirror.state('logs', `${id}.log`))).toBe(true);
  },
);

test('an --id for which nothing is new is named, because no snapshot has it', async () => {
  const mirror = await oneSnapshot();
  const synced = await runProgram(['sync', mirror.root, '--id', 'wanted']);
  expect(synced.stdout).toMatch(
    /^unchanged: first is the same as \S+\/source\/, so no snapshot wanted was made \(/,
  );
  const locked = await runProgram(['lock', mirror.root, '--id', 'wanted', '--', 'true']);
  expect(locked.stderr).toMatch(/the same as first, so no snapshot wanted was made$/m);
});

test('an --id that is not a plain file name is refused with 64, and no mirror is made', async () => {
  const mirror = smallMirror();
  const before = describeTree(mirror.home);
  const wrong = [
    '',
    '.',
    '..',
    '../x',
    'a/b',
    '.hidden',
    '-x',
    'a b',
    'new\nline',
    'ü',
    'a.clone',
    'current',
    'previous',
  ];
  for (const id of [...wrong, 'x'.repeat(101)]) {
    const result = await runProgram(['sync', mirror.source, mirror.root, `--id=${id}`]);
    expectFailure(result, 64, /cannot name a snapshot/);
  }
  expect(difference(before, describeTree(mirror.home))).toEqual([]);
});

test('a lock refuses such an --id before its command is started', async () => {
  const mirror = await oneSnapshot();
  const before = describeTree(mirror.home);
  for (const id of ['', '..', '../x', 'a/b', '.hidden']) {
    const started = join(mirror.home, 'started');
    const result = await runProgram(['lock', mirror.root, `--id=${id}`, '--', 'touch', started]);
    expectFailure(result, 125, /cannot name a snapshot/);
  }
  expect(difference(before, describeTree(mirror.home))).toEqual([]);
});

test('the --id of an existing snapshot is refused with 64, and that stays unchanged', async () => {
  const mirror = await oneSnapshot();
  const before = describeTree(join(mirror.root, 'snapshots', 'first'));
  mirror.change({ file: 'changed' });
  expectFailure(
    await runProgram(['sync', mirror.root, '--id', 'first']),
    64,
    /a snapshot named first already exists/,
  );
  expect(difference(before, describeTree(join(mirror.root, 'snapshots', 'first')))).toEqual([]);
});

test('--at names the snapshot after that time, so that two mirrors can use the same name', async () => {
  const here = await oneSnapshot();
  const there = await oneSnapshot();
  for (const mirror of [here, there]) {
    mirror.change({ file: 'changed' });
    expect(await mirror.sync('--at', '2026-11-22T03:00Z')).toMatchObject({
      outcome: 'published',
      id: '20261122T030000Z',
    });
  }
});

test('--at with an offset is converted to UTC', async () => {
  const mirror = await oneSnapshot();
  mirror.change({ file: 'changed' });
  const { id } = await mirror.sync('--at', '2026-01-01T01:30+05:30');
  expect(id).toBe('20251231T200000Z');
});

test('--at in the future waits until then, reports it, and reads the source afterwards', async () => {
  const mirror = await oneSnapshot();
  // A clock that stands still until it is set.
  vi.useFakeTimers({ toFake: ['Date'] });
  onTestFinished(() => void vi.useRealTimers());
  const at = new Date(Date.now() + 1_000);
  const notices: string[] = [];
  const syncing = sync({
    root: mirror.root,
    at,
    onEvent: (event) => {
      if (event.kind === 'notice') notices.push(event.message);
    },
  });
  await eventually(() =>
    expect(notices).toEqual([`waiting until ${at.toISOString().slice(0, 19)}Z`]),
  );
  await mirror.publish('meanwhile', { file: 'published while it waited' });
  mirror.change({ file: 'changed while it waited' });
  vi.setSystemTime(at);
  expect(await syncing).toMatchObject({
    outcome: 'published',
    id: basicFormat(at),
    previous: 'meanwhile',
  });
  expect(readFileSync(join(mirror.root, 'current', 'file'), 'utf8')).toBe(
    'changed while it waited',
  );
});

test('--at in the past only names the snapshot, and that is said', async () => {
  const mirror = await oneSnapshot();
  mirror.change({ file: 'changed' });
  const result = await runProgram(['sync', mirror.root, '--at', '2026-01-01T03:00Z']);
  expect(result.exitCode, transcript(result)).toBe(0);
  expect(result.stderr).toContain('2026-01-01T03:00:00Z has passed: starting at once');
});

test('--id and --at together: the name is the id', async () => {
  const mirror = await oneSnapshot();
  mirror.change({ file: 'changed' });
  const { id } = await mirror.sync('--id', 'named', '--at', '2026-11-22T03:00Z');
  expect(id).toBe('named');
});

test('an invalid --at is refused with 64', async () => {
  const mirror = await oneSnapshot();
  for (const time of ['tomorrow', '25:00', '2026-13-01T00:00Z', '2026-11-22', '']) {
    const result = await runProgram(['sync', mirror.root, '--at', time]);
    expect(result.exitCode, transcript(result)).toBe(64);
    expect(result.stderr).toMatch(/2026-11-22T03:00Z/);
  }
});

test('a sync with nothing to do uses no name', async () => {
  const mirror = await oneSnapshot();
  expect(await mirror.sync('--id', 'unused')).toMatchObject({ outcome: 'unchanged', id: 'first' });
  expect(await runForJson(['list', mirror.root])).toMatchObject([{ id: 'first' }]);
  expect(existsSync(mirror.state('logs', 'unused.log'))).toBe(false);
});

function basicFormat(time: Date): string {
  return time.toISOString().replace(/[-:]|\.\d+/g, '');
}
