import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { writeWhole } from '../../../src/system/files.ts';
import { scratchDirectory } from '../../support/scratch.ts';

test('a file is replaced whole, with the mode that it shall have whatever the umask says', () => {
  const path = join(scratchDirectory(), 'file');
  const before = process.umask(0o077);
  try {
    writeWhole(path, 'one');
    writeWhole(path, 'x'.repeat(100_000), 0o640);
  } finally {
    process.umask(before);
  }
  expect(readFileSync(path, 'utf8')).toHaveLength(100_000);
  expect(statSync(path).mode & 0o777).toBe(0o640);
});
