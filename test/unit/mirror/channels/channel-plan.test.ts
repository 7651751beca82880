import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ChannelState, planChannels } from '../../../../src/mirror/channels/channel-plan.ts';
import { joinRules } from '../../../../src/mirror/channels/channel-rules.ts';
import type { HistoryEntry } from '../../../../src/mirror/history/history.ts';
import { histories, historiesOfThePast, NOW } from '../../../support/random-history.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const IDS = [...'abcdefgh'];

/** Lines of `current`, one a day up to `NOW`: `+a` is a publication of a, `-a` a rollback to it. */
function history(...steps: string[]): HistoryEntry[] {
  let previous: string | null = null;
  return steps.map((step, day) => {
    const at = new Date(NOW - (steps.length - 1 - day) * DAY).toISOString();
    const [event, id] = [
      step.startsWith('+') ? 'published' : 'rolled-back',
      step.slice(1),
    ] as const;
    const entry: HistoryEntry = { event, at, id, previous };
    previous = id;
    return entry;
  });
}

const testing = { testing: { from: 'current', afterMs: 2 * DAY } };

const state = (more: Partial<ChannelState>): ChannelState => ({
  rules: testing,
  held: [],
  history: [],
  present: IDS,
  named: new Map(),
  now: NOW,
  ...more,
});

describe('the rules of channels', () => {
  test('give a channel the newest snapshot that has been current for long enough', () => {
    const { moves, promises } = planChannels(state({ history: history('+a', '+b', '+c', '+d') }));
    expect(moves).toEqual([{ channel: 'testing', id: 'b' }]);
    expect(promises).toEqual([
      { channel: 'testing', id: 'b', inMs: 0 },
      { channel: 'testing', id: 'c', inMs: DAY },
      { channel: 'testing', id: 'd', inMs: 2 * DAY },
    ]);
  });

  test('promise once what has become current twice, for the sooner of its times', () => {
    const { promises } = planChannels(state({ history: history('+a', '+b', '+c', '+b') }));
    expect(promises.map(({ id, inMs }) => [id, inMs])).toEqual([
      ['b', 0],
      ['c', DAY],
    ]);
    const rules = { testing: { from: 'current', afterMs: 5 * DAY } };
    const later = planChannels(state({ rules, history: history('+b', '+a', '+b') })).promises;
    expect(later.map(({ id, inMs }) => [id, inMs])).toEqual([
      ['b', 3 * DAY],
      ['a', 4 * DAY],
    ]);
  });

  test('leave a channel where it is while nothing is old enough', () => {
    expect(planChannels(state({ history: history('+a', '+b') })).moves).toEqual([]);
  });

  test('never promote what was rolled back, and go back from it', () => {
    const bad = history('+a', '+bad', '+c', '-a', '+d');
    const named = new Map([['testing', 'bad']]);
    const { moves, promises } = planChannels(
      state({ history: bad, present: ['a', 'bad', 'c', 'd'], named }),
    );
    expect(moves).toEqual([{ channel: 'testing', id: 'a' }]);
    expect(promises.map(({ id }) => id)).toEqual(['a', 'd']);
  });

  test('pass by what verify found damaged, and leave a channel that is there already', () => {
    const damage = (...ids: string[]): HistoryEntry[] =>
      ids.map((id) => ({ event: 'verified', at: '', id, content: true, damaged: 1 }));
    const whole = history('+a', '+b', '+c', '+d');
    const found = { history: [...whole, ...damage('b', 'c')] };
    const { moves, promises } = planChannels(state(found));
    expect(moves).toEqual([{ channel: 'testing', id: 'a' }]);
    expect(promises.map(({ id }) => id)).toEqual(['a', 'd']);
    expect(planChannels(state({ ...found, named: new Map([['testing', 'b']]) })).moves).toEqual([]);
  });

  test('let a channel stay where a person has moved it ahead', () => {
    const ahead = { history: history('+a', '+b', '+c', '+d'), named: new Map([['testing', 'd']]) };
    expect(planChannels(state(ahead)).moves).toEqual([]);
    const behind = { ...ahead, named: new Map([['testing', 'a']]) };
    expect(planChannels(state(behind)).moves).toEqual([{ channel: 'testing', id: 'b' }]);
  });

  test('pass over a snapshot that is gone', () => {
    const { moves } = planChannels(
      state({ history: history('+a', '+b', '+c', '+d'), present: ['a', 'c', 'd'] }),
    );
    expect(moves).toEqual([{ channel: 'testing', id: 'a' }]);
  });

  test('move what others follow first', () => {
    const rules = { ...testing, production: { from: 'testing', afterMs: 0 } };
    const { moves } = planChannels(state({ rules, history: history('+a', '+b', '+c') }));
    expect(moves).toEqual([
      { channel: 'testing', id: 'a' },
      { channel: 'production', id: 'a' },
    ]);
  });

  test('count the time since the channel that is followed was moved', () => {
    const rules = { production: { from: 'testing', afterMs: 3 * DAY } };
    const at = (days: number) => new Date(NOW - days * DAY).toISOString();
    const moves: HistoryEntry[] = [
      { event: 'promoted', at: at(4), channel: 'testing', id: 'a', previous: null, by: 'rule' },
      { event: 'promoted', at: at(2), channel: 'testing', id: 'b', previous: 'a', by: 'rule' },
    ];
    const plan = planChannels(state({ rules, history: moves }));
    expect(plan.moves).toEqual([{ channel: 'production', id: 'a' }]);
    expect(plan.promises.at(-1)).toEqual({ channel: 'production', id: 'b', inMs: DAY });
  });

  test('do not move a channel that a person holds, and keep what it will get', () => {
    const held = { history: history('+a', '+b', '+c'), held: ['testing'] };
    const { moves, promises } = planChannels(state(held));
    expect(moves).toEqual([]);
    expect(promises[0]).toEqual({ channel: 'testing', id: 'a', inMs: Number.POSITIVE_INFINITY });
  });

  test('are left out where a broken file has them in a circle', () => {
    const rules = { a: { from: 'b', afterMs: 0 }, b: { from: 'a', afterMs: 0 }, ...testing };
    const { moves } = planChannels(state({ rules, history: history('+a', '+b', '+c') }));
    expect(moves).toEqual([{ channel: 'testing', id: 'a' }]);
  });
});

describe('channels that follow each other', () => {
  test.each([
    [{ a: 'a' }, 'a follows a'],
    [{ a: 'b', b: 'a' }, 'a follows b follows a'],
    [{ a: 'b', b: 'c', c: 'a', d: 'a' }, 'a follows b follows c follows a'],
  ])('in a circle are refused by name: %j', (given, circle) => {
    const rules = Object.entries(given).map(([name, from]) => [name, { from, afterMs: 0 }]);
    expect(() => joinRules(undefined, Object.fromEntries(rules))).toThrow(circle);
  });

  test('are added to the others, and ended by null', () => {
    const production = { from: 'testing', afterMs: 7 * DAY };
    expect(joinRules(testing, { production })).toEqual({ ...testing, production });
    expect(joinRules({ ...testing, production }, { testing: null })).toEqual({ production });
    expect(joinRules(testing, { testing: null })).toBeUndefined();
  });
});

const afterMs = fc.integer({ min: 0, max: 200 * HOUR });
const rules = fc.record({
  testing: fc.record({ from: fc.constant('current'), afterMs }),
  production: fc.record({ from: fc.constantFrom('current', 'testing'), afterMs }),
});
const present = fc.subarray(IDS);
const named = fc
  .record({ testing: fc.constantFrom(...IDS), production: fc.constantFrom(...IDS) })
  .map((channels) => new Map(Object.entries(channels)));
const shift = fc.integer({ min: 0, max: 1000 * HOUR });

/** When `current` last came to name an id by a line that can be believed. */
const namedAt = (entries: readonly HistoryEntry[], id: string): number =>
  Math.min(
    ...entries.flatMap((entry) =>
      'previous' in entry && 'id' in entry && entry.id === id ? [Date.parse(entry.at)] : [],
    ),
  );

describe('whatever the history, the clock and the rules,', () => {
  test('a channel gets only what is there, was named by its source long enough ago, and not twice', () => {
    fc.assert(
      fc.property(
        historiesOfThePast,
        rules,
        present,
        named,
        shift,
        (entries, given, there, links, later) => {
          const now = NOW + later;
          const { moves } = planChannels(
            state({ history: entries, rules: given, present: there, named: links, now }),
          );
          expect(new Set(moves.map(({ channel }) => channel)).size).toBe(moves.length);
          for (const { channel, id } of moves) {
            expect(there).toContain(id);
            expect(links.get(channel)).not.toBe(id);
            const rule = given[channel as keyof typeof given];
            if (rule.from === 'current' || rule.afterMs > 0)
              expect(namedAt(entries, id) + rule.afterMs).toBeLessThanOrEqual(now);
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  test('nothing is promoted that current has gone back from since', () => {
    fc.assert(
      fc.property(histories, rules, shift, (entries, { testing: rule }, later) => {
        const { moves } = planChannels(
          state({ history: entries, rules: { testing: rule }, now: NOW + later }),
        );
        for (const { id } of moves) {
          const lastNamed = entries.findLastIndex(
            (entry) =>
              (entry.event === 'published' || entry.event === 'rolled-back') && entry.id === id,
          );
          const isLeft = entries
            .slice(lastNamed + 1)
            .some((entry) => entry.event === 'rolled-back' && entry.previous === id);
          expect(isLeft).toBe(false);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('as time goes by, a channel gets nothing but what was promised to it', () => {
    fc.assert(
      fc.property(
        historiesOfThePast,
        rules,
        present,
        named,
        shift,
        (entries, given, there, links, later) => {
          const { testing: rule } = given;
          const known = {
            history: entries,
            rules: { testing: rule },
            present: there,
            named: links,
          };
          const promised = planChannels(state(known)).promises.map(({ id }) => id);
          const { moves } = planChannels(state({ ...known, now: NOW + later }));
          for (const { id } of moves) expect([...promised, links.get('testing')]).toContain(id);
        },
      ),
      { numRuns: 500 },
    );
  });

  test('a plan that was carried out leaves nothing to do', () => {
    fc.assert(
      fc.property(historiesOfThePast, rules, present, (entries, given, there) => {
        const channels = new Map<string, string>();
        for (const entry of entries) {
          if (entry.event === 'promoted') channels.set(entry.channel, entry.id);
          if (entry.event === 'channel-removed') channels.delete(entry.channel);
        }
        const lines = [...entries];
        const now = state({ history: entries, rules: given, present: there, named: channels });
        for (const { channel, id } of planChannels(now).moves) {
          const [at, previous] = [new Date(NOW).toISOString(), channels.get(channel) ?? null];
          lines.push({ event: 'promoted', at, channel, id, previous, by: 'rule' });
          channels.set(channel, id);
        }
        expect(planChannels({ ...now, history: lines, named: channels }).moves).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });
});
