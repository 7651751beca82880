import { expect, test } from 'vitest';
import { ENTRY_MARK } from '../../../src/rsync/arguments.ts';
import { ProgressReader } from '../../../src/rsync/progress.ts';

test.each([
  '',
  `${ENTRY_MARK}>f+++++++++|1|2026/11/22-10:00:00|  1 100% x y`,
  'total size is 100',
  '100 files',
  ' 50%',
  'sent 1 bytes  received 2 bytes',
])('%j is not progress', (line) => expect(new ProgressReader().read(line)).toBeUndefined());

test.each([
  ['         32768   1%   31.25MB/s    0:00:01', { bytes: 32_768, files: 0 }],
  [
    '       3000000 100%  190.73MB/s    0:00:00 (xfr#2, to-chk=0/5)',
    { bytes: 3_000_000, files: 2 },
  ],
  ['             0   0%    0.00kB/s    0:00:00 (xfr#1, ir-chk=1000/1002)', { bytes: 0, files: 1 }],
])('%j is progress', (line, progress) => expect(new ProgressReader().read(line)).toEqual(progress));

test('the count of files stays while a large file is under way, where rsync prints none', () => {
  const reader = new ProgressReader();
  reader.read('  100  1%  1.00MB/s  0:00:01 (xfr#7, to-chk=3/10)');
  expect(reader.read('  200  2%  1.00MB/s  0:00:01')).toEqual({ bytes: 200, files: 7 });
});
