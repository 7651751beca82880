import { mkdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  appendHistory,
  type HistoryEntry,
  linesOfHistory,
  readHistory,
} from '../../../../src/mirror/history/history.ts';
import { followHistory } from '../../../../src/mirror/history/history-follower.ts';
import { type KeptLines, trimHistory } from '../../../../src/mirror/history/history-trim.ts';
import { type Layout, layoutOf } from '../../../../src/mirror/layout.ts';
import { scratchDirectory } from '../../../support/scratch.ts';

/** Longer than the follower waits for the rest of an unfinished line, in ms. */
const LONG = 6_000;

let clock = Date.UTC(2026, 0, 1);

function makeLayout(): Layout {
  const layout = layoutOf(scratchDirectory());
  mkdirSync(layout.state);
  return layout;
}

function published(id: string, previous: string | null = null): HistoryEntry {
  clock += 1000;
  return { event: 'published', id, previous, at: new Date(clock).toISOString() };
}

function rolledBack(id: string, previous: string): HistoryEntry {
  clock += 1000;
  return { event: 'rolled-back', id, previous, at: new Date(clock).toISOString() };
}

function unchanged(current: string): HistoryEntry {
  clock += 1000;
  return { event: 'unchanged', current, at: new Date(clock).toISOString() };
}

const append = (layout: Layout, ...entries: readonly HistoryEntry[]): void => {
  for (const entry of entries) appendHistory(layout, entry);
};

test('it begins after the existing entries, and returns each entry once', () => {
  const layout = makeLayout();
  append(layout, published('a'), published('b', 'a'));
  const { history } = followHistory(layout);
  expect(history.next()).toEqual([]);
  const [c, d] = [published('c', 'b'), published('d', 'c')];
  append(layout, c, d);
  expect(history.next()).toEqual([c, d]);
  expect(history.next()).toEqual([]);
});

test('it can begin before there is a history', () => {
  const layout = makeLayout();
  const { history } = followHistory(layout);
  expect(history.next()).toEqual([]);
  const first = published('a');
  append(layout, first);
  expect(history.next()).toEqual([first]);
});

test('whatever is appended, torn or whole, and whenever it looks, each entry comes once and in order', () => {
  const step = fc.record({
    // `halves`: the follower looks while a line is being written.
    kind: fc.constantFrom('look', 'append', 'append', 'tear', 'halves'),
    percent: fc.nat(100),
  });
  const layout = makeLayout();
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.nat(5), (steps, before) => {
      rmSync(layout.history, { force: true });
      for (let index = 0; index < before; index += 1) append(layout, unchanged(`before-${index}`));
      const { history } = followHistory(layout);
      const heard: HistoryEntry[] = [];
      for (const [index, { kind, percent }] of steps.entries()) {
        const entry = unchanged(`é✓-${index}`);
        if (kind === 'look') heard.push(...history.next());
        else if (kind === 'append') append(layout, entry);
        else {
          const size = sizeOf(layout);
          append(layout, entry);
          const whole = readFileSync(layout.history);
          truncateSync(layout.history, size + Math.floor(((whole.length - size) * percent) / 100));
          if (kind === 'halves') {
            heard.push(...history.next());
            writeFileSync(layout.history, whole);
          }
        }
      }
      heard.push(...history.next());
      expect(heard).toEqual(readHistory(layout).slice(before));
    }),
    { numRuns: 60 },
  );
});

test('however often the history is trimmed, and between which looks, each entry comes once and in order', () => {
  // No more entries come between two looks than the newest that stay.
  const stay = { lines: 6, events: 2 };
  const step = fc.constantFrom('look', 'append', 'append', 'publish', 'tear', 'trim');
  const layout = makeLayout();
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.nat(9), (steps, before) => {
      rmSync(layout.history, { force: true });
      for (let index = 0; index < before; index += 1) append(layout, unchanged(`before-${index}`));
      const { history } = followHistory(layout);
      const heard: HistoryEntry[] = [];
      const written: HistoryEntry[] = [];
      let unheard = 0;
      for (const [index, kind] of steps.entries()) {
        if (kind === 'look' || unheard >= stay.lines - 2) {
          heard.push(...history.next());
          unheard = 0;
        }
        if (kind === 'append' || kind === 'publish') {
          const entry = kind === 'append' ? unchanged('é✓') : published(`é✓-${index}`);
          append(layout, entry);
          written.push(entry);
          unheard += 1;
        }
        if (kind === 'tear') {
          writeFileSync(layout.history, '{"event":"publ', { flag: 'a' });
          const entry = unchanged('after');
          append(layout, entry);
          written.push(entry);
          unheard += 2;
        }
        if (kind === 'trim') trim(layout, stay);
      }
      heard.push(...history.next());
      expect(heard).toEqual(written);
    }),
    { numRuns: 60 },
  );
});

test('it reads only the new bytes', () => {
  const layout = makeLayout();
  append(layout, published('a'), published('b', 'a'), published('c', 'b'));
  const { history } = followHistory(layout);
  const text = readFileSync(layout.history, 'utf8');
  const lastLine = text.lastIndexOf('\n', text.length - 2) + 1;
  // If it read the file again, other entries would come before the last one.
  writeFileSync(layout.history, `${'x'.repeat(lastLine - 1)}\n${text.slice(lastLine)}`);
  const next = published('d', 'c');
  append(layout, next);
  expect(history.next()).toEqual([next]);
});

test('it continues at the same entry in a file that lost its beginning or was replaced', () => {
  const layout = makeLayout();
  append(layout, published('a'), published('b', 'a'), published('c', 'b'));
  const { history } = followHistory(layout);
  const kept = readFileSync(layout.history, 'utf8').split('\n').slice(2).join('\n');
  const untold = published('d', 'c');
  writeFileSync(`${layout.history}.new`, `${kept}${JSON.stringify(untold)}\n`);
  renameSync(`${layout.history}.new`, layout.history);
  expect(history.next()).toEqual([untold]);
  const next = published('e', 'd');
  append(layout, next);
  expect(history.next()).toEqual([next]);
});

test('it never repeats entries while a file is overwritten in place', () => {
  const layout = makeLayout();
  append(layout, published('a'), published('b', 'a'), rolledBack('a', 'b'), published('c', 'a'));
  const { history } = followHistory(layout);
  const text = readFileSync(layout.history, 'utf8');
  for (let length = 0; length < text.length; length += 1) {
    writeFileSync(layout.history, text.slice(0, length));
    expect(history.next(), `${length} bytes`).toEqual([]);
  }
  writeFileSync(layout.history, text);
  const next = published('d', 'c');
  append(layout, next);
  expect(history.next()).toEqual([next]);
});

test('after the history was lost or restored from an old copy, later entries come', () => {
  const layout = makeLayout();
  append(layout, published('a'), rolledBack('b', 'a'));
  const old = readFileSync(layout.history);
  append(layout, published('c', 'b'));
  let now = 0;
  const { history } = followHistory(layout, () => now);
  writeFileSync(layout.history, old);
  const next = published('d', 'c');
  append(layout, next);
  expect(history.next()).toEqual([]);
  now += LONG;
  expect(history.next()).toEqual([next]);
  rmSync(layout.history);
  expect(history.next()).toEqual([]);
  const last = published('e', 'd');
  append(layout, last);
  expect(history.next()).toEqual([]);
  now += LONG;
  expect(history.next()).toEqual([last]);
});

test('it waits for the bytes of another host that still read as zeros, and skips the zeros of a crash', () => {
  const layout = makeLayout();
  append(layout, published('a'));
  let now = 0;
  const { history } = followHistory(layout, () => now);
  const before = readFileSync(layout.history);
  const [late, next, last] = [published('b', 'a'), published('c', 'b'), published('d', 'c')];
  append(layout, late, next);
  const whole = readFileSync(layout.history);
  const zeros = Buffer.from(whole).fill(0, before.length, before.length + 50);
  writeFileSync(layout.history, zeros);
  expect(history.next()).toEqual([]);
  now += LONG / 2;
  expect(history.next()).toEqual([]);
  writeFileSync(layout.history, whole);
  expect(history.next()).toEqual([late, next]);

  writeFileSync(layout.history, Buffer.alloc(300), { flag: 'a' });
  append(layout, last);
  now += LONG / 2;
  expect(history.next()).toEqual([]);
  now += LONG;
  expect(history.next()).toEqual([last]);
});

test('a line that its host writes late, after another host has recorded it, is not repeated', () => {
  const layout = makeLayout();
  append(layout, published('a'));
  const { history } = followHistory(layout);
  const [recovered, late] = [published('b', 'a'), published('b', 'a')];
  append(layout, recovered, late);
  expect(history.next()).toEqual([recovered]);
  const [next, later] = [published('c', 'b'), published('c', 'b')];
  append(layout, next, unchanged('c'), later, published('b', 'a'));
  expect(history.next().map(({ event }) => event)).toEqual(['published', 'unchanged']);

  const back = rolledBack('a', 'c');
  append(layout, back, rolledBack('a', 'c'));
  expect(history.next()).toEqual([back]);
  const pruned: HistoryEntry = { event: 'pruned', id: 'b', at: new Date(clock).toISOString() };
  append(layout, pruned, pruned);
  expect(history.next()).toEqual([pruned]);
  // The name is free again.
  const again = published('b', 'a');
  append(layout, again);
  expect(history.next()).toEqual([again]);
});

test('each publication of an in-place mirror comes, although all have the same name', () => {
  const layout = makeLayout();
  append(layout, published('live'));
  const { history } = followHistory(layout);
  const publications = [published('live', 'live'), published('live', 'live')];
  append(layout, ...publications);
  expect(history.next()).toEqual(publications);
});

test('it reads any bytes without failing', () => {
  const layout = makeLayout();
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.uint8Array({ maxLength: 300 }),
      (one, two) => {
        writeFileSync(layout.history, one);
        const { history } = followHistory(layout);
        writeFileSync(layout.history, two);
        history.next();
      },
    ),
    { numRuns: 100 },
  );
});

/** As a writer does it. */
function trim(layout: Layout, stay: KeptLines): void {
  if (sizeOf(layout) === 0) return;
  const left = trimHistory(linesOfHistory(layout), [], clock, stay) ?? [];
  writeFileSync(`${layout.history}.new`, left.map(({ text }) => `${text}\n`).join(''), 'latin1');
  renameSync(`${layout.history}.new`, layout.history);
}

function sizeOf(layout: Layout): number {
  try {
    return readFileSync(layout.history).length;
  } catch {
    return 0;
  }
}
