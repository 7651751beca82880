import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  appendHistory,
  becameCurrentAt,
  type HistoryEntry,
  inspectHistory,
  leftOutOf,
  pruneFailureOf,
  publicationOf,
  readHistory,
} from '../../../../src/mirror/history/history.ts';
import { type Layout, layoutOf } from '../../../../src/mirror/layout.ts';
import { scratchDirectory } from '../../../support/scratch.ts';

function makeLayout(): Layout {
  const layout = layoutOf(scratchDirectory());
  mkdirSync(layout.state);
  return layout;
}

const published = (id: string, previous: string | null, day: number): HistoryEntry => ({
  event: 'published',
  id,
  previous,
  at: new Date(Date.UTC(2026, 0, day)).toISOString(),
});

test('without a file there is no history', () => {
  expect(readHistory(makeLayout())).toEqual([]);
});

test('wherever a crash tears the last line, the lines before and after it are read', () => {
  const layout = makeLayout();
  const [first, torn, next] = [
    published('a', null, 1),
    published('b\n"é', 'a', 2),
    published('c', 'a', 3),
  ];
  appendHistory(layout, first);
  const whole = readFileSync(layout.history);
  appendHistory(layout, torn);
  const both = readFileSync(layout.history);
  for (let end = whole.length; end <= both.length; end += 1) {
    writeFileSync(layout.history, both.subarray(0, end));
    // A line that lacks only its newline is complete.
    const kept = end >= both.length - 1 ? [first, torn] : [first];
    expect(readHistory(layout), `cut at ${end}`).toEqual(kept);
    appendHistory(layout, next);
    expect(readHistory(layout), `cut at ${end}, then appended`).toEqual([...kept, next]);
  }
});

test('zeros that a power cut left after the last line are harmless', () => {
  const layout = makeLayout();
  appendHistory(layout, published('a', null, 1));
  writeFileSync(layout.history, Buffer.alloc(300), { flag: 'a' });
  appendHistory(layout, published('b', 'a', 2));
  expect(readHistory(layout).map((entry) => ('id' in entry ? entry.id : ''))).toEqual(['a', 'b']);
});

test('any bytes are read without failing', () => {
  const layout = makeLayout();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      writeFileSync(layout.history, bytes);
      readHistory(layout);
      appendHistory(layout, published('x', null, 1));
      expect(readHistory(layout).at(-1)).toEqual(published('x', null, 1));
    }),
    { numRuns: 50 },
  );
});

test('it knows when a snapshot became current, also by a rollback', () => {
  const history: HistoryEntry[] = [
    published('a', null, 1),
    published('b', 'a', 2),
    {
      event: 'rolled-back',
      id: 'a',
      previous: 'b',
      at: new Date(Date.UTC(2026, 0, 3)).toISOString(),
    },
    {
      event: 'rolled-back',
      id: 'b',
      previous: 'a',
      at: new Date(Date.UTC(2026, 0, 4)).toISOString(),
    },
  ];
  const day = (date: Date | undefined) => date?.getUTCDate();
  expect(day(becameCurrentAt(history, 'a'))).toBe(3);
  expect(day(becameCurrentAt(history, 'b'))).toBe(4);
  expect(publicationOf(history, 'b')?.at).toBe(history[1]?.at);
  const again = published('b', 'b', 5);
  expect(publicationOf([...history, again], 'b'), 'in place, one id has many').toBe(again);
  expect(becameCurrentAt(history, 'c')).toBeUndefined();
});

test('what a snapshot lacks, and why it could not be pruned, is what the last line about it says', () => {
  const at = new Date(Date.UTC(2026, 0, 2)).toISOString();
  const leftOut = [{ why: 'max-size', count: 1, names: ['large'] }];
  const history: HistoryEntry[] = [
    published('a', null, 1),
    { event: 'unchanged', at, current: 'a', leftOut },
    { event: 'prune-failed', at, id: 'a', message: 'something is mounted in it' },
  ];
  expect(leftOutOf(history, 'a')).toEqual(leftOut);
  expect(pruneFailureOf(history, 'a')).toMatch('mounted');
  expect(pruneFailureOf([...history, published('a', 'b', 3)], 'a')).toBeUndefined();
});

test('a line that is no entry is skipped, whatever it holds, and named by its number', () => {
  const layout = makeLayout();
  const [first, last] = [published('a', null, 1), published('b', 'a', 2)];
  const damaged = [
    '{"event":"published","id":"x","previous":null}',
    '{"event":"published","id":"x","previous":null,"at":"yesterday"}',
    '{"event":"published","id":7,"previous":null,"at":"2026-01-01T00:00:00.000Z"}',
    '{"event":"published","id":"x","previous":null,"at":"2026-01-01T00:00:00.000Z","bytes":"many"}',
    '{"event":"pruned","at":"2026-01-01T00:00:00.000Z"}',
    '{"event":"unchanged","at":"2026-01-01T00:00:00.000Z"}',
    '{"event":"unchanged","at":"yesterday","current":"a"}',
    '{"event":"unchanged","at":"2026-01-01T00:00:00.000Z","current":"a","source":7}',
    '{"event":"unchanged","at":"2026-01-01T00:00:00.000Z","current":"a","rsyncOptions":"-H"}',
    '{"event":"unchanged","at":"2026-01-01T00:00:00.000Z","current":"a","without":[7]}',
    '{"event":"unchanged","at":"2026-01-01T00:00:00.000Z","current":"a","seconds":"1"}',
    '{"event":"unchanged","at":"2026-01-01T00:00:00.000Z","current":"a","look":"hasty"}',
    '{"event":"unchanged","at":"2026-01-01T00:00:00.000Z","current":"a","leftOut":["large"]}',
    '{"event":"of another version","at":"2026-01-01T00:00:00.000Z"}',
    '{"event":"publ',
    'null',
    '[]',
    '\0\0',
  ];
  const lines = [JSON.stringify(first), ...damaged, '', JSON.stringify(last), ''];
  writeFileSync(layout.history, lines.join('\n'));
  expect(inspectHistory(layout)).toEqual({
    entries: [first, last],
    damaged: damaged.map((_, index) => index + 2),
  });
});
