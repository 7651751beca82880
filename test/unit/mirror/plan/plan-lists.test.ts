import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { PlanLists } from '../../../../src/mirror/plan/plan-lists.ts';
import { scratchDirectory } from '../../../support/scratch.ts';

function listed(lists: PlanLists): string[] {
  return readFileSync(lists.transfers.path, 'latin1').split('\0').slice(0, -1);
}

describe('the lists of a plan', () => {
  test('return names unchanged, however long the list is', () => {
    const lists = new PlanLists(scratchDirectory(), './');
    const names = Array.from(
      { length: 20_000 },
      (_, at) => `d${at % 7}/${'\xe9'.repeat(at % 90)}${at}`,
    );
    for (const one of names)
      lists.add({ change: 'deleted', type: 'file', name: one, size: 0, modified: '' });
    lists.close();
    expect([...lists.removals()].map((removal) => removal.name)).toEqual(names);
  });

  test('list a directory that loses an entry with its parents, but not a deleted directory', () => {
    const lists = new PlanLists(scratchDirectory(), './');
    for (const [type, one] of [
      ['file', 'a/b/gone'],
      ['file', 'x/y/gone'],
      ['directory', 'x/y'],
    ] as const) {
      lists.add({ change: 'deleted', type, name: one, size: 0, modified: '' });
    }
    lists.close();
    expect(new Set(listed(lists))).toEqual(new Set(['./a', './a/b', './x']));
  });
});
