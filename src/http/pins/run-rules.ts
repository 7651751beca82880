import { bounded } from './bounded.ts';
import type { DocumentKind } from './entry-documents.ts';
import type { Hold } from './holds.ts';
import type { TableLimits } from './run-table.ts';

/** When the runs of clients end. Durations in ms. */
export interface PinPolicy extends TableLimits {
  /** A client that asks for nothing this long has ended its run. */
  readonly quietMs: number;
  /** After this age a run ends when its client begins again, even without a gap. */
  readonly maxAgeMs: number;
  /** No run is longer, whatever its client asks for. */
  readonly limitMs: number;
  /** A client that comes back to an entry document after this gap begins another run. */
  readonly gapMs: number;
  /** How many entry documents of all their runs are remembered: beyond it, the run that has the most forgets its own. */
  readonly maxEntries: number;
  /** How many snapshots other than the current one they may keep from being pruned. */
  readonly maxSnapshots: number;
}

export const DEFAULT_PINS: PinPolicy = {
  quietMs: 10 * 60_000,
  maxAgeMs: 60 * 60_000,
  limitMs: 24 * 60 * 60_000,
  gapMs: 5_000,
  maxPins: 20_000,
  maxPinsOfNetwork: 2_000,
  maxEntries: 100_000,
  maxSnapshots: 16,
};

/** What a client asks for. */
export interface Asked {
  readonly path: string;
  readonly kind: DocumentKind;
}

/**
 * One run of a client: an update, an installation, or both, one after the other.
 *
 * ```
 *   first request ──> [pinned] ── an entry document again, after a gap ────────> a new run
 *                      │    ├─── an entry document again, past the maximum age ─> a new run
 *                      │    └─── any request after the quiet time ─────────────────> a new run
 *                      └── the quiet time, the limit, too many pins ──> forgotten
 * ```
 */
export interface Run {
  readonly startedAt: number;
  /** When its last request came or its last answer ended. */
  lastAt: number;
  /** Answers that are being sent. */
  active: number;
  /** Forgotten: the hold ends with the last answer. */
  isOver: boolean;
  /** Until when a web server in front may go by a decision without asking again. */
  keptUntil: number;
  /** When each entry document was asked for last, by `entryOf`; the first path of the run counts as one. */
  readonly entries: Map<string, number>;
  readonly hold: Promise<Hold>;
  /** The id of what it holds, once it does. */
  snapshot: string | undefined;
  /** Whether its snapshot may be pruned, because the runs hold too many. If it is, the run fails, and is never mixed. */
  hasGivenUp: boolean;
}

/** What is remembered of a path: a long one takes no more memory than others. */
export function entryOf(path: string): string {
  return bounded(path, LONGEST_ENTRY);
}

const LONGEST_ENTRY = 500;

/**
 * Whether a request begins another run. What a run has forgotten to have had does not: the run only lasts longer. Pure.
 */
export function beginsRun(
  run: Omit<Run, 'hold' | 'snapshot' | 'isOver' | 'hasGivenUp'>,
  { path }: Asked,
  now: number,
  policy: PinPolicy,
): boolean {
  const age = now - run.startedAt;
  const quiet = run.active > 0 ? 0 : now - run.lastAt;
  if (age >= policy.limitMs || (quiet >= policy.quietMs && now >= run.keptUntil)) return true;
  const seen = run.entries.get(entryOf(path));
  if (seen === undefined || now - seen < policy.gapMs) return false;
  return quiet >= policy.gapMs || age >= policy.maxAgeMs;
}

/** How long a web server in front goes by a decision; ms. */
export interface DecisionPolicy {
  /** It asks again after this time; while this process does not answer, only after as much again. */
  readonly keepMs: number;
  /** It forgets a decision that it did not need this long. */
  readonly quietMs: number;
  /** The longest time that it takes to send one file. */
  readonly transferMs: number;
}

/**
 * Whether a request for which a web server in front asks again begins another run. It asks because its client
 * was quiet and it has forgotten the decision, or because the decision is old: then the client may have been
 * busy until now. Pure.
 */
export function beginsDecision(
  run: Pick<Run, 'startedAt' | 'lastAt' | 'keptUntil' | 'entries'>,
  { path }: Asked,
  now: number,
  decision: DecisionPolicy,
  policy: PinPolicy,
): boolean {
  const age = now - run.startedAt;
  if (age >= policy.limitMs) return true;
  const unasked = now - run.lastAt;
  const isOld = unasked >= decision.keepMs;
  const quiet = isOld ? unasked - decision.keepMs : unasked;
  const wasQuiet = quiet >= decision.quietMs;
  // A web server counts requests: a client that took long for one file seems to have been quiet. So only what the
  // run is known to have had tells that it begins again.
  const isAgain = run.entries.has(entryOf(path));
  if (isAgain && (wasQuiet || (isOld && age >= policy.maxAgeMs))) return true;
  return quiet >= policy.quietMs && now >= run.keptUntil;
}
