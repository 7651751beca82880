import { expect, test } from 'vitest';
import { type PoolFile, Stanzas } from '../../../src/checks/apt/stanzas.ts';

/** A source with so many files. */
function sourceOf(count: number): string {
  const files = Array.from({ length: count }, (_, at) => ` ${'0'.repeat(64)} 1 file${at}`);
  return ['Package: large', 'Directory: pool/l', 'Checksums-Sha256:', ...files, ''].join('\n');
}

test('a source has a bounded number of files, because all of them are kept until its end', () => {
  const found: PoolFile[] = [];
  const stanzas = new Stanzas((file) => found.push(file));
  stanzas.add(sourceOf(10_000));
  expect(found).toHaveLength(10_000);
  expect(() => stanzas.add(sourceOf(10_001))).toThrow('it has a source of more than 10000 files');
});
