import { appendFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readHistory } from '../../../../src/mirror/history/history.ts';
import { HistoryFile } from '../../../../src/mirror/history/history-file.ts';
import type { HistoryEntry } from '../../../../src/mirror/history/history-line.ts';
import { type Layout, layoutOf } from '../../../../src/mirror/layout.ts';
import { scratchDirectory } from '../../../support/scratch.ts';

const at = '2026-11-22T03:17:00.000Z';
const failed = (message: string): HistoryEntry => ({
  event: 'failed',
  at,
  id: 'one',
  code: 'IO',
  message,
});

/** Entries of a few bytes or of more than is read at once, damaged lines and empty ones. */
const line = fc.oneof(
  fc.string().map((message) => JSON.stringify(failed(message))),
  fc.integer({ min: 60_000, max: 70_000 }).map((size) => JSON.stringify(failed('é'.repeat(size)))),
  fc.constantFrom('', '{"event":"fai', '\0\0\0'),
);

function mirrorWith(text: string): Layout {
  const layout = layoutOf(scratchDirectory());
  mkdirSync(layout.state, { recursive: true });
  writeFileSync(layout.history, text);
  return layout;
}

test('a history reads the same forwards, backwards and whole, whatever the lengths of its lines', () => {
  const layout = mirrorWith('');
  fc.assert(
    fc.property(fc.array(line, { maxLength: 12 }), fc.boolean(), (lines, isTorn) => {
      writeFileSync(layout.history, `${lines.join('\n')}${isTorn ? '' : '\n'}`);
      const file = new HistoryFile(layout);
      const forwards = [...file.forwards()];
      expect(forwards.map(({ entry }) => entry)).toEqual(readHistory(layout));
      expect([...file.backwards()].reverse()).toEqual(forwards);
      for (const [index, { offset }] of forwards.entries()) {
        expect([...file.forwards(offset)]).toEqual(forwards.slice(index));
      }
      file.close();
    }),
    { numRuns: 60 },
  );
});

test('what is appended while it is read does not belong to it', () => {
  const layout = mirrorWith(`${JSON.stringify(failed('one'))}\n`);
  const file = new HistoryFile(layout);
  appendFileSync(layout.history, `${JSON.stringify(failed('two'))}\n`);
  expect([...file.forwards()]).toHaveLength(1);
  expect([...file.backwards()]).toHaveLength(1);
  file.close();
});

test('a mirror without a history has no entries', () => {
  const layout = mirrorWith('');
  rmSync(layout.history);
  const file = new HistoryFile(layout);
  expect([...file.forwards(), ...file.backwards()]).toEqual([]);
  file.close();
});

test('a directory in its place is named, with the way out', () => {
  const layout = mirrorWith('');
  rmSync(layout.history);
  mkdirSync(layout.history);
  expect(() => new HistoryFile(layout)).toThrow(/history\.jsonl is not a file/);
});
