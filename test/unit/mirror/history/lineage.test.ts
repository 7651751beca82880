import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { HistoryEntry } from '../../../../src/mirror/history/history.ts';
import { lineagesOf } from '../../../../src/mirror/history/lineage.ts';
import { CHANNELS, histories, NOW } from '../../../support/random-history.ts';

const DAY = 86_400_000;

/** Lines of `current`, one a day: `+a` is a publication of a, `-a` a rollback to it. */
function history(...steps: string[]): HistoryEntry[] {
  let previous: string | null = null;
  return steps.map((step, day) => {
    const id = step.slice(1);
    const event = step.startsWith('+') ? 'published' : 'rolled-back';
    const entry: HistoryEntry = { event, at: new Date(day * DAY).toISOString(), id, previous };
    previous = id;
    return entry;
  });
}

const lineageOf = (entries: readonly HistoryEntry[], link: string, now: number) =>
  lineagesOf(entries, now).get(link) ?? [];

const ids = (entries: readonly HistoryEntry[], link = 'current'): string =>
  lineageOf(entries, link, NOW)
    .map(({ id }) => id)
    .join('');

describe('the line of what a link has named', () => {
  test.each([
    ['grows with each publication', ['+a', '+b', '+c'], 'abc'],
    ['ends with what a rollback went to', ['+a', '+b', '+c', '-a'], 'a'],
    ['goes on from there', ['+a', '+b', '+c', '-b', '+d'], 'abd'],
    ['begins anew with a rollback to what it has not', ['+a', '+b', '-a', '-b'], 'b'],
    ['has a snapshot twice that was published again', ['+a', '+b', '+a'], 'aba'],
  ])('%s', (_, steps, line) => {
    expect(ids(history(...steps))).toBe(line);
  });

  test('has since when: a rollback does not make what it goes to any younger', () => {
    expect(lineageOf(history('+a', '+b', '-a'), 'current', NOW)).toEqual([{ id: 'a', since: 0 }]);
  });

  test('begins anew where lines are missing', () => {
    const [a, , c, d] = history('+a', '+b', '+c', '+d');
    expect(ids([a, c, d].flatMap((entry) => entry ?? []))).toBe('cd');
  });

  test('a rule goes back only to what the channel had, and a promotion never does', () => {
    const move = (by: 'rule' | 'promote', id: string, previous: string | null): HistoryEntry => {
      const at = new Date(0).toISOString();
      return { event: 'promoted', at, channel: 'testing', id, previous, by };
    };
    const rules = [move('rule', 'a', null), move('rule', 'b', 'a'), move('rule', 'a', 'b')];
    expect(ids(rules, 'testing')).toBe('a');
    const promotions = [move('rule', 'a', null), move('rule', 'b', 'a'), move('promote', 'a', 'b')];
    expect(ids(promotions, 'testing')).toBe('aba');
  });

  test('ends with what the link names by the last line, and a removed channel has none', () => {
    fc.assert(
      fc.property(histories, fc.constantFrom('current', ...CHANNELS), (entries, link) => {
        const last = entries.findLast((entry) =>
          link === 'current'
            ? entry.event === 'published' || entry.event === 'rolled-back'
            : 'channel' in entry && entry.channel === link,
        );
        const id = last !== undefined && 'id' in last ? last.id : undefined;
        expect(lineageOf(entries, link, NOW).at(-1)?.id).toBe(id);
      }),
    );
  });
});
