import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { PlanFigures } from '../../../../src/mirror/plan/plan.ts';
import { guardAgainstShrinking } from '../../../../src/mirror/plan/shrink-guard.ts';

/** A plan with these deletions, after which `files` files of `bytes` bytes in all are left. */
function plan(files: number, bytes: number, deletedFiles = 0, deletedBytes = 0): PlanFigures {
  return {
    newFiles: 0,
    changedFiles: 0,
    otherChanges: 0,
    deletedFiles,
    transferBytes: 0,
    deletedBytes,
    newInodes: 0,
    linkedFiles: 0,
    source: { files, directories: 1, entries: files + 1, bytes },
    leftOut: [],
    lost: { '': { files: deletedFiles, bytes: deletedBytes, growth: 0, moreFiles: 0 } },
    writableByAll: { count: 0, names: [] },
  };
}

const refused = expect.objectContaining({ code: 'SHRUNKEN_SOURCE' });

describe('the shrink guard', () => {
  test.each([
    ['a third of the files', plan(66, 1000, 34, 0), 30],
    ['a third of the bytes, by one file', plan(99, 660, 1, 340), 30],
    ['all bytes, though every file is still there', plan(100, 0), 30],
    ['files that were replaced by as many others', plan(100, 1000, 100, 1000), 30],
    ['one file, where nothing may vanish', plan(99, 990, 1, 10), 0],
    ['everything, although everything may', plan(0, 0, 100, 1000), 100],
  ])('refuses %s', (_, figures, limit) => {
    expect(() =>
      guardAgainstShrinking(figures, { files: 100, bytes: 1000 }, { maxPercent: limit }),
    ).toThrow(refused);
  });

  test.each([
    ['exactly the limit', plan(70, 700, 30, 300), 30],
    ['growth', plan(1000, 10_000), 0],
    ['almost everything, where everything may', plan(1, 1, 99, 999), 100],
  ])('lets %s pass', (_, figures, limit) => {
    guardAgainstShrinking(figures, { files: 100, bytes: 1000 }, { maxPercent: limit });
  });

  test('never reports more than all, whatever lies in the tree that history does not count', () => {
    expect(() =>
      guardAgainstShrinking(plan(3, 60, 4, 150), { files: 3, bytes: 100 }, { maxPercent: 30 }),
    ).toThrow(/100\.0 % of the files and 100\.0 % of the bytes would vanish/);
  });

  test('an empty mirror cannot shrink', () => {
    guardAgainstShrinking(plan(0, 0), { files: 0, bytes: 0 }, { maxPercent: 0 });
  });

  test('what passes a limit passes every higher one', () => {
    const size = fc.nat(1000);
    fc.assert(
      fc.property(
        size,
        size,
        size,
        size,
        fc.nat(100),
        fc.nat(100),
        (files, bytes, gone, goneBytes, low, more) => {
          const passes = (limit: number): boolean => {
            try {
              guardAgainstShrinking(
                plan(files, bytes, gone, goneBytes),
                { files: 500, bytes: 500 },
                { maxPercent: limit },
              );
              return true;
            } catch {
              return false;
            }
          };
          if (passes(low)) expect(passes(Math.min(100, low + more))).toBe(true);
        },
      ),
    );
  });
});
