import type { HistoryEntry } from '../mirror/history/history.ts';
import { HistoryFile, type PlacedEntry } from '../mirror/history/history-file.ts';
import { isAdoption, type Published } from '../mirror/history/history-index.ts';
import { openMirror } from '../mirror/open.ts';
import { checkDuration } from '../mirror/settings/policy-rules.ts';

export interface HistoryOptions {
  root: string;
  /** How many of the last ones; by default all. */
  last?: number | undefined;
  /** Those that happened no longer ago than this; ms. By default all. */
  sinceMs?: number | undefined;
  /** Those of these kinds; by default all. */
  events?: readonly HistoryEntry['event'][] | undefined;
}

/** One event, or several syncs one after another that found nothing new. */
export interface EventRun {
  /** The event, or the last of them. */
  entry: HistoryEntry;
  count: number;
  /** When the first of them happened; ISO 8601, UTC. */
  firstAt: string;
}

/**
 * Yields what happened to a mirror, oldest first, as its history has it.
 *
 * @throws MirrorlatchError NO_MIRROR, PERMISSION
 */
export function* history(options: HistoryOptions): Generator<HistoryEntry, void> {
  const past = openPast(options);
  try {
    for (const { entry } of past.wanted(past.beginOf(options.last, () => true))) yield entry;
  } finally {
    past.close();
  }
}

/** What of a history people look at. */
export interface Digest {
  /** Oldest first; to be used up before the next call. */
  runs: Generator<EventRun, void>;
  /** There are earlier ones. */
  hasEarlier: boolean;
  /** The last publications of syncs and commands, oldest first. */
  publications: readonly Published[];
}

/**
 * The same for people: syncs one after another that found nothing new count as one.
 *
 * @param publications how many of the last ones are wanted, whatever happened since.
 * @throws MirrorlatchError as `history`.
 */
export async function withHistoryDigest<Result>(
  options: HistoryOptions & { publications: number },
  use: (digest: Digest) => Promise<Result>,
): Promise<Result> {
  const past = openPast(options);
  try {
    const begin = past.beginOf(options.last, beginsRun);
    return await use({
      runs: runsOf(past.wanted(begin)),
      hasEarlier: begin > 0,
      publications: past.lastPublications(options.publications),
    });
  } finally {
    past.close();
  }
}

/** @param later the entry after it; undefined for the last one. */
type BeginsEvent = (entry: HistoryEntry, later: HistoryEntry | undefined) => boolean;

/** Whether no run goes on with the later one; looked at from the end. */
const beginsRun: BeginsEvent = (entry, later) =>
  later === undefined || !(entry.event === 'unchanged' && later.event === 'unchanged');

function* runsOf(entries: Iterable<PlacedEntry>): Generator<EventRun, void> {
  let run: EventRun | undefined;
  for (const { entry } of entries) {
    if (run !== undefined && !beginsRun(run.entry, entry)) {
      run = { ...run, entry, count: run.count + 1 };
      continue;
    }
    if (run !== undefined) yield run;
    run = { entry, count: 1, firstAt: entry.at };
  }
  if (run !== undefined) yield run;
}

function openPast({ root, sinceMs, events }: HistoryOptions) {
  checkDuration('sinceMs', sinceMs);
  const { layout } = openMirror(root);
  const file = new HistoryFile(layout);
  const since = sinceMs === undefined ? Number.NEGATIVE_INFINITY : Date.now() - sinceMs;
  // No early end: where a clock was wrong, the times of the lines go back and forth.
  const isWanted = ({ entry }: PlacedEntry) =>
    Date.parse(entry.at) >= since && (events?.includes(entry.event) ?? true);
  return {
    close: () => file.close(),
    wanted: function* (from: number) {
      for (const one of file.forwards(from)) if (isWanted(one)) yield one;
    },
    /** Where the line of the first of the last ones begins; 0 if there are no more of them. */
    beginOf: (last: number | undefined, begins: BeginsEvent): number => {
      if (last === undefined) return 0;
      let count = 0;
      let begin = 0;
      let later: HistoryEntry | undefined;
      for (const one of file.backwards()) {
        if (!isWanted(one)) continue;
        if (begins(one.entry, later)) count += 1;
        if (count > last) return begin;
        begin = one.offset;
        later = one.entry;
      }
      return 0;
    },
    lastPublications: (most: number): Published[] => {
      const found: Published[] = [];
      for (const { entry } of file.backwards()) {
        if (found.length === most) break;
        if (entry.event !== 'published' || isAdoption(entry)) continue;
        if (Date.parse(entry.at) >= since) found.push(entry);
      }
      return found.reverse();
    },
  };
}
