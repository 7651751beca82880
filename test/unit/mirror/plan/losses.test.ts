import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bothLosses, LossCount } from '../../../../src/mirror/plan/losses.ts';

/** A step of a plan: a file of this name and size is deleted, or new. */
const steps = fc.array(
  fc.record({
    isNew: fc.boolean(),
    name: fc.constantFrom('a/1', 'a/2', 'b/1', 'b/2', 'b/c/1', '1'),
    size: fc.constantFrom(0, 1, 2),
  }),
);

function count(
  plan: { isNew: boolean; name: string; size: number }[],
  watched: string[] = [],
  hasTree = true,
) {
  const counter = new LossCount(watched, hasTree);
  for (const { isNew, name, size } of plan) {
    if (isNew) counter.addNew(name, size);
    else counter.addDeleted(name, size);
  }
  return counter.losses;
}

test('a file that is deleted here and new there is not lost, in whatever order rsync reports it', () => {
  const [gone, moved] = [
    { isNew: false, name: 'old/pool/file', size: 7 },
    { isNew: true, name: 'new/pool/file', size: 7 },
  ];
  expect(count([gone, moved])).toEqual({ '': { files: 0, bytes: 0, growth: 0, moreFiles: 0 } });
  expect(count([moved, gone])).toEqual({ '': { files: 0, bytes: 0, growth: 0, moreFiles: 0 } });
  expect(count([gone, { ...moved, size: 8 }])).toEqual({
    '': { files: 1, bytes: 7, growth: 1, moreFiles: 0 },
  });
});

test('what leaves a directory that is guarded on its own is lost there', () => {
  const plan = [
    { isNew: false, name: latin1('pöl/file'), size: 7 },
    { isNew: true, name: latin1('pölside/file'), size: 7 },
  ];
  expect(count(plan, ['pöl'])).toEqual({
    '': { files: 0, bytes: 0, growth: 0, moreFiles: 0 },
    pöl: { files: 1, bytes: 7, growth: -7, moreFiles: -1 },
  });
});

test('a file that shrinks makes only the directories around it smaller', () => {
  const counter = new LossCount(['pool', 'dists'], true);
  counter.addChanged('pool/file', 7, 3);
  expect(counter.losses).toEqual({
    '': { files: 0, bytes: 0, growth: -4, moreFiles: 0 },
    pool: { files: 0, bytes: 0, growth: -4, moreFiles: 0 },
    dists: { files: 0, bytes: 0, growth: 0, moreFiles: 0 },
  });
});

test('the losses do not depend on the order, and are what deletions have more than additions', () => {
  fc.assert(
    fc.property(steps, fc.nat(), (plan, seed) => {
      const { '': loss } = count(plan);
      const turned = plan.toSorted((a, b) => hash(a, seed) - hash(b, seed));
      expect(count(turned)).toEqual({ '': loss });
      const balance = new Map<string, number>();
      for (const { isNew, name, size } of plan) {
        const mark = `${name.split('/').at(-1)} ${size}`;
        balance.set(mark, (balance.get(mark) ?? 0) + (isNew ? -1 : 1));
      }
      const lost = [...balance.values()].reduce((sum, more) => sum + Math.max(0, more), 0);
      expect(loss?.files).toBe(lost);
    }),
  );
});

test('a tree that is new only grows', () => {
  fc.assert(
    fc.property(steps, (plan) => {
      const additions = plan.filter(({ isNew }) => isNew);
      expect(count(additions, ['b'], false)).toEqual(count(additions, ['b']));
    }),
  );
});

test('the losses of two steps add up', () => {
  expect(
    bothLosses(
      { '': { files: 1, bytes: 2, growth: -2, moreFiles: -1 } },
      {
        '': { files: 3, bytes: 4, growth: 5, moreFiles: 4 },
        pool: { files: 1, bytes: 1, growth: -1, moreFiles: -1 },
      },
    ),
  ).toEqual({
    '': { files: 4, bytes: 6, growth: 3, moreFiles: 3 },
    pool: { files: 1, bytes: 1, growth: -1, moreFiles: -1 },
  });
});

/** The bytes of a name, one character each. */
function latin1(name: string): string {
  return Buffer.from(name).toString('latin1');
}

function hash({ name, size, isNew }: { name: string; size: number; isNew: boolean }, seed: number) {
  return ((name.length * 7 + size * 13 + (isNew ? 5 : 3)) * (1 + (seed % 97))) % 31;
}
