import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  applyArguments,
  type DefaultName,
  wholePassArguments,
} from '../../../src/rsync/arguments.ts';
import { LineSplitter, parseEntry } from '../../../src/rsync/itemize.ts';
import { isTemporary } from '../../../src/rsync/temporary-names.ts';
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

describe("an upstream's temporary files", () => {
  /** The names among these that a real rsync transfers. */
  function taken(names: readonly string[], without: readonly DefaultName[] = []): string[] {
    const scratch = scratchDirectory();
    const [source, tree] = [join(scratch, 'source'), join(scratch, 'tree')];
    mkdirSync(source);
    for (const name of names) fileWork(source).write(name, '');
    execFileSync(
      'rsync',
      wholePassArguments(transferOf(source, [], without), tree, {
        from: [],
        how: 'link',
        partial: join(scratch, 'partial'),
      }),
    );
    return readdirSync(tree).sort();
  }

  const meant = [
    '.name.backup',
    '.config.x86_64',
    '.a.b',
    'name.AbCdEf',
    '.name',
    '.bashrc',
    '.x.abcdefg',
    '.x.ABCDE',
    '.AbCdEf',
    '.file.2026-11',
    '.index.sha256',
    '.sums.SHA512',
    '.README.Static',
  ].sort();

  test('are not confused with similar names', () => {
    expect(taken(meant)).toEqual(meant);
  });

  test('are recognized in most cases, as rsync names them, by a plan and by rsync alike', () => {
    // mkstemp(3) uses 62 letters and digits. A small letter and, behind the first, a capital one come
    // in nine of ten cases.
    const suffix = fc
      .array(fc.constantFrom(...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'), {
        minLength: 6,
        maxLength: 6,
      })
      .map((letters) => letters.join(''));
    const names = fc
      .sample(fc.tuple(fc.constantFrom('name', 'a.deb', '.hidden', 'with space'), suffix), 300)
      .map(([name, end]) => `.${name}.${end}`);
    const content = names.filter((name) => !isTemporary({ name, type: 'file' }));
    expect(taken(names)).toEqual([...new Set(content)].sort());
    expect(
      content.filter((name) => /[a-z]/.test(name.slice(-6)) && /[A-Z]/.test(name.slice(-5))),
    ).toEqual([]);
    expect(content.length).toBeLessThan(60);
  });

  test('are no directories', () => {
    const scratch = scratchDirectory();
    fileWork(scratch).directory('source');
    fileWork(scratch).directory('source/.d.aBcDef');
    const tree = join(scratch, 'tree');
    const options = { from: [], how: 'link', partial: join(scratch, 'partial') } as const;
    execFileSync('rsync', wholePassArguments(transferOf(join(scratch, 'source')), tree, options));
    expect(readdirSync(tree)).toEqual(['.d.aBcDef']);
    expect(isTemporary({ name: '.d.aBcDef', type: 'directory' })).toBe(false);
  });

  test('are transferred with --without temp-excludes', () => {
    expect(taken(['.name.AbCdEf'], ['temp-excludes'])).toEqual(['.name.AbCdEf']);
  });
});
