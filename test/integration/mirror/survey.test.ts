import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { appendHistory } from '../../../src/mirror/history/history.ts';
import { type Layout, layoutOf } from '../../../src/mirror/layout.ts';
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
  // The kernel's file timestamps advance only every few milliseconds.
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

test('a tree that was moved into snapshots/ after the last flip was never published', async () => {
  const layout = await makeMirror([], 'current', ['crashed']);
  expect(survey(layout)).toEqual([{ kind: 'unpublished-snapshot', id: 'crashed' }]);
});

test('snapshots that the history has lost are not removed', async () => {
  const layout = await makeMirror(['old', 'older'], 'current', []);
  expect(survey(layout)).toEqual([]);
});
