import { appendFileSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { health, stateOf } from '../../../src/http/status/mirror-state.ts';
import { StatusReporter } from '../../../src/http/status/reporter.ts';
import type { LookedAt, MirrorReport } from '../../../src/http/status/status-report.ts';
import { pin } from '../../../src/reader/pin.ts';
import { mirrorsInPlace } from '../../support/in-place-mirror.ts';
import { runForJson, runProgram } from '../../support/program.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { holdRsync, startSlowSync } from '../../support/slow-sync.ts';
import { mirrorsWith, type SmallMirror, smallMirror } from '../../support/small-mirror.ts';

const copyOfMirror = mirrorsWith('first', 'second');
const copyInPlace = mirrorsInPlace();

/** Looks at a root again and again, each time as if the last look were long past. */
function watch(root: string, more: Partial<LookedAt> = {}): () => MirrorReport {
  let now = Date.now();
  const mirror: LookedAt = {
    name: 'site',
    prefix: '/site/',
    content: '/site/current/',
    kind: 'snapshots',
    root,
    ...more,
  };
  const reporter = new StatusReporter([mirror], { clock: () => (now += 2_000) });
  return () => reporter.report().mirrors[0] as MirrorReport;
}

function stateIn(mirror: MirrorReport): string {
  return stateOf(mirror, {
    format: 1,
    host: '',
    madeAt: new Date().toISOString(),
    maxAgeMs: null,
    mirrors: [mirror],
  });
}

describe('a mirror of snapshots', () => {
  test('is told with its sizes, its last sync and what that changed', async () => {
    const mirror = await copyOfMirror();
    const report = watch(mirror.root)();
    expect(report).toMatchObject({
      unreadable: null,
      source: `${mirror.source}/`,
      current: { id: 'second', files: 2, leftOut: [] },
      previous: 'first',
      work: null,
      gate: null,
      hold: null,
      lastOutcome: { event: 'published', id: 'second' },
      failures: 0,
      leases: 0,
      left: [],
      damagedHistoryLines: 0,
      lastDay: { publications: 2, newFiles: 3, deletedFiles: 0 },
    });
    expect(report.snapshots.map(({ id }) => id)).toEqual(['second', 'first']);
    expect(report.changes).toMatchObject([{ id: 'second', newFiles: 1 }, { id: 'first' }]);
    expect(stateIn(report)).toBe('synced');
  });

  test('is read again when something has happened, and only then', async () => {
    const mirror = await copyOfMirror();
    const look = watch(mirror.root);
    const before = look();
    expect(look().outcomes).toBe(before.outcomes);
    await mirror.publish('third', { file: 'third' });
    expect(look()).toMatchObject({ current: { id: 'third' }, previous: 'second' });
    await mirror.sync();
    expect(look()).toMatchObject({ lastOutcome: { event: 'unchanged', id: 'third' } });
    await runProgram(['rollback', mirror.root, '--hold', 'bad']);
    const rolledBack = look();
    expect(rolledBack).toMatchObject({ current: { id: 'second' }, hold: { reason: 'bad' } });
    expect(rolledBack.changes[0]).toMatchObject({ event: 'rolled-back', id: 'second' });
    expect(stateIn(rolledBack)).toBe('held');
  });

  test('shows its readers, each snapshot for itself, and the pins of the server', async () => {
    const mirror = await copyOfMirror();
    const reporter = new StatusReporter(
      [{ name: 'site', prefix: '/', content: '/current/', kind: 'snapshots', root: mirror.root }],
      {
        pinsOf: () => ({ pins: 3, strictPins: 1, oldestSeconds: 9, byId: new Map([['first', 4]]) }),
      },
    );
    const held = await pin({ root: mirror.root, id: 'first' });
    const [report] = reporter.report().mirrors;
    held.release();
    expect(report).toMatchObject({ leases: 1, pins: { pins: 3, strictPins: 1, oldestSeconds: 9 } });
    expect(report?.snapshots).toMatchObject([
      { id: 'second', leases: 0, pins: 0 },
      { id: 'first', leases: 1, pins: 4 },
    ]);
  });

  test('shows which sync runs, and how far it is', async () => {
    const mirror = await copyOfMirror();
    const look = watch(mirror.root);
    const sync = await startSlowSync(mirror);
    holdRsync(mirror.root);
    expect(look()).toMatchObject({
      work: { state: 'running', command: 'sync', pid: sync.pid, phase: 'transferring' },
      left: [],
    });
    sync.kill('SIGKILL');
    await sync.result;
    // Its rsync, which is stopped, still holds the lock.
    const dead = look();
    expect(dead).toMatchObject({ work: { state: 'silent', command: 'sync' } });
    expect(stateIn(dead)).toBe('attention');
  });

  test('says why the last sync failed, what a crash left, and which lines are damaged', async () => {
    const mirror = await copyOfMirror();
    const look = watch(mirror.root);
    rmSync(mirror.source, { recursive: true });
    for (const _ of [1, 2]) await runProgram(['sync', mirror.root]);
    const failed = look();
    expect(failed).toMatchObject({ failures: 2, lastOutcome: { event: 'failed', seconds: null } });
    expect(failed.lastOutcome?.message).toContain(mirror.source);
    // rsync has not come to say anything.
    expect(failed.failureLog).toBe(null);
    const log = mirror.state('logs', `${failed.lastOutcome?.id}.log`);
    writeFileSync(log, 'rsync: no route to host');
    expect(watch(mirror.root)().failureLog).toBe(log);
    expect(stateIn(failed)).toBe('failed');
    mirror.change({ file: 'again', 'below/file': 'content below' });
    await mirror.sync();
    mkdirSync(mirror.state('trash', 'tree'), { recursive: true });
    appendFileSync(mirror.state('history.jsonl'), 'torn\n');
    const left = look();
    expect(left.left).toEqual([`an interrupted removal left ${mirror.state('trash', 'tree')}`]);
    expect(left).toMatchObject({ failures: 0, damagedHistoryLines: 1 });
    expect(stateIn(left)).toBe('attention');
  });

  test('is damaged once verify has found that what is current is, and in its older snapshots needs a look', async () => {
    const mirror = smallMirror();
    await mirror.publish('first', { file: 'content' });
    await mirror.publish('second', { file: 'new content' });
    const look = watch(mirror.root);
    expect(look()).toMatchObject({ damaged: [], current: { damaged: null } });
    writeFileSync(join(mirror.root, 'snapshots/second/added'), 'by hand');
    await runProgram(['verify', mirror.root]);
    const damaged = look();
    expect(damaged.damaged).toEqual([{ id: 'second', entries: 1 }]);
    expect(stateIn(damaged)).toBe('damaged');
    await runForJson(['rollback', mirror.root]);
    expect(stateIn(look())).toBe('attention');
    rmSync(join(mirror.root, 'snapshots/second/added'));
    await runProgram(['verify', mirror.root, 'second']);
    expect(stateIn(look())).toBe('synced');
  });

  test('that cannot be read is told with the reason, and does no harm to others', async () => {
    const mirror = await copyOfMirror();
    const [broken, sound] = [
      {
        name: 'broken',
        prefix: '/b/',
        content: '/b/current/',
        kind: 'snapshots',
        root: mirror.root,
      },
      {
        name: 'sound',
        prefix: '/s/',
        content: '/s/current/',
        kind: 'snapshots',
        root: (await copyOfMirror()).root,
      },
    ] as const;
    writeFileSync(mirror.state('mirror.json'), '{');
    const report = new StatusReporter([broken, sound]).report();
    expect(report.mirrors[0]?.unreadable).toContain(mirror.state('mirror.json'));
    expect(report.mirrors[1]).toMatchObject({ unreadable: null, current: { id: 'second' } });
    expect(health(report)).toEqual([expect.stringMatching(/^broken: cannot be read: /)]);
  });

  test('without a publication is empty', async () => {
    const root = join(scratchDirectory(), 'new');
    await runForJson(['init', root, '--source', 'rsync://someone@mirror.example.org/x/']);
    const report = watch(root)();
    expect(report).toMatchObject({ current: null, source: 'rsync://mirror.example.org/x/' });
    expect(stateIn(report)).toBe('empty');
  });
});

test('a mirror in place is closed, dirty and open as its gate is', async () => {
  const mirror = await copyInPlace();
  const look = watch(mirror.root, { kind: 'in-place' });
  const open = look();
  expect(open).toMatchObject({ gate: null, snapshots: [], current: { id: 'live', files: 2 } });
  expect(stateIn(open)).toBe('synced');
  await runProgram(['gate', 'close', mirror.root, '--reason', 'a new disk']);
  const closed = look();
  expect(closed.gate).toMatchObject({ state: 'closed', isClosedByHand: true });
  expect(closed.gate?.why).toContain('a new disk');
  expect(stateIn(closed)).toBe('closed');
  await runProgram(['gate', 'open', mirror.root]);
  mirror.rewrite({ state: 'dirty', by: 'sync', reason: 'the sync failed' });
  expect(stateIn(look())).toBe('dirty');
});

test('of a tree that another program keeps it is known since when it is current', () => {
  const root = scratchDirectory();
  mkdirSync(join(root, 'releases', '42'), { recursive: true });
  symlinkSync('releases/42', join(root, 'current'));
  const report = watch(root, { kind: 'foreign', currentId: () => 'releases~42' })();
  expect(report).toMatchObject({
    current: { id: 'releases~42', files: null },
    leases: null,
    lastDay: null,
  });
  expect(Date.parse(report.current?.since ?? '')).toBeGreaterThan(Date.now() - 60_000);
  expect(stateIn(report)).toBe('served');
  rmSync(join(root, 'current'));
  expect(watch(root, { kind: 'foreign' })().unreadable).toContain(root);
});

test('all that ask within a second get the same report', async () => {
  const mirror: SmallMirror = await copyOfMirror();
  let now = Date.now();
  const reporter = new StatusReporter(
    [{ name: 'site', prefix: '/', content: '/current/', kind: 'snapshots', root: mirror.root }],
    { clock: () => now },
  );
  const first = reporter.report();
  now += 999;
  expect(reporter.report()).toBe(first);
  now += 1;
  expect(reporter.report()).not.toBe(first);
});
