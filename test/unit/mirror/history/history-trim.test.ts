import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type HistoryEntry,
  type HistoryLine,
  isFlip,
  parseHistoryLine,
} from '../../../../src/mirror/history/history.ts';
import { indexOf } from '../../../../src/mirror/history/history-index.ts';
import { type KeptLines, trimHistory } from '../../../../src/mirror/history/history-trim.ts';
import { isLinkMove } from '../../../../src/mirror/history/link-moves.ts';
import {
  inOrderOfPublication,
  snapshotTimes,
} from '../../../../src/mirror/history/snapshot-times.ts';
import { applyRetention } from '../../../../src/mirror/retention/retention.ts';
import { CHANNELS, histories, historiesOfThePast, NOW } from '../../../support/random-history.ts';
import { policies } from '../../../support/random-retention.ts';

const HOUR = 3_600_000;
const IDS = [...'abcdefgh'];

const present = fc.subarray(IDS);
const kept = fc.record({
  lines: fc.integer({ min: 1, max: 6 }),
  events: fc.integer({ min: 1, max: 4 }),
});
const linesOf = (history: readonly HistoryEntry[]): HistoryLine[] =>
  history.map((entry) => ({ text: JSON.stringify(entry), entry }));

/** What is read of the lines that stay; all of it where the clock is in doubt. */
function trimmed(
  history: readonly HistoryEntry[],
  there: readonly string[],
  limits: KeptLines,
): HistoryEntry[] {
  const left = trimHistory(linesOf(history), there, NOW, limits) ?? linesOf(history);
  return left.flatMap(({ text }) => parseHistoryLine(text) ?? []);
}

const arrivedAt = (id: string): number => NOW - (IDS.indexOf(id) + 1) * 1000 * HOUR;

/** What a trimmed line names instead of the lines before it is no part of any answer. */
function asAnswer(entry: HistoryEntry | undefined): object | undefined {
  if (entry === undefined || !isLinkMove(entry)) return entry;
  const { after: _, ...answer } = entry;
  return answer;
}

/** All that is asked about the mirror and the trees in it. */
function answers(history: readonly HistoryEntry[], there: readonly string[]) {
  const index = indexOf(history);
  const { lastFlip, lastSuccess, lastAdoption, lastTransfer, hasTransferredSinceAdoption } = index;
  return {
    last: [lastFlip, lastSuccess, lastAdoption, lastTransfer].map(asAnswer),
    lastSync: asAnswer(
      history.findLast(({ event }) => ['published', 'unchanged', 'failed'].includes(event)),
    ),
    hasTransferredSinceAdoption,
    unpruned: [...index.unpruned].sort(),
    flips: history.filter((entry) => isFlip(entry) && there.includes(entry.id)).at(-1)?.at,
    ofSnapshots: there.map((id) => {
      const mention = index.mentions.get(id);
      return [
        asAnswer(index.publications.get(id)),
        asAnswer(index.flips.get(id)),
        asAnswer(index.looks.get(id)),
        mention?.event === 'prune-failed' ? mention : undefined,
      ];
    }),
    channels: CHANNELS.map((name) => {
      const last = index.moves.get(name)?.at(-1);
      return last?.event === 'promoted' ? asAnswer(last) : undefined;
    }),
    order: inOrderOfPublication(history, there, arrivedAt),
  };
}

function timesAt(history: readonly HistoryEntry[], there: readonly string[], now: number) {
  return there.map((id) => ({ id, ...snapshotTimes(history, arrivedAt, now)(id) }));
}

describe('a trimmed history', () => {
  test('answers each question about the mirror and what is there as before', () => {
    fc.assert(
      fc.property(histories, present, kept, (history, there, limits) => {
        const left = trimmed(history, there, limits);
        expect(answers(left, there)).toEqual(answers(history, there));
        expect(timesAt(left, there, NOW)).toEqual(timesAt(history, there, NOW));
      }),
      { numRuns: 1000 },
    );
  });

  test('decides what is pruned as before', () => {
    fc.assert(
      fc.property(histories, present, kept, policies, (history, there, limits, policy) => {
        const decide = (lines: readonly HistoryEntry[]) => {
          const timesOf = snapshotTimes(lines, arrivedAt, NOW);
          const dated = inOrderOfPublication(lines, there, arrivedAt).map((id) => ({
            id,
            isCurrent: id === indexOf(lines).lastFlip?.id,
            isPrevious: id === indexOf(lines).lastFlip?.previous,
            channels: [],
            promises: [],
            clones: [],
            mark: { tags: [] },
            ...timesOf(id),
          }));
          return applyRetention(dated, policy, NOW);
        };
        expect(decide(trimmed(history, there, limits))).toEqual(decide(history));
      }),
      { numRuns: 300 },
    );
  });

  test('answers as before when more lines have come, and after it was trimmed again', () => {
    fc.assert(
      fc.property(
        historiesOfThePast,
        fc.array(fc.tuple(fc.nat(60), kept), { maxLength: 3 }),
        present,
        (history, cuts, there) => {
          let [left, done] = [[] as HistoryEntry[], 0];
          for (const [lines, limits] of cuts) {
            left = trimmed([...left, ...history.slice(done, done + lines)], there, limits);
            done += lines;
          }
          left.push(...history.slice(done));
          expect(answers(left, there)).toEqual(answers(history, there));
          expect(timesAt(left, there, NOW)).toEqual(timesAt(history, there, NOW));
        },
      ),
      { numRuns: 1000 },
    );
  });

  test('lets no snapshot go earlier once the clock has come to a time that was a lie', () => {
    fc.assert(
      fc.property(histories, present, kept, fc.nat(3000), (history, there, limits, hours) => {
        const later = NOW + hours * HOUR;
        const before = timesAt(history, there, later);
        for (const [at, { publishedAt, supersededAt }] of timesAt(
          trimmed(history, there, limits),
          there,
          later,
        ).entries()) {
          expect(publishedAt).toBeGreaterThanOrEqual(before[at]?.publishedAt ?? later);
          expect(supersededAt).toBeGreaterThanOrEqual(before[at]?.supersededAt ?? later);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('has the newest lines as they were, damaged ones included, and the newest events', () => {
    fc.assert(
      fc.property(
        histories,
        fc.array(fc.tuple(fc.nat(70), fc.constantFrom('{"event":"publ', '\0\0', 'null'))),
        present,
        kept,
        (history, damages, there, limits) => {
          const lines = linesOf(history);
          for (const [at, text] of damages) lines.splice(at, 0, { text, entry: undefined });
          const left = trimHistory(lines, there, NOW, limits);
          fc.pre(left !== undefined);
          const newest = lines.slice(-limits.lines);
          const texts = newest.map(({ entry, text }) => JSON.stringify(asAnswer(entry)) ?? text);
          expect(
            left
              .slice(Math.max(0, left.length - newest.length))
              .map(({ entry, text }) => JSON.stringify(asAnswer(entry)) ?? text),
          ).toEqual(texts);
          const isEvent = (entry: HistoryEntry) => entry.event !== 'unchanged';
          const last = (all: readonly HistoryEntry[]) =>
            all.filter(isEvent).map(asAnswer).slice(-limits.events);
          expect(last(left.flatMap(({ entry }) => entry ?? []))).toEqual(last(history));
        },
      ),
    );
  });

  test.for([
    { name: 'that has passed', latest: NOW - HOUR },
    { name: 'that is still to come', latest: NOW + 50 * HOUR },
  ])('still shows that a clock was at a time $name, to the lines to come', ({ latest }) => {
    const at = (time: number) => new Date(time).toISOString();
    const unchanged = (time: number): HistoryEntry => ({
      event: 'unchanged',
      at: at(time),
      current: 'a',
    });
    const flip = (id: string, previous: string, time: number): HistoryEntry => ({
      event: 'published',
      at: at(time),
      id,
      previous,
    });
    const history = [
      flip('a', 'b', NOW - 40 * HOUR),
      ...[NOW - 20 * HOUR, latest, NOW - 30 * HOUR].map(unchanged),
    ];
    const left = trimmed(history, ['a'], { lines: 1, events: 1 });
    const [lie, truth] = [latest - HOUR, latest + 9 * HOUR];
    const more = [flip('c', 'a', lie), flip('d', 'c', truth)];
    const timesOf = snapshotTimes([...left, ...more], arrivedAt, truth);
    expect(timesOf('a').supersededAt).toBe(truth);
    expect(timesOf('a')).toEqual(snapshotTimes([...history, ...more], arrivedAt, truth)('a'));
  });

  test('waits while one of the newest lines lies in the future', () => {
    const at = (hours: number) => new Date(NOW + hours * HOUR).toISOString();
    const lines = (...hours: number[]) =>
      linesOf(hours.map((time) => ({ event: 'unchanged', at: at(time), current: 'a' })));
    const limits = { lines: 2, events: 1 };
    expect(trimHistory(lines(-4, -3, 1, -2), ['a'], NOW, limits)).toBeUndefined();
    expect(trimHistory(lines(-4, 1, -3, -2), ['a'], NOW, limits)).toHaveLength(3);
  });
});
