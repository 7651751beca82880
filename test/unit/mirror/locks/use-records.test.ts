import fc from 'fast-check';
import { expect, test } from 'vitest';
import { UseRecords } from '../../../../src/mirror/locks/use-records.ts';

const inode = fc.bigInt({ min: 1n, max: 2n ** 64n - 1n });
const size = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const name = fc
  .uint8Array({ minLength: 1, maxLength: 20 })
  .map((bytes) => Buffer.from(bytes.map((byte) => byte || 1)).toString('latin1'));

const whole = fc.record({
  type: fc.constantFrom('f', 'd', 'l', 'U'),
  device: size,
  inode,
  links: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
  blocks: size,
  size,
});
const short = fc.record({ inode, name });

test('records of an entry are read exactly, wherever the chunks end', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(whole, short), { maxLength: 20 }),
      fc.integer({ min: 1, max: 60 }),
      (records, chunk) => {
        const text = records.map((record) =>
          'name' in record
            ? `${record.inode} ${record.name}\0`
            : `${record.type}${record.device} ${record.inode} ${record.links} ${record.blocks} ${record.size}\0`,
        );
        const read: object[] = [];
        const numberOf = ({ high, low }: { high: number; low: number }) =>
          BigInt(high) * 2n ** 32n + BigInt(low);
        const reader = new UseRecords({
          onWhole: ({ inode, type, ...others }) =>
            read.push({ ...others, type: String.fromCharCode(type), inode: numberOf(inode) }),
          onShort: (inode, nameOf) => read.push({ inode: numberOf(inode), name: nameOf() }),
        });
        const bytes = Buffer.from(text.join(''), 'latin1');
        for (let at = 0; at < bytes.length; at += chunk)
          reader.read(bytes.subarray(at, at + chunk));
        expect(read).toEqual(records);
      },
    ),
  );
});
