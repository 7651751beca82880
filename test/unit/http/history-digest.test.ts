import fc from 'fast-check';
import { expect, test } from 'vitest';
import { digestOf } from '../../../src/http/status/history-digest.ts';
import { type HistoryEntry, lastSuccess } from '../../../src/mirror/history/history.ts';
import { histories } from '../../support/random-history.ts';

const at = (minute: number) => new Date(Date.UTC(2026, 10, 27, 1, minute)).toISOString();

const FIRST = {
  event: 'published',
  at: at(0),
  id: 'a',
  previous: null,
  source: '/source/',
  strategy: 'plan',
  rsyncOptions: [],
  seconds: 100,
  files: 200,
  bytes: 2000,
  newFiles: 200,
  newBytes: 2000,
  deletedFiles: 0,
} satisfies HistoryEntry;

test('it tells how the last syncs ended, and the last one in full', () => {
  const failure = { event: 'failed', id: 'c', code: 'IO', message: 'no route to host' } as const;
  const { outcomes, lastOutcome, failures, lastSuccessAt } = digestOf(
    [
      FIRST,
      { event: 'failed', at: at(1), id: 'b', code: 'IO', message: 'before a success' },
      { event: 'unchanged', at: at(2), current: 'a', seconds: 3, look: 'probe', lookedAt: at(0) },
      { ...failure, at: at(3) },
      { event: 'pruned', at: at(4), id: 'z' },
      { ...failure, at: at(5) },
    ],
    'a',
  );
  expect(outcomes).toEqual([
    { event: 'published', at: at(0), seconds: 100, newBytes: 2000 },
    { event: 'failed', at: at(1), seconds: null, newBytes: null },
    { event: 'unchanged', at: at(2), seconds: 3, newBytes: 0 },
    { event: 'failed', at: at(3), seconds: null, newBytes: null },
    { event: 'failed', at: at(5), seconds: null, newBytes: null },
  ]);
  expect(lastOutcome).toMatchObject({ at: at(5), id: 'c', message: 'no route to host' });
  expect(failures).toBe(2);
  expect(lastSuccessAt).toBe(at(2));
});

test('it tells what the last publications changed, and how large a share they deleted', () => {
  const { changes, figures } = digestOf(
    [
      FIRST,
      { ...FIRST, at: at(1), id: 'b', previous: 'a', newFiles: 5, newBytes: 7, deletedFiles: 50 },
      { event: 'rolled-back', at: at(2), id: 'a', previous: 'b' },
    ],
    'a',
  );
  const told = changes.map(({ id, deletedFiles, deletedShare }) => [
    id,
    deletedFiles,
    deletedShare,
  ]);
  expect(told).toEqual([
    ['a', null, null],
    ['b', 50, 0.25],
    ['a', 0, null],
  ]);
  expect(figures.get('a')).toMatchObject({ publishedAt: at(0), files: 200, bytes: 2000 });
});

test('an adopted directory is no success of a sync, and no sync', () => {
  const adopted = {
    event: 'published',
    at: at(0),
    id: 'a',
    previous: null,
    source: '/web',
  } as const;
  const digest = digestOf([adopted], 'a');
  expect(digest).toMatchObject({ lastSuccessAt: null, lastOutcome: null, outcomes: [] });
  expect(digest.changes).toHaveLength(1);
});

test('of any history it keeps a bounded part, the newest', () => {
  fc.assert(
    fc.property(histories, (history) => {
      const long = Array.from({ length: 40 }, () => history).flat();
      const { outcomes, changes, lastOutcome, lastSuccessAt } = digestOf(long, undefined);
      expect(outcomes.length).toBeLessThanOrEqual(30);
      expect(changes.length).toBeLessThanOrEqual(1500);
      expect(lastSuccessAt).toBe(lastSuccess(long));
      expect(lastOutcome?.at).toBe(outcomes.at(-1)?.at);
    }),
  );
});
