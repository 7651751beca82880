import fc from 'fast-check';
import { expect, test } from 'vitest';
import { InodeTable } from '../../../../src/mirror/trees/inode-table.ts';

const half = fc.oneof(fc.nat(20), fc.integer({ min: 0, max: 2 ** 32 - 1 }));

test('a table of inodes finds each row again, whatever its size', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(3), half, fc.nat(2)), { minLength: 1, maxLength: 300 }),
      fc.constantFrom(1, 40),
      (inodes, times) => {
        const table = new InodeTable();
        const rows = new Map<string, number>();
        for (let round = 0; round < times; round += 1) {
          for (const [high, low, device] of inodes) {
            const inode = [high, (low + round * 1000) % 2 ** 32, device] as const;
            const known = rows.get(String(inode));
            expect(table.find(...inode)).toBe(known ?? -1);
            if (known !== undefined) continue;
            const row = table.add(...inode);
            table.disk[row] = rows.size;
            rows.set(String(inode), row);
          }
        }
        expect(table.count).toBe(rows.size);
        expect([...rows.values()].map((row) => table.disk[row])).toEqual([...rows.values()]);
      },
    ),
    { numRuns: 30 },
  );
});
