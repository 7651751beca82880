import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { ChangedName } from '../../../src/mirror/changes.ts';
import { layoutOf } from '../../../src/mirror/layout.ts';
import { recycle } from '../../../src/mirror/recycle.ts';
import { diceOf } from '../../stress/dice.ts';
import { byScale, HOUR_MS } from '../../stress/scale.ts';
import { fileWork } from '../../support/file-work.ts';
import { changeAtRandom, describeClone, differenceOfClones } from '../../support/random-tree.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { describeTree } from '../../support/tree.ts';

/** Brings trees of one place to equal others. */
function recycler() {
  const place = scratchDirectory();
  const layout = layoutOf(place);
  mkdirSync(layout.staging, { recursive: true });
  return {
    path: (name: string) => join(place, name),
    clone: (from: string, to: string) =>
      execFileSync('cp', ['-al', '--', join(place, from), join(place, to)]),
    recycle: (tree: string, model: string, ...names: ChangedName[]) =>
      recycle(layout, join(place, tree), join(place, model), {
        chain: {
          length: 1,
          async *names() {
            yield* names;
          },
        },
        inherit: [],
        signal: new AbortController().signal,
      }),
  };
}

const whyNoPython =
  spawnSync('python3', ['--version']).status === 0 ? '' : ' (not here: there is no python3)';

const taken = (name: string): ChangedName => ({ name, isTakenOut: true });
const changed = (name: string): ChangedName => ({ name, isTakenOut: false });

test('an old tree that is brought up by the names that changed since equals a clone by cp, generation for generation', {
  timeout: byScale({ sample: 120_000, all: HOUR_MS }),
}, async () => {
  const dice = diceOf('recycle by names');
  const trees = recycler();
  mkdirSync(trees.path('g0'));
  for (let count = 0; count < 60; count += 1) changeAtRandom(fileWork(trees.path('g0')), dice);
  const records: ChangedName[][] = [];
  for (let generation = 1; generation <= byScale({ sample: 60, all: 2000 }); generation += 1) {
    const [base, next] = [`g${generation - 1}`, `g${generation}`];
    trees.clone(base, next);
    const names: ChangedName[] = [];
    const work = fileWork(trees.path(next));
    for (let count = dice.whole(1, 6); count > 0; count -= 1) {
      changeAtRandom(work, dice, (name) => names.push(taken(name)));
    }
    records.unshift(names);
    const age = Math.min(generation, dice.whole(1, 3));
    trees.clone(`g${generation - age}`, 'old');
    const before = JSON.stringify([...describeTree(trees.path(next))]);
    await trees.recycle('old', next, ...records.slice(0, age).flat());
    const found = differenceOfClones(
      describeClone(trees.path(next)),
      describeClone(trees.path('old')),
    );
    expect(found, `in generation ${generation}`).toEqual([]);
    expect(JSON.stringify([...describeTree(trees.path(next))])).toBe(before);
    fileWork(trees.path('.')).remove('old');
    fileWork(trees.path('.')).remove(`g${generation - 3}`);
  }
});

test('a directory that went and came back has nothing of what it had before', async () => {
  const trees = recycler();
  mkdirSync(trees.path('old/d/below'), { recursive: true });
  mkdirSync(trees.path('new/d'), { recursive: true });
  fileWork(trees.path('old')).write('d/below/file', 'old');
  fileWork(trees.path('new')).write('d/file', 'new');
  await trees.recycle('old', 'new', taken('d'));
  expect([...describeClone(trees.path('old'))]).toEqual([...describeClone(trees.path('new'))]);
});

describe('I13: a symlink in the place of a parent is not followed, in neither tree', () => {
  const names = ['to-directory', 'to-directory/file', 'to-symlink', 'to-symlink/file'];
  test.each([
    { order: 'before', listed: names },
    { order: 'after', listed: names.toReversed() },
  ])('if the parent is listed $order what is in it', async ({ listed }) => {
    const trees = recycler();
    for (const tree of ['old', 'new', 'outside']) mkdirSync(trees.path(tree));
    fileWork(trees.path('outside')).write('file', 'of others');
    symlinkSync(trees.path('outside'), trees.path('old/to-directory'));
    mkdirSync(trees.path('new/to-directory'));
    fileWork(trees.path('new')).write('to-directory/file', 'new');
    mkdirSync(trees.path('old/to-symlink'));
    fileWork(trees.path('old')).write('to-symlink/file', 'old');
    symlinkSync(trees.path('outside'), trees.path('new/to-symlink'));
    await trees.recycle('old', 'new', ...listed.map(changed));
    expect(readFileSync(trees.path('outside/file'), 'utf8')).toBe('of others');
    expect([...describeClone(trees.path('old'))]).toEqual([...describeClone(trees.path('new'))]);
  });
});

test('the top directory gets its attributes, even if nothing else has changed', async () => {
  const trees = recycler();
  for (const tree of ['old', 'new']) mkdirSync(trees.path(tree));
  fileWork(trees.path('new')).mtime('.', '1600000000.123456789');
  await trees.recycle('old', 'new');
  expect([...describeClone(trees.path('old'))]).toEqual([...describeClone(trees.path('new'))]);
});

test('a record that does not tell of an entry in the way is found out', async () => {
  const trees = recycler();
  for (const tree of ['old', 'new']) mkdirSync(trees.path(tree));
  fileWork(trees.path('old')).write('d', 'a file');
  mkdirSync(trees.path('new/d'));
  fileWork(trees.path('new')).write('d/file', 'new');
  await expect(trees.recycle('old', 'new', changed('d/file'))).rejects.toThrow(
    'has something else under a changed name: d',
  );
});

test.skipIf(whyNoPython !== '')(
  `directories get the extended attributes of the others${whyNoPython}`,
  async () => {
    const trees = recycler();
    for (const tree of ['old', 'new']) mkdirSync(trees.path(`${tree}/d`), { recursive: true });
    const python = (call: string, ...args: string[]) =>
      execFileSync('python3', ['-c', `import os, sys; ${call}`, ...args], { encoding: 'utf8' });
    const set = 'os.setxattr(sys.argv[1], sys.argv[2], b"value")';
    python(set, trees.path('new/d'), 'user.new');
    python(set, trees.path('old/d'), 'user.old');
    await trees.recycle('old', 'new', changed('d'));
    const names = python('print(os.listxattr(sys.argv[1]))', trees.path('old/d'));
    expect(names.trim()).toBe("['user.new']");
  },
);
