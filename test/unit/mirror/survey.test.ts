import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { layoutOf } from '../../../src/mirror/layout.ts';
import { glanceAtLock, ourselves, stateOfRecord } from '../../../src/mirror/locks/lock-state.ts';
import { survey } from '../../../src/mirror/survey.ts';
import { scratchDirectory } from '../../support/scratch.ts';

test('before the end of the first sync nothing was published', async () => {
  const layout = layoutOf(scratchDirectory());
  mkdirSync(layout.leases, { recursive: true });
  mkdirSync(layout.snapshot('first'), { recursive: true });
  writeFileSync(layout.lease('first'), '');
  const begun = { format: 1, mode: 'snapshots', firstSync: { source: '/source/' } };
  writeFileSync(layout.settings, JSON.stringify(begun));
  expect(survey(layout)).toEqual([{ kind: 'unpublished-snapshot', id: 'first' }]);
  writeFileSync(layout.settings, JSON.stringify({ ...begun, firstSync: undefined }));
  expect(survey(layout)).toEqual([]);
});

test("a tree that neither history nor a lease names is a person's own, though nothing was published yet", () => {
  const layout = layoutOf(scratchDirectory());
  mkdirSync(layout.snapshot('mine'), { recursive: true });
  for (const firstSync of [undefined, { source: '/source/' }]) {
    mkdirSync(layout.state, { recursive: true });
    writeFileSync(layout.settings, JSON.stringify({ format: 1, mode: 'snapshots', firstSync }));
    expect(survey(layout)).toEqual([{ kind: 'foreign-tree', id: 'mine' }]);
  }
});

test('without flock, a holder on this host keeps the lock as long as it lives', () => {
  const layout = layoutOf(scratchDirectory());
  const inside = join(layout.lockDirectory, 'token');
  mkdirSync(inside, { recursive: true });
  const owner = ourselves('sync');
  writeFileSync(join(inside, 'owner.json'), JSON.stringify(owner));
  expect(stateOfRecord(layout, true)).toMatchObject({ kind: 'held', owner: { pid: process.pid } });
  // With flock, a free flock means that the holder is gone.
  expect(stateOfRecord(layout)).toMatchObject({ kind: 'dead' });
  writeFileSync(join(inside, 'owner.json'), JSON.stringify({ ...owner, startTicks: '1' }));
  expect(stateOfRecord(layout, true)).toMatchObject({ kind: 'dead' });
});

test('a glance at the lock takes the word of a holder that lives, or that is of another host', () => {
  const layout = layoutOf(scratchDirectory());
  const inside = join(layout.lockDirectory, 'token');
  expect(glanceAtLock(layout, 0)).toEqual({ kind: 'free' });
  mkdirSync(inside, { recursive: true });
  const owner = ourselves('sync');
  const write = (record: object) =>
    writeFileSync(join(inside, 'owner.json'), JSON.stringify(record));
  write(owner);
  writeFileSync(join(inside, 'progress.json'), '{"phase":"transferring","done":0.43}');
  expect(glanceAtLock(layout, 0)).toMatchObject({
    kind: 'held',
    owner: { pid: process.pid },
    progress: { phase: 'transferring', done: 0.43 },
  });
  write({ ...owner, startTicks: '1' });
  expect(glanceAtLock(layout, 0)).toMatchObject({ kind: 'dead' });
  write({ ...owner, host: { ...owner.host, bootId: 'of another host', hostname: 'other' } });
  expect(glanceAtLock(layout, 0)).toMatchObject({ kind: 'foreign' });
});
