import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { TreeWatch } from '../../../src/mirror/trees/tree-watch.ts';
import { fileWork } from '../../support/file-work.ts';
import { scratchDirectory } from '../../support/scratch.ts';

const { signal } = new AbortController();

/** What a watch finds to have changed after `change`, while another clock has moved on by so many ms more. */
async function foundAfter(change: (tree: string) => void, more = 0): Promise<string[]> {
  const tree = join(scratchDirectory(), 'tree');
  mkdirSync(join(tree, 'below'), { recursive: true });
  for (const name of ['one', 'below/two']) fileWork(tree).write(name, 'content');
  let moved = 0;
  const clock = () => performance.now() + moved;
  const watch = await TreeWatch.begin({ staging: scratchDirectory() }, signal, clock);
  change(tree);
  moved = more;
  const names: string[] = [];
  await watch.find(tree, { inherit: [], signal }, (name) => names.push(name));
  return names.sort();
}

test('what is written after the beginning has changed, and nothing else', async () => {
  expect(await foundAfter(() => {})).toEqual([]);
  expect(await foundAfter((tree) => fileWork(tree).write('below/two', 'other'))).toEqual([
    'below/two',
  ]);
});

test('once the clock of the files was set back, all may have changed', async () => {
  expect(await foundAfter(() => {}, 1_000)).toEqual(['.', 'below', 'below/two', 'one']);
});
