import { expect, test } from 'vitest';
import { parseProgress } from '../../../src/rsync/progress.ts';

test.each([
  '',
  '@|>f+++++++++|1|2026/11/22-10:00:00|  1 100% x y',
  'total size is 100',
  '100 files',
  ' 50%',
  'sent 1 bytes  received 2 bytes',
])('%j is no progress', (line) => expect(parseProgress(line)).toBeUndefined());

test.each([
  ['         32768   1%   31.25MB/s    0:00:01', { bytes: 32_768, files: 0 }],
  [
    '       3000000 100%  190.73MB/s    0:00:00 (xfr#2, to-chk=0/5)',
    { bytes: 3_000_000, files: 2 },
  ],
  ['             0   0%    0.00kB/s    0:00:00 (xfr#1, ir-chk=1000/1002)', { bytes: 0, files: 1 }],
])('%j is', (line, progress) => expect(parseProgress(line)).toEqual(progress));
