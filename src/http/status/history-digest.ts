import {
  type HistoryEntry,
  isFlip,
  leftOutOf,
  publicationOf,
  verificationOf,
} from '../../mirror/history/history.ts';
import {
  type Flip,
  indexOf,
  isAdoption,
  type Published,
} from '../../mirror/history/history-index.ts';
import type { LeftOutRecord, QuickLook, WritableByAll } from '../../mirror/history/history-line.ts';
import { lastFullLook } from '../../mirror/plan/full-look.ts';

/** How a sync, or a command of `lock`, ended. Sizes are bytes; null is unknown. */
export interface Outcome {
  event: 'published' | 'unchanged' | 'failed';
  /** ISO 8601, UTC. */
  at: string;
  seconds: number | null;
  /** What came from the source. */
  newBytes: number | null;
}

/** The outcome of the last of them. */
export interface LastOutcome extends Outcome {
  /** What was published, is current, or was to be made. */
  id: string;
  /** Of a failure: what `EXIT_CODES` calls it, and why. */
  code: string | null;
  message: string | null;
  /** By what it knew that there was nothing new, if it did not look at all of the source. */
  look: QuickLook | null;
}

/** What a publication or a rollback made current. */
export interface Change {
  event: Flip['event'];
  id: string;
  /** ISO 8601, UTC. */
  at: string;
  /** New and changed files; of a rollback, nothing is known. */
  newFiles: number | null;
  newBytes: number | null;
  deletedFiles: number | null;
  /** Those that were deleted, as a share of those that were there, 0 to 1. */
  deletedShare: number | null;
}

/** What history says of one snapshot. */
export interface SnapshotFigures {
  publishedAt: string | null;
  files: number | null;
  bytes: number | null;
  leftOut: readonly LeftOutRecord[];
  writableByAll: WritableByAll | null;
  /** How many of its entries `verify` found damaged when it looked last; null if it never did. */
  damaged: number | null;
}

/** What a report needs of a history, so that the entries themselves need not stay in memory. */
export interface HistoryDigest {
  /** The last sync or command that succeeded; ISO 8601, UTC. */
  lastSuccessAt: string | null;
  /** When the last look at all of the source of what is current began; ISO 8601, UTC. */
  lastFullLookAt: string | null;
  lastOutcome: LastOutcome | null;
  /** Failures since the last success. */
  failures: number;
  /** The last ones, oldest first. */
  outcomes: readonly Outcome[];
  /** The last ones, newest first. */
  changes: readonly Change[];
  /** Of the snapshots that exist by history. */
  figures: ReadonlyMap<string, SnapshotFigures>;
}

/** How many outcomes a plot shows. */
export const MOST_OUTCOMES = 30;
/** A publication a minute for a day. */
const MOST_CHANGES = 1500;

export function digestOf(
  history: readonly HistoryEntry[],
  current: string | undefined,
): HistoryDigest {
  const { lastSuccess, unpruned } = indexOf(history);
  const ids = new Set(current === undefined ? unpruned : [...unpruned, current]);
  const ends = lastOf(history, isOutcome, MOST_OUTCOMES).reverse();
  const last = ends.at(-1);
  const fullLook = current === undefined ? undefined : lastFullLook(history, current);
  return {
    lastSuccessAt: lastSuccess?.at ?? null,
    lastFullLookAt: fullLook === undefined ? null : new Date(fullLook.began).toISOString(),
    lastOutcome: last === undefined ? null : describeLast(last),
    failures: failuresSinceSuccess(history),
    outcomes: ends.map(outcomeOf),
    changes: lastOf(history, isFlip, MOST_CHANGES).map((flip) => changeOf(history, flip)),
    figures: new Map([...ids].map((id) => [id, figuresOf(history, id)])),
  };
}

type Ended = Extract<HistoryEntry, { event: Outcome['event'] }>;

function isOutcome(entry: HistoryEntry): entry is Ended {
  return entry.event === 'unchanged' || entry.event === 'failed' || isMade(entry);
}

/** Whether a sync or a command made it: an adopted directory was there before. */
function isMade(entry: HistoryEntry): entry is Published {
  return entry.event === 'published' && !isAdoption(entry);
}

/** The last entries of a kind, newest first. */
function lastOf<Kind extends HistoryEntry>(
  history: readonly HistoryEntry[],
  isOfKind: (entry: HistoryEntry) => entry is Kind,
  most: number,
): Kind[] {
  const found: Kind[] = [];
  for (let at = history.length - 1; at >= 0 && found.length < most; at -= 1) {
    const entry = history[at];
    if (entry !== undefined && isOfKind(entry)) found.push(entry);
  }
  return found;
}

function outcomeOf(entry: Ended): Outcome {
  const { event, at } = entry;
  if (event === 'failed') return { event, at, seconds: null, newBytes: null };
  const newBytes = event === 'published' ? (entry.newBytes ?? null) : 0;
  return { event, at, seconds: entry.seconds ?? null, newBytes };
}

function describeLast(entry: Ended): LastOutcome {
  const outcome = outcomeOf(entry);
  const plain = { ...outcome, code: null, message: null, look: null };
  switch (entry.event) {
    case 'failed':
      return { ...plain, id: entry.id, code: entry.code, message: entry.message };
    case 'unchanged':
      return { ...plain, id: entry.current, look: entry.look ?? null };
    case 'published':
      return { ...plain, id: entry.id };
  }
}

function failuresSinceSuccess(history: readonly HistoryEntry[]): number {
  let failures = 0;
  for (let at = history.length - 1; at >= 0; at -= 1) {
    const entry = history[at];
    if (entry?.event === 'failed') failures += 1;
    else if (entry !== undefined && isOutcome(entry)) break;
  }
  return failures;
}

function changeOf(history: readonly HistoryEntry[], entry: Flip): Change {
  const { event, id, at, previous } = entry;
  const { newFiles, newBytes, deletedFiles }: Partial<Published> =
    entry.event === 'published' ? entry : {};
  // The only tree of an in-place mirror always has the same id.
  const before =
    previous === null || previous === id ? undefined : publicationOf(history, previous);
  return {
    event,
    id,
    at,
    newFiles: newFiles ?? null,
    newBytes: newBytes ?? null,
    deletedFiles: deletedFiles ?? null,
    deletedShare: shareOf(deletedFiles, before?.files),
  };
}

function shareOf(deleted: number | undefined, before: number | undefined): number | null {
  if (deleted === undefined || before === undefined || before === 0) return null;
  return Math.min(1, deleted / before);
}

function figuresOf(history: readonly HistoryEntry[], id: string): SnapshotFigures {
  const published = publicationOf(history, id);
  return {
    publishedAt: published?.at ?? null,
    files: published?.files ?? null,
    bytes: published?.bytes ?? null,
    leftOut: leftOutOf(history, id),
    writableByAll: published?.writableByAll ?? null,
    damaged: verificationOf(history, id)?.damaged ?? null,
  };
}
