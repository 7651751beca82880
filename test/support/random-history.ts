import fc from 'fast-check';
import type { HistoryEntry } from '../../src/mirror/history/history.ts';
import { type LeftOutRecord, MOVERS } from '../../src/mirror/history/history-line.ts';
import { LIVE } from '../../src/mirror/layout.ts';

const HOUR = 3_600_000;

/** Half a year before the end of all histories; ms since the epoch. */
const BEGIN = Date.UTC(2026, 5, 1);

/** When the histories are looked at; ms since the epoch. Some clocks were beyond it. */
export const NOW = Date.UTC(2026, 11, 1);

const id = fc.constantFrom(...'abcdefgh', LIVE);
const large: LeftOutRecord[] = [{ why: 'max-size', count: 1, names: ['large'] }];
const leftOut = fc.option(fc.constant(large), { nil: undefined });
const look = fc.option(fc.constantFrom('probe' as const, 'file-list' as const), {
  nil: undefined,
  freq: 2,
});

/** An adoption names a source alone, a command of `lock` has no options of rsync. */
const made = fc.constantFrom<object>(
  {},
  { source: '/srv/web' },
  { source: 'make', strategy: 'command' },
  { source: '/srv/web', strategy: 'plan', rsyncOptions: ['-H'] },
);

export const CHANNELS = ['testing', 'production'];

/** @param named what `current` and each channel name. */
type Step = (
  current: string | null,
  at: string,
  named: ReadonlyMap<string, string>,
) => HistoryEntry;

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ leftOut, look }).map(
      (more): Step =>
        (current, at) => ({ event: 'unchanged', at, current: current ?? 'a', ...more }),
    ),
  },
  {
    weight: 4,
    arbitrary: fc.record({ id, made, leftOut, look }).map(
      ({ id: to, made: figures, ...more }): Step =>
        (current, at) => ({
          event: 'published',
          at,
          id: to,
          previous: current,
          ...figures,
          ...more,
        }),
    ),
  },
  {
    weight: 2,
    arbitrary: id.map(
      (to): Step =>
        (current, at) => ({ event: 'rolled-back', at, id: to, previous: current }),
    ),
  },
  {
    weight: 3,
    arbitrary: fc
      .record({ id, channel: fc.constantFrom(...CHANNELS), by: fc.constantFrom(...MOVERS) })
      .map(
        ({ by, channel, ...to }): Step =>
          (_, at, named) => {
            const previous = named.get(channel) ?? null;
            const isLost = by === 'recovery' && previous === null ? { isLost: true } : {};
            return { event: 'promoted', at, ...to, channel, previous, by, ...isLost };
          },
      ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(...CHANNELS).map(
      (channel): Step =>
        (_, at, named) => {
          const previous = named.get(channel);
          if (previous === undefined) return { event: 'unchanged', at, current: 'a' };
          return { event: 'channel-removed', at, channel, previous };
        },
    ),
  },
  {
    weight: 3,
    arbitrary: id.map(
      (of): Step =>
        (_, at) => ({ event: 'pruned', at, id: of }),
    ),
  },
  {
    weight: 1,
    arbitrary: id.map(
      (of): Step =>
        (_, at) => ({ event: 'prune-failed', at, id: of, message: 'it is mounted' }),
    ),
  },
  {
    weight: 1,
    arbitrary: id.map(
      (of): Step =>
        (_, at) => ({ event: 'failed', at, id: of, code: 'IO', message: 'no' }),
    ),
  },
);

const HONEST = [0];
const WRONG = [-2000 * HOUR, -30 * HOUR, 30 * HOUR];
const BEYOND = [...WRONG, NOW - BEGIN + 2 * HOUR];

/** Histories of a few ids with all kinds of entries, in which lines may be missing. */
const withClocks = (lies: readonly number[]): fc.Arbitrary<HistoryEntry[]> =>
  fc
    .array(
      fc.record({
        step,
        hours: fc.integer({ min: 0, max: 40 }),
        isLost: fc.boolean().chain((once) => fc.boolean().map((twice) => once && twice)),
        lie: fc.option(fc.constantFrom(...lies), { nil: 0, freq: 6 }),
      }),
      { maxLength: 60 },
    )
    .map((steps) => {
      let time = BEGIN;
      let current: string | null = null;
      const named = new Map<string, string>();
      const entries: HistoryEntry[] = [];
      for (const { step: make, hours, isLost, lie } of steps) {
        time += hours * HOUR;
        const entry = make(current, new Date(time + lie).toISOString(), named);
        if (entry.event === 'published' || entry.event === 'rolled-back') current = entry.id;
        if (entry.event === 'promoted') named.set(entry.channel, entry.id);
        if (entry.event === 'channel-removed') named.delete(entry.channel);
        if (!isLost) entries.push(entry);
      }
      return entries;
    });

/** The clocks were right, or wrong for a while, or some even beyond `NOW`. */
export const histories = fc.oneof(withClocks(HONEST), withClocks(WRONG), withClocks(BEYOND));

/** None was beyond `NOW`. */
export const historiesOfThePast = fc.oneof(withClocks(HONEST), withClocks(WRONG));
