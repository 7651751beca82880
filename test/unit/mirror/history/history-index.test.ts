import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  becameCurrentAt,
  filledBy,
  type HistoryEntry,
  hasSyncedSinceAdoption,
  idOfAdoption,
  isFlip,
  lastFlip,
  lastSuccess,
  leftOutOf,
  pruneFailureOf,
  publicationOf,
} from '../../../../src/mirror/history/history.ts';
import { indexOf } from '../../../../src/mirror/history/history-index.ts';
import { isLinkMove } from '../../../../src/mirror/history/link-moves.ts';
import { histories } from '../../../support/random-history.ts';

type Published = Extract<HistoryEntry, { event: 'published' }>;

const isPublished = (entry: HistoryEntry): entry is Published => entry.event === 'published';
const isAdoption = (entry: HistoryEntry): entry is Published =>
  isPublished(entry) &&
  entry.source !== undefined &&
  entry.strategy === undefined &&
  entry.rsyncOptions === undefined;

function idsIn(history: readonly HistoryEntry[]): string[] {
  return [...new Set(history.flatMap((entry) => ('id' in entry ? [entry.id] : [])))];
}

test('what it says of each snapshot is what a search through all of it finds', () => {
  fc.assert(
    fc.property(histories, (history) => {
      for (const id of [...idsIn(history), 'unknown']) {
        const published = history.filter(isPublished).findLast((entry) => entry.id === id);
        expect(publicationOf(history, id)).toBe(published);
        const looks = history.filter(
          (entry) =>
            (entry.event === 'unchanged' && entry.current === id) ||
            (isPublished(entry) && entry.id === id),
        ) as Extract<HistoryEntry, { event: 'published' | 'unchanged' }>[];
        expect(leftOutOf(history, id)).toEqual(looks.at(-1)?.leftOut ?? []);
        const mention = history.findLast((entry) => 'id' in entry && entry.id === id);
        expect(pruneFailureOf(history, id)).toBe(
          mention?.event === 'prune-failed' ? mention.message : undefined,
        );
        const flips = history.filter(isFlip);
        const to = flips.findLast((flip) => flip.id === id);
        expect(becameCurrentAt(history, id)?.toISOString()).toBe(to?.at);
        expect(indexOf(history).departures.get(id)).toBe(
          history.filter(isLinkMove).findLast(({ previous }) => previous === id),
        );
        const filled = filledBy(history, id);
        expect(filled === null).toBe(
          published?.source === undefined || published.strategy === undefined,
        );
      }
    }),
  );
});

test('what it says of the mirror is what a search through all of it finds', () => {
  fc.assert(
    fc.property(histories, (history) => {
      expect(lastFlip(history)).toBe(history.findLast(isFlip));
      const succeeded = history.findLast(
        (entry) => (isPublished(entry) || entry.event === 'unchanged') && !isAdoption(entry),
      );
      expect(lastSuccess(history)).toBe(succeeded?.at ?? null);
      const adoption = history.findLastIndex(isAdoption);
      expect(idOfAdoption(history)).toBe(history.filter(isAdoption).at(-1)?.id);
      const since = history.slice(adoption + 1).filter(isPublished);
      const isTransfer = ({ rsyncOptions }: Published) => rsyncOptions !== undefined;
      expect(hasSyncedSinceAdoption(history)).toBe(since.some(isTransfer));
      expect(indexOf(history).lastTransfer).toBe(history.filter(isPublished).findLast(isTransfer));
      const there = idsIn(history).filter((id) => {
        const about = history.filter((entry) => 'id' in entry && entry.id === id);
        const flip = about.findLastIndex(isFlip);
        return flip > about.findLastIndex(({ event }) => event === 'pruned');
      });
      expect([...indexOf(history).unpruned].sort()).toEqual(there.sort());
    }),
  );
});
