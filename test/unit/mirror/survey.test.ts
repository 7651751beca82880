import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { layoutOf } from '../../../src/mirror/layout.ts';
import { ourselves, stateOfRecord } from '../../../src/mirror/lock-state.ts';
import { survey } from '../../../src/mirror/survey.ts';
import { scratchDirectory } from '../../support/scratch.ts';

test('before the first flip, no snapshot counts as published', async () => {
  const layout = layoutOf(scratchDirectory());
  mkdirSync(layout.leases, { recursive: true });
  mkdirSync(layout.snapshot('first'), { recursive: true });
  expect(survey(layout)).toEqual([{ kind: 'unpublished-snapshot', id: 'first' }]);
});

test('without flock, an owner on this host holds the lock as long as it runs', () => {
  const layout = layoutOf(scratchDirectory());
  const inside = join(layout.lockDirectory, 'token');
  mkdirSync(inside, { recursive: true });
  const owner = ourselves('sync');
  writeFileSync(join(inside, 'owner.json'), JSON.stringify(owner));
  expect(stateOfRecord(layout, true)).toMatchObject({ kind: 'held', owner: { pid: process.pid } });
  // With flock, a lock that is not held means that its holder is gone.
  expect(stateOfRecord(layout)).toMatchObject({ kind: 'dead' });
  writeFileSync(join(inside, 'owner.json'), JSON.stringify({ ...owner, startTicks: '1' }));
  expect(stateOfRecord(layout, true)).toMatchObject({ kind: 'dead' });
});
