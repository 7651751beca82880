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
import { parseSource } from '../../../src/rsync/source.ts';
import { fileWork } from '../../support/file-work.ts';
import { scratchDirectory } from '../../support/scratch.ts';

function transferOf(
  source: string,
  given: readonly string[] = [],
  without: readonly DefaultName[] = [],
) {
  return { source: parseSource(source), without: new Set(without), options: given };
}

test("a listed directory is not gone into, even with the user's own --recursive", () => {
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

test('what is only linked or copied from elsewhere is told of like what is transferred', () => {
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
  /** What a real rsync takes of these names. */
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
  ].sort();

  test('names that only look a little like them stay', () => {
    expect(taken(meant)).toEqual(meant);
  });

  test('rsync names its own so: by far most of them are left out', () => {
    // mkstemp(3) takes 62 letters and digits: 26 small ones six times over is 0.5 %.
    const suffix = fc
      .array(fc.constantFrom(...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'), {
        minLength: 6,
        maxLength: 6,
      })
      .map((letters) => letters.join(''));
    const names = fc
      .sample(fc.tuple(fc.constantFrom('name', 'a.deb', '.hidden', 'with space'), suffix), 300)
      .map(([name, end]) => `.${name}.${end}`);
    expect(taken(names)).toEqual(
      [...new Set(names)].filter((name) => /\.[a-z]{6}$/.test(name)).sort(),
    );
  });

  test('--without temp-excludes takes them too', () => {
    expect(taken(['.name.AbCdEf'], ['temp-excludes'])).toEqual(['.name.AbCdEf']);
  });
});
