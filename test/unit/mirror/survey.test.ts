import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { appendHistory } from '../../../src/mirror/history.ts';
import { type Layout, layoutOf } from '../../../src/mirror/layout.ts';
import { ourselves, stateOfRecord } from '../../../src/mirror/lock-state.ts';
import { survey } from '../../../src/mirror/survey.ts';
import { scratchDirectory } from '../../support/scratch.ts';

/** A mirror whose snapshots were made in this order around the flip of `current`. */
async function makeMirror(before: string[], current: string, after: string[]): Promise<Layout> {
  const layout = layoutOf(scratchDirectory());
  mkdirSync(layout.leases, { recursive: true });
  mkdirSync(layout.snapshots);
  const make = (id: string) => {
    mkdirSync(layout.snapshot(id));
    writeFileSync(layout.lease(id), '');
  };
  for (const id of [...before, current]) make(id);
  // The kernel's clock for files stands still for some milliseconds.
  await sleep(20);
  symlinkSync(`snapshots/${current}`, layout.current);
  appendHistory(layout, {
    event: 'published',
    id: current,
    previous: null,
    at: new Date().toISOString(),
  });
  await sleep(20);
  for (const id of after) make(id);
  return layout;
}

test('a tree that was moved after the last flip was never published', async () => {
  const layout = await makeMirror([], 'current', ['crashed']);
  expect(survey(layout)).toEqual([{ kind: 'unpublished-snapshot', id: 'crashed' }]);
});

test('snapshots that history has forgotten are not taken away from their readers', async () => {
  const layout = await makeMirror(['old', 'older'], 'current', []);
  expect(survey(layout)).toEqual([]);
});

test('before the first flip nothing was published', async () => {
  const layout = layoutOf(scratchDirectory());
  mkdirSync(layout.leases, { recursive: true });
  mkdirSync(layout.snapshot('first'), { recursive: true });
  expect(survey(layout)).toEqual([{ kind: 'unpublished-snapshot', id: 'first' }]);
});

test('without flock a holder of this host holds as long as it lives', () => {
  const layout = layoutOf(scratchDirectory());
  const inside = join(layout.lockDirectory, 'token');
  mkdirSync(inside, { recursive: true });
  const owner = ourselves('sync');
  writeFileSync(join(inside, 'owner.json'), JSON.stringify(owner));
  expect(stateOfRecord(layout, true)).toMatchObject({ kind: 'held', owner: { pid: process.pid } });
  // With flock, that it is not held tells that its holder is gone.
  expect(stateOfRecord(layout)).toMatchObject({ kind: 'dead' });
  writeFileSync(join(inside, 'owner.json'), JSON.stringify({ ...owner, startTicks: '1' }));
  expect(stateOfRecord(layout, true)).toMatchObject({ kind: 'dead' });
});
