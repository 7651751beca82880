import type { HistoryEntry } from '../history/history.ts';
import { indexOf } from '../history/history-index.ts';

/** A look of a sync at all of its source, by which it found or made what is current. */
export interface FullLook {
  /** When it began; ms since the epoch. */
  began: number;
  /** When it, or what relied on it, was recorded last; ms since the epoch. */
  ended: number;
  source: string;
  /** Those that the user gave. */
  rsyncOptions: readonly string[];
  /** What was turned off, see `DefaultName`. */
  without: readonly string[];
}

/**
 * The last full look at the source of a tree, with the options of the last look of any kind, which are the
 * same; undefined if something else than a sync has made the tree, or left it as it is since.
 */
export function lastFullLook(history: readonly HistoryEntry[], id: string): FullLook | undefined {
  const { looks, unlookedSinceRollback } = indexOf(history);
  // Under the same stamps, a later look may have found something else there.
  if (unlookedSinceRollback.has(id)) return undefined;
  const entry = looks.get(id);
  const { source, rsyncOptions, without = [], seconds = 0, look, lookedAt } = entry ?? {};
  // Neither a command's tree nor an adopted one comes with the options of a sync.
  if (entry === undefined || source === undefined || rsyncOptions === undefined) return undefined;
  if (look !== undefined && lookedAt === undefined) return undefined;
  const ended = Date.parse(entry.at);
  const began = lookedAt === undefined ? ended - seconds * 1000 : Date.parse(lookedAt);
  return { began, ended, source, rsyncOptions, without };
}
