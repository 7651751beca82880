import { type HistoryLine, isFlip } from './history.ts';
import { type Flip, indexOf } from './history-index.ts';
import type { HistoryEntry } from './records.ts';
import { believedTimes, flipBefore } from './snapshot-times.ts';

/** How many of the newest lines stay, whatever they say. */
export interface KeptLines {
  readonly lines: number;
  /** Of those that report something else than `unchanged`. */
  readonly events: number;
}

const KEPT_LINES: KeptLines = { lines: 1000, events: 1000 };

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
  const { lastFlip, lastSuccess, lastAdoption, lastTransfer } = index;
  const ofSnapshots = [...present, ...index.unpruned].flatMap((id) =>
    [index.publications, index.flips, index.departures, index.mentions, index.looks].map(
      (map: ReadonlyMap<string, HistoryEntry>) => map.get(id),
    ),
  );
  const lastSync = history.findLast(({ event }) =>
    ['published', 'unchanged', 'failed'].includes(event),
  );
  return [lastFlip, lastSuccess, lastAdoption, lastTransfer, lastSync, ...ofSnapshots].filter(
    (entry) => entry !== undefined,
  );
}

/**
 * Adds the entries without which those that stay would be read in another way:
 *
 * - the removal of a snapshot to which a flip stays, or else it would seem to be there;
 * - the flips around the last place where lines are missing;
 * - those that show which times cannot be believed, and from which other line a time is taken instead: see
 *   `timesOfLines`. An entry is not believed if an earlier one has a later time.
 */
function addWhatTheyNeed(
  keep: Set<HistoryEntry>,
  history: readonly HistoryEntry[],
  now: number,
): void {
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
  for (const flip of aroundLastGap(history)) keep.add(flip);
  // For the entries that are still to come.
  for (const limit of [now, Number.POSITIVE_INFINITY]) add(lastOfLatest(written, limit));
  // A set gives what is added to it in a loop over it, too.
  for (const entry of keep) {
    if (isFlip(entry)) {
      const removal = removals.get(entry.id);
      if (removal !== undefined) keep.add(removal);
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

/** The flip before which lines are missing, and the one before those lines: see `snapshotTimes`. */
function aroundLastGap(history: readonly HistoryEntry[]): Flip[] {
  const flips = history.filter(isFlip);
  const gap = flips.findLastIndex(
    (flip, number) => flipBefore(flip) !== (flips[number - 1]?.id ?? null),
  );
  return gap === -1 ? [] : flips.slice(Math.max(0, gap - 1), gap + 1);
}

/** The lines, in which each flip names the one before it if that is not the one that it superseded. */
function joined(lines: readonly HistoryLine[], history: readonly HistoryEntry[]): HistoryLine[] {
  const before = new Map<Flip, string | null>();
  let id: string | null = null;
  for (const flip of history.filter(isFlip)) {
    before.set(flip, id);
    id = flip.id;
  }
  let last: string | null = null;
  return lines.map((line) => {
    const { entry } = line;
    if (entry === undefined || !isFlip(entry)) return line;
    const wanted = last;
    last = entry.id;
    const isGap = flipBefore(entry) !== before.get(entry);
    if (isGap || flipBefore(entry) === wanted) return line;
    const { after: _, ...rest } = entry;
    return lineOf(wanted === entry.previous ? rest : { ...rest, after: wanted });
  });
}

function lineOf(entry: HistoryEntry): HistoryLine {
  return { text: Buffer.from(JSON.stringify(entry)).toString('latin1'), entry };
}
