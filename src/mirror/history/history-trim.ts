import { type HistoryLine, isFlip } from './history.ts';
import { indexOf } from './history-index.ts';
import type { HistoryEntry } from './history-line.ts';
import {
  isAfterGap,
  isLinkMove,
  type LinkMove,
  linkOf,
  moveBefore,
  namedBy,
} from './link-moves.ts';
import { believedTimes } from './snapshot-times.ts';

/** How many of the newest lines stay, whatever they say. */
export interface KeptLines {
  readonly lines: number;
  /** Of those that report something else than `unchanged`. */
  readonly events: number;
}

const KEPT_LINES: KeptLines = { lines: 1000, events: 1000 };

/** Of each link, so many of its moves to the snapshots that are there. */
const KEPT_MOVES = 100;

/**
 * The lines that stay when a history has grown too long: the newest, and of the older those that still say
 * something of what is there, so that each question about it has the same answer as before. Pure.
 *
 * @param present the ids of the trees in the mirror.
 * @param now ms since the epoch.
 * @returns undefined while one of the newest lies in the future: then the clock may be behind, and nobody
 *   knows yet which lines are to be believed.
 */
export function trimHistory(
  lines: readonly HistoryLine[],
  present: readonly string[],
  now: number,
  kept: KeptLines = KEPT_LINES,
): HistoryLine[] | undefined {
  const history = lines.flatMap(({ entry }) => entry ?? []);
  const newest = lines.slice(-kept.lines);
  const events = history.filter(({ event }) => event !== 'unchanged').slice(-kept.events);
  const recent = newest.flatMap(({ entry }) => entry ?? []);
  if (recent.some(({ at }) => Date.parse(at) > now)) return undefined;
  const keep = new Set([...recent, ...events, ...stillTrue(history, present)]);
  addWhatTheyNeed(keep, history, now);
  const isNewest = new Set(newest);
  const left = lines.filter(
    (line) => isNewest.has(line) || (line.entry !== undefined && keep.has(line.entry)),
  );
  return joined(left, history);
}

/** The entries that answer the questions about the mirror, and about each tree in it. */
function stillTrue(history: readonly HistoryEntry[], present: readonly string[]): HistoryEntry[] {
  const index = indexOf(history);
  const { lastFlip, lastSync, lastSuccess, lastAdoption, lastTransfer } = index;
  const ofSnapshots = [...present, ...index.unpruned].flatMap((id) =>
    [
      index.publications,
      index.flips,
      index.departures,
      index.mentions,
      index.looks,
      index.verifications,
    ].map((map: ReadonlyMap<string, HistoryEntry>) => map.get(id)),
  );
  const ofMirror = [
    ...index.hookFailures.values(),
    lastFlip,
    lastSuccess,
    lastAdoption,
    lastTransfer,
    lastSync,
  ];
  return [...ofMirror, ...ofSnapshots, ...movesTo(history, present)].filter(
    (entry) => entry !== undefined,
  );
}

/** What channels name, and what `current` and they have gone back from: see `lineageOf`. */
function movesTo(history: readonly HistoryEntry[], present: readonly string[]): HistoryEntry[] {
  const isThere = new Set(present);
  const rollbacks = history.filter((entry) => entry.event === 'rolled-back');
  const channels = [...indexOf(history).moves.values()].filter(
    (moves) => moves.at(-1)?.event === 'promoted',
  );
  return [rollbacks, ...channels].flatMap((moves: readonly LinkMove[]) => [
    ...moves.filter((move) => isThere.has(namedBy(move) ?? '')).slice(-KEPT_MOVES),
    ...moves.slice(-1),
  ]);
}

/**
 * Adds the entries without which those that stay would be read in another way:
 *
 * - the removal of a snapshot to which a flip stays, or else it would seem to be there, and the last move of a
 *   channel;
 * - the moves of each link around the last place where lines are missing;
 * - those that show which times cannot be believed, and from which other line a time is taken instead: see
 *   `timesOfLines`. An entry is not believed if an earlier one has a later time.
 */
function addWhatTheyNeed(
  keep: Set<HistoryEntry>,
  history: readonly HistoryEntry[],
  now: number,
): void {
  const { moves } = indexOf(history);
  const removals = new Map<string, HistoryEntry>();
  const numbers = new Map<HistoryEntry, number>();
  history.forEach((entry, number) => {
    numbers.set(entry, number);
    if (entry.event === 'pruned') removals.set(entry.id, entry);
  });
  const written = history.map(({ at }) => Date.parse(at));
  const believed = believedTimes(history, now);
  const latest = latestBefore(written);
  const add = (number: number) => {
    const entry = history[number];
    if (entry !== undefined) keep.add(entry);
  };
  for (const move of aroundLastGaps(history)) keep.add(move);
  // For the entries that are still to come.
  for (const limit of [now, Number.POSITIVE_INFINITY]) add(lastOfLatest(written, limit));
  // A set gives what is added to it in a loop over it, too.
  for (const entry of keep) {
    if (isLinkMove(entry)) {
      const removal = isFlip(entry) ? removals.get(entry.id) : undefined;
      const last = moves.get(linkOf(entry))?.at(-1);
      for (const needed of [removal, last]) if (needed !== undefined) keep.add(needed);
    }
    const number = numbers.get(entry) ?? 0;
    const time = written[number] ?? now;
    if (time < (latest[number] ?? time)) add(nextLater(written.slice(0, number), time));
    if (believed[number] === undefined) {
      const next = believed.findIndex((one, other) => other > number && one !== undefined);
      add(next);
    }
  }
}

/** For each time the latest of those before it. */
function latestBefore(times: readonly number[]): number[] {
  let latest = Number.NEGATIVE_INFINITY;
  return times.map((time) => {
    const before = latest;
    latest = Math.max(latest, time);
    return before;
  });
}

/** The number of the latest time up to a limit; -1 if there is none. */
function lastOfLatest(times: readonly number[], limit: number): number {
  return times.reduce(
    (best, time, number) =>
      time <= limit && time >= (times[best] ?? Number.NEGATIVE_INFINITY) ? number : best,
    -1,
  );
}

/** The number of the earliest of the times that are later than `time`; -1 if there is none. */
function nextLater(times: readonly number[], time: number): number {
  return times.reduce(
    (best, other, number) =>
      other > time && other < (times[best] ?? Number.POSITIVE_INFINITY) ? number : best,
    -1,
  );
}

/** Of each link the move before which lines are missing, and the one before those lines: see `snapshotTimes`. */
function aroundLastGaps(history: readonly HistoryEntry[]): LinkMove[] {
  const around = new Map<string, LinkMove[]>();
  const last = new Map<string, LinkMove>();
  for (const move of history.filter(isLinkMove)) {
    const link = linkOf(move);
    const before = last.get(link);
    if (isAfterGap(move, before === undefined ? null : namedBy(before)))
      around.set(link, before === undefined ? [move] : [before, move]);
    last.set(link, move);
  }
  return [...around.values()].flat();
}

/** The lines, in which each move names the one before it if that is not the one that it superseded. */
function joined(lines: readonly HistoryLine[], history: readonly HistoryEntry[]): HistoryLine[] {
  const gaps = new Set<LinkMove>();
  const before = new Map<string, string | null>();
  for (const move of history.filter(isLinkMove)) {
    if (isAfterGap(move, before.get(linkOf(move)) ?? null)) gaps.add(move);
    before.set(linkOf(move), namedBy(move));
  }
  const last = new Map<string, string | null>();
  return lines.map((line) => {
    const { entry } = line;
    if (entry === undefined || !isLinkMove(entry)) return line;
    const wanted = last.get(linkOf(entry)) ?? null;
    last.set(linkOf(entry), namedBy(entry));
    if (gaps.has(entry) || moveBefore(entry) === wanted) return line;
    const { after: _, ...rest } = entry;
    return lineOf(wanted === entry.previous ? rest : { ...rest, after: wanted });
  });
}

function lineOf(entry: HistoryEntry): HistoryLine {
  return { text: Buffer.from(JSON.stringify(entry)).toString('latin1'), entry };
}
