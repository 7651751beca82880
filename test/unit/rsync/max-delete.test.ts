import { expect, test } from 'vitest';
import { maxDeleteOf } from '../../../src/rsync/max-delete.ts';

test.each([
  [[], undefined],
  [['-z', '--max-delete=4000', '--bwlimit=5m'], 4000],
  [['--max-delete', '7'], 7],
  [['--max-delete=7', '--max-delete=3'], 3],
  [['--max-delete=0'], 0],
  [['--max-delete=-1'], 0],
  [['--exclude', '--max-delete=5'], undefined],
  // Only a hand has written that into mirror.json.
  [['--max-delete=some'], undefined],
])('%j lets %s files vanish', (options, limit) => {
  expect(maxDeleteOf(options)).toBe(limit);
});
