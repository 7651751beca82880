import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import {
  type Difference,
  type DifferencesOptions,
  differencesOf,
} from '../../../src/mirror/trees/tree-differences.ts';
import { diceOf } from '../../stress/dice.ts';
import { buildAwkwardTree } from '../../support/awkward-tree.ts';
import { fileWork } from '../../support/file-work.ts';
import { mayMount } from '../../support/privilege.ts';
import { changeAtRandom } from '../../support/random-tree.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { describeTree, type Tree } from '../../support/tree.ts';

interface Pair {
  home: string;
  before: string;
  after: string;
}

function twoTrees(home = scratchDirectory()): Pair {
  const pair = { home, before: join(home, 'before'), after: join(home, 'after') };
  mkdirSync(pair.before);
  return pair;
}

const clone = ({ before, after }: Pair, how = '-al') =>
  execFileSync('cp', [how, '--', before, after]);

async function found(
  { home, before, after }: Pair,
  options: Partial<DifferencesOptions> = {},
): Promise<Difference[]> {
  const differences: Difference[] = [];
  const all = differencesOf(
    { before, after },
    {
      directory: home,
      mayShare: true,
      checksum: false,
      signal: new AbortController().signal,
      onForbidden: () => {},
      ...options,
    },
  );
  for await (const difference of all) differences.push(difference);
  return differences;
}

const inShort = (differences: readonly Difference[]) =>
  differences.map(({ change, name }) => `${change} ${name}`);

/** What describes both trees byte by byte says. */
function expected(before: Tree, after: Tree, byContent: boolean): string[] {
  const changeOf = (name: string): string | undefined => {
    const [old, fresh] = [before.get(name), after.get(name)];
    if (old === undefined || fresh === undefined) return old === undefined ? 'new' : 'deleted';
    const differ = (...facts: string[]) => facts.some((fact) => old[fact] !== fresh[fact]);
    if (differ('type', 'size', 'target', 'device')) return 'changed';
    if (fresh['type'] === 'file' && differ('mtime')) return 'changed';
    if (byContent && differ('sha256')) return 'changed';
    return differ('mode', 'owner', 'mtime') ? 'attributes' : undefined;
  };
  return [...new Set([...before.keys(), ...after.keys()])].flatMap((name) => {
    const change = changeOf(name);
    return change === undefined ? [] : [`${change} ${name}`];
  });
}

describe.each([
  ['that share files', '-al', true],
  ['that share none', '-a', false],
])('trees %s', (_, how, mayShare) => {
  test('differ in what a look at every byte of both shows', async () => {
    const dice = diceOf(`differences, cp ${how}`);
    for (let round = 0; round < 4; round += 1) {
      const pair = twoTrees();
      for (let count = 0; count < 30; count += 1) changeAtRandom(fileWork(pair.before), dice);
      clone(pair, how);
      for (let count = dice.whole(0, 12); count > 0; count -= 1)
        changeAtRandom(fileWork(pair.after), dice);
      const [before, after] = [describeTree(pair.before), describeTree(pair.after)];
      for (const checksum of [false, true]) {
        const differences = inShort(await found(pair, { mayShare, checksum }));
        expect(differences.toSorted()).toEqual(expected(before, after, checksum).toSorted());
      }
    }
  });

  test('may have any name', async () => {
    const pair = twoTrees();
    buildAwkwardTree(pair.after);
    const options = { mayShare };
    const names = (await found(pair, options)).map(({ name }) => name);
    expect(new Set(names)).toEqual(new Set(describeTree(pair.after).keys()));
    const back = await found({ ...pair, before: pair.after, after: pair.before }, options);
    expect(back.map(({ name }) => name)).toEqual(names);
  });
});

test('a file with the same size and time is believed to be the same, unless its content is compared', async () => {
  const pair = twoTrees();
  const [before, after] = [fileWork(pair.before), fileWork(pair.after)];
  before.write('file', 'one');
  before.mtime('file', '1500000000.5');
  before.mtime('.', '1500000000.5');
  clone(pair);
  after.remove('file');
  after.write('file', 'two');
  after.mtime('file', '1500000000.5');
  after.mtime('.', '1500000000.5');
  expect(await found(pair)).toEqual([]);
  expect(inShort(await found(pair, { checksum: true }))).toEqual(['changed file']);
  after.mode('file', 0o600);
  expect(inShort(await found(pair))).toEqual(['attributes file']);
  expect(inShort(await found(pair, { checksum: true }))).toEqual(['changed file']);
});

test('a symlink in the place of a directory is not followed', async () => {
  const pair = twoTrees();
  const [before, after] = [fileWork(pair.before), fileWork(pair.after)];
  before.directory('a');
  before.write('a/file', 'same');
  before.symlink('b', 'a');
  clone(pair);
  after.remove('a');
  after.remove('b');
  after.directory('b');
  after.write('b/file', 'same');
  after.symlink('a', 'b');
  const differences = (await found(pair)).filter(({ name }) => name !== '.');
  expect(inShort(differences)).toEqual(['changed a', 'deleted a/file', 'changed b', 'new b/file']);
  expect(differences[0]).toMatchObject({ type: 'symlink', typeBefore: 'directory' });
});

test.runIf(mayMount)(
  'files of other filesystems with the same inode numbers are not the same',
  async () => {
    const pair = twoTrees();
    fileWork(pair.before).directory('mounted');
    clone(pair);
    for (const [tree, size] of [
      [pair.before, 1],
      [pair.after, 2],
    ] as const) {
      const point = join(tree, 'mounted');
      await execa('mount', ['-t', 'tmpfs', 'none', point]);
      fileWork(point).write('file', 'x'.repeat(size));
      fileWork(point).mtime('.', '1500000000');
    }
    expect(inShort(await found(pair))).toEqual(['changed mounted/file']);
  },
);

test.runIf(mayMount)(
  'directories that list the same names in another order do not differ',
  async () => {
    const place = scratchDirectory();
    // It lists the newest names first.
    await execa('mount', ['-t', 'tmpfs', 'none', place]);
    const pair = twoTrees(place);
    const names = Array.from({ length: 500 }, (_, at) => `file-${at}`);
    const [before, after] = [fileWork(pair.before), fileWork(pair.after)];
    mkdirSync(pair.after);
    for (const name of names) before.write(name, name);
    for (const name of names.toReversed())
      linkSync(join(pair.before, name), join(pair.after, name));
    for (const work of [before, after]) work.mtime('.', '1500000000');
    const listed = [pair.before, pair.after].map((tree) =>
      execFileSync('ls', ['-U', tree], { encoding: 'utf8' }),
    );
    expect(listed[0]).not.toEqual(listed[1]);
    expect(await found(pair)).toEqual([]);
  },
);
