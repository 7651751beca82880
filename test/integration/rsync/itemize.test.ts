import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { planArguments } from '../../../src/rsync/arguments.ts';
import { type Entry, LineSplitter, parseEntry, parseLeftOut } from '../../../src/rsync/itemize.ts';
import { parseSource } from '../../../src/rsync/source.ts';
import { awkwardNames } from '../../support/awkward-tree.ts';
import { fileWork } from '../../support/file-work.ts';
import { scratchDirectory } from '../../support/scratch.ts';

/** Any file name, one character per byte. */
const byteName = fc
  .array(fc.oneof(fc.integer({ min: 1, max: 255 }), fc.constantFrom(10, 13, 35, 92, 124, 48, 49)), {
    minLength: 1,
    maxLength: 40,
  })
  .map((bytes) => String.fromCharCode(...bytes).replaceAll('/', '_'))
  .filter((name) => name !== '.' && name !== '..');

function plan(
  source: string,
  target: string,
  options: string[] = [],
): { output: Buffer; entries: Entry[] } {
  const transfer = { source: parseSource(source), without: new Set<never>(), options };
  const output = execFileSync('rsync', planArguments(transfer, target), {
    env: { ...process.env, LC_ALL: 'C' },
  });
  return { output, entries: entriesOf([output]) };
}

function entriesOf(chunks: readonly Buffer[]): Entry[] {
  const splitter = new LineSplitter();
  return chunks
    .flatMap((chunk) => splitter.push(chunk))
    .map(parseEntry)
    .filter((entry) => entry !== undefined);
}

function directories(): { source: string; target: string } {
  const scratch = scratchDirectory();
  const [source, target] = [join(scratch, 'source'), join(scratch, 'target')];
  mkdirSync(source);
  mkdirSync(target);
  return { source, target };
}

describe('names come back byte for byte from a real rsync', () => {
  test('of new entries, whatever bytes they contain', () => {
    fc.assert(
      fc.property(fc.uniqueArray(byteName, { minLength: 1, maxLength: 30 }), (names) => {
        const { source, target } = directories();
        for (const name of names) fileWork(source).write(name, '');
        const { entries } = plan(source, target);
        const files = entries.filter(({ type }) => type === 'file');
        expect(files.map(({ name }) => name).sort()).toEqual([...names].sort());
      }),
      { numRuns: 15 },
    );
  });

  test('of deleted files and directories', () => {
    fc.assert(
      fc.property(fc.uniqueArray(byteName, { minLength: 1, maxLength: 20 }), (names) => {
        const { source, target } = directories();
        names.forEach((name, at) => {
          if (at % 2 === 0) fileWork(target).write(name, '');
          else fileWork(target).directory(name);
        });
        const deleted = plan(source, target).entries.filter(({ change }) => change === 'deleted');
        expect(deleted.map(({ name, type }) => `${type} ${name}`).sort()).toEqual(
          names.map((name, at) => `${at % 2 === 0 ? 'file' : 'directory'} ${name}`).sort(),
        );
      }),
      { numRuns: 15 },
    );
  });

  test('of what it leaves out', () => {
    const isPlain = (name: string) => !name.includes('" -> "');
    // rsync escapes no carriage return at the beginning of a line.
    const name = fc.oneof(byteName.filter(isPlain), fc.constantFrom('\r', '\rx', '\r\n', 'x\r'));
    const names = fc.uniqueArray(name, { minLength: 3, maxLength: 20 });
    fc.assert(
      fc.property(names, (given) => {
        const { source, target } = directories();
        const [big = '', ...links] = given;
        fileWork(source).write(big, 'x'.repeat(2000));
        for (const name of links) fileWork(source).symlink(name, '/etc');
        const { output } = plan(source, target, ['--max-size=1k']);
        const found = new LineSplitter().push(output).map(parseLeftOut);
        const leftOut = found.filter((one) => one !== undefined);
        expect(leftOut.map(({ why, names: [name] }) => `${why} ${name}`).sort()).toEqual(
          [`max-size ${big}`, ...links.map((name) => `unsafe-link ${name}`)].sort(),
        );
      }),
      { numRuns: 30 },
    );
  });

  test('of awkward entries, wherever the output is cut into chunks', () => {
    const { source, target } = directories();
    for (const name of awkwardNames) fileWork(source).write(name, 'x');
    const { output, entries } = plan(source, target);
    expect(
      entries
        .filter(({ type }) => type === 'file')
        .map(({ name }) => name)
        .sort(),
    ).toEqual([...awkwardNames].sort());
    fc.assert(
      fc.property(fc.array(fc.nat(output.length), { maxLength: 50 }), (cuts) => {
        const borders = [0, ...cuts.sort((a, b) => a - b), output.length];
        const chunks = borders.slice(1).map((end, at) => output.subarray(borders[at], end));
        expect(entriesOf(chunks)).toEqual(entries);
      }),
    );
    expect(entriesOf(Array.from(output, (byte) => Buffer.of(byte)))).toEqual(entries);
  });
});

test('each kind of change is distinguished', () => {
  const { source, target } = directories();
  const [here, there] = [fileWork(source), fileWork(target)];
  for (const work of [here, there]) {
    work.directory('d');
    work.write('same', 'same');
    work.write('mode', 'mode');
    work.write('content', work === here ? 'longer content' : 'content');
    work.symlink('link', work === here ? 'one' : 'two');
    work.mtime('same', '1600000000');
    work.mtime('mode', '1600000000');
  }
  here.mode('mode', 0o600);
  here.fifo('pipe');
  here.write('d/new', 'four');
  there.write('d/gone', '');
  there.directory('was directory');
  there.write('was directory/x', '');
  here.write('was directory', 'is file');
  const told = plan(source, target).entries.filter(({ name }) => !['.', 'd'].includes(name));
  expect(
    told.map(({ change, type, name, size }) => `${change} ${type} ${name} ${size}`).sort(),
  ).toEqual(
    [
      'attributes file mode 4',
      'changed file content 14',
      'changed symlink link 3',
      'deleted file d/gone 0',
      'deleted file was directory/x 0',
      'new file d/new 4',
      'new file was directory 7',
      'new special pipe 0',
    ].sort(),
  );
});
