import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { OUT_FORMAT } from '../../../src/rsync/arguments.ts';
import { LineSplitter, parseEntry } from '../../../src/rsync/itemize.ts';
import { ProgressReader, StatsReader } from '../../../src/rsync/progress.ts';
import { fileWork } from '../../support/file-work.ts';
import { scratchDirectory } from '../../support/scratch.ts';

test('a real transfer ends with all bytes and files, and correct totals', () => {
  const scratch = scratchDirectory();
  const work = fileWork(scratch);
  work.directory('source');
  work.directory('source/d');
  work.write('source/one', Buffer.alloc(2_000_000, 1));
  work.write('source/d/two', Buffer.alloc(1_000_000, 2));
  work.symlink('source/link', 'one');
  const output = execFileSync('rsync', [
    '-a',
    '--stats',
    '--no-human-readable',
    '--info=progress2',
    OUT_FORMAT,
    `${scratch}/source/`,
    join(scratch, 'target/'),
  ]);
  const reader = new ProgressReader();
  const stats = new StatsReader();
  const progress = [];
  let entries = 0;
  for (const line of new LineSplitter(true).push(output)) {
    const parsed = reader.read(line);
    if (parsed !== undefined) progress.push(parsed);
    else if (parseEntry(line) !== undefined) entries += 1;
    else stats.read(line);
  }
  expect(progress.at(-1)).toEqual({ bytes: 3_000_000, files: 2 });
  expect(progress.map(({ bytes }) => bytes)).toEqual(
    progress.map(({ bytes }) => bytes).sort((a, b) => a - b),
  );
  expect(stats.totals).toMatchObject({ files: 2, directories: 2, entries: 5 });
  expect(stats.totals.bytes).toBeGreaterThanOrEqual(3_000_000);
  expect(entries).toBe(5);
});
