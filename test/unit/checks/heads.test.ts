import { expect, test } from 'vitest';
import { Heads } from '../../../src/checks/heads.ts';

test('of one directory and kind, the first head counts', () => {
  const heads = new Heads();
  heads.add('apt', 'dists/stable/InRelease');
  heads.add('apt', 'dists/stable/Release');
  heads.add('rpm-md', 'dists/stable/repomd.xml');
  expect(heads.list).toEqual([
    { kind: 'apt', name: 'dists/stable/InRelease' },
    { kind: 'rpm-md', name: 'dists/stable/repomd.xml' },
  ]);
});

test('a tree of a hostile upstream has 10,000 heads of a kind at most', () => {
  const heads = new Heads();
  for (let number = 0; number < 100_000; number += 1) heads.add('apt', `${number}/Release`);
  expect(heads.list).toHaveLength(10_000);
});
