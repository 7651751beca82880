import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { writeExcludeList } from '../../../src/mirror/plan/exclude-list.ts';
import { applyArguments, wholePassArguments } from '../../../src/rsync/arguments.ts';
import { LineSplitter, parseEntry } from '../../../src/rsync/itemize.ts';
import { fileWork } from '../../support/file-work.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { transferOf } from '../../support/transfer.ts';

test("rsync does not recurse into a listed directory, even with the user's own --recursive", () => {
  const scratch = scratchDirectory();
  const [source, tree] = [join(scratch, 'source'), join(scratch, 'tree')];
  mkdirSync(source);
  mkdirSync(tree);
  fileWork(source).directory('d');
  fileWork(source).write('d/not listed', 'x');
  fileWork(scratch).write('list', './d\0');
  const transfer = transferOf(source, ['--recursive', '-r', '--archive']);
  execFileSync(
    'rsync',
    applyArguments(
      transfer,
      tree,
      { path: join(scratch, 'list'), namesNoEntry: false },
      {
        from: [],
        how: 'link',
        partial: join(scratch, 'partial'),
      },
    ),
  );
  expect(readdirSync(tree)).toEqual(['d']);
  expect(readdirSync(join(tree, 'd'))).toEqual([]);
});

test('entries that are only linked or copied from elsewhere are itemized like transferred ones', () => {
  const scratch = scratchDirectory();
  const work = fileWork(scratch);
  for (const directory of ['source', 'base']) work.directory(directory);
  for (const file of ['source/same', 'base/same']) {
    work.write(file, 'same');
    work.mtime(file, '1600000000');
  }
  work.write('list', './same\0');
  for (const how of ['link', 'copy'] as const) {
    const output = execFileSync(
      'rsync',
      applyArguments(
        transferOf(join(scratch, 'source')),
        join(scratch, how),
        { path: join(scratch, 'list'), namesNoEntry: false },
        { from: [join(scratch, 'base')], how, partial: join(scratch, 'partial') },
      ),
    );
    const files = new LineSplitter()
      .push(output)
      .map(parseEntry)
      .filter((entry) => entry?.type === 'file');
    expect(files).toEqual([expect.objectContaining({ name: 'same', size: 4 })]);
  }
});

test('names on an exclude list exclude just these entries, whatever bytes they contain', () => {
  const byteName = fc
    .array(fc.oneof(fc.integer({ min: 1, max: 255 }), fc.constantFrom(10, 13, 42, 63, 91, 92)), {
      minLength: 1,
      maxLength: 20,
    })
    .map((bytes) => String.fromCharCode(...bytes).replaceAll('/', '_'))
    .filter((name) => name !== '.' && name !== '..');
  // A line break in a name on the list stands for any character, so no other name has its length.
  const distinct = fc.uniqueArray(byteName, {
    minLength: 2,
    maxLength: 10,
    selector: ({ length }) => length,
  });
  fc.assert(
    fc.property(distinct, ([excluded = '', ...others]) => {
      const scratch = scratchDirectory();
      const [source, tree] = [join(scratch, 'source'), join(scratch, 'tree')];
      const work = fileWork(source);
      mkdirSync(source);
      work.directory('below');
      for (const name of [excluded, ...others]) work.write(name, '');
      if (excluded !== 'below') work.write(`below/${excluded}`, '');
      const list = join(scratch, 'list');
      writeExcludeList(list, [excluded]);
      const options = { from: [], how: 'link', partial: join(scratch, 'partial') } as const;
      execFileSync('rsync', wholePassArguments(transferOf(source), tree, list, options));
      const found = readdirSync(tree, { encoding: 'latin1' }).filter((name) => name !== 'below');
      expect(found.sort()).toEqual([...others].sort());
      expect(readdirSync(join(tree, 'below'), { encoding: 'latin1' })).toEqual([excluded]);
    }),
    { numRuns: 20, examples: [[['a[b]*?\\', 'x']], [['#x', 'y2']], [['- x', 'y']]] },
  );
});
