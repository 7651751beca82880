import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ListedChanges } from '../../../src/mirror/listed/listed-changes.ts';
import { scratchDirectory } from '../../support/scratch.ts';

interface Line {
  name: string;
  type: string;
  size: number;
  time: number;
}

const session = { inherit: [], signal: new AbortController().signal };

function textOf(lines: readonly string[]): string {
  return ['[Version]', '2', '', '[Files]', ...lines, '', '[Checksums SHA1]', '', '[End]', ''].join(
    '\n',
  );
}

const lineOf = ({ name, type, size, time }: Line) => [time, type, size, name].join('\t');

/** What has changed from list to list, in the order in which it is told. */
async function changesOf(which: 'last' | 'all', ...lists: string[]) {
  const home = scratchDirectory();
  const work = new ListedChanges(home, session, (name) => name === 'ignored');
  const paths = lists.map((text, at) => {
    writeFileSync(join(home, `${at}`), text, 'latin1');
    return Buffer.from(join(home, `${at}`));
  });
  try {
    const isSame: boolean[] = [];
    for (const [at, path] of paths.entries())
      if (at > 0) isSame.push(await work.add(paths[at - 1] ?? path, path));
    expect(isSame).toEqual(lists.slice(1).map((text, at) => text === lists[at]));
    const told: { name: string; before: string; after: string }[] = [];
    const show = (entry?: { type: string; size: number; time: number }) =>
      entry === undefined ? '' : `${entry.type[0]} ${entry.size} ${entry.time}`;
    const note = ({ name, before, after }: Parameters<Parameters<typeof work.eachOfAll>[0]>[0]) =>
      told.push({ name, before: show(before.entry), after: show(after.entry) });
    await (which === 'last' ? work.eachOfLast(note) : work.eachOfAll(note));
    return told;
  } finally {
    work.close();
  }
}

const entry = fc.record({
  type: fc.constantFrom('f', 'd', 's'),
  size: fc.integer({ min: 0, max: 2 }),
  time: fc.integer({ min: 0, max: 2 }),
});

/** Trees of lines, by name; some entries move to another place in the list. */
const lists = fc.array(
  fc.dictionary(
    fc.stringMatching(/^[ab](-[a-c])?(\/[a-c\xe9]{1,2}){0,2}$/),
    entry.map(({ type, ...rest }) => ({ ...rest, type: type === 's' ? 'l' : type })),
    { maxKeys: 40 },
  ),
  { minLength: 2, maxLength: 4 },
);

describe('the difference of two lists', () => {
  test('is what each name has in them, in any order of the lines', async () => {
    await fc.assert(
      fc.asyncProperty(lists, fc.infiniteStream(fc.nat()), async (generations, dice) => {
        const shuffled = generations.map((tree) => {
          const lines = Object.entries(tree).map(([name, facts]) => lineOf({ name, ...facts }));
          const from = (dice.next().value ?? 0) % Math.max(1, lines.length);
          return textOf([...lines.slice(from), ...lines.slice(0, from)]);
        });
        const [before = {}, after = {}] = generations.slice(-2);
        const show = (facts?: { type: string; size: number; time: number }) =>
          facts === undefined
            ? ''
            : `${{ f: 'f', d: 'd', l: 's' }[facts.type]} ${facts.size} ${facts.time}`;
        const expected = [...new Set([...Object.keys(before), ...Object.keys(after)])]
          .map((name) => ({ name, before: show(before[name]), after: show(after[name]) }))
          .filter((change) => change.before !== change.after);
        const told = await changesOf('last', ...shuffled);
        expect(told).toHaveLength(expected.length);
        expect(new Set(told)).toEqual(new Set(expected));
        const places = new Map(told.map(({ name }, at) => [name, at]));
        for (const [name, at] of places)
          expect(places.get(name.replace(/\/[^/]*$/, '')) ?? 0).toBeLessThanOrEqual(at);
      }),
      { numRuns: 60 },
    );
  });

  test('is the same for lists that are too long to be sorted in memory, also of names in bytes', async () => {
    const name = (at: number) => `d${at % 100}/\xff${'\xe9'.repeat(at % 40)}${at * 7919}`;
    const line = (time: number, at: number) => `${time}\tf\t${at}\t${name(at)}`;
    const all = Array.from({ length: 30_000 }, (_, at) => at);
    const told = await changesOf(
      'last',
      textOf(all.map((at) => line(1, at))),
      textOf(all.map((at) => line(at % 3 === 0 ? 1 : 2, at)).reverse()),
    );
    const changed = all.filter((at) => at % 3 !== 0).map(name);
    expect(told.map(({ name: one }) => one)).toEqual(changed.sort());
  });
});
