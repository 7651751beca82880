import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { asMirrorlatchError, type ErrorCode, EXIT_CODES, MirrorlatchError } from '../errors.ts';
import { currentId, previousId } from '../mirror/current.ts';
import { describeFindings } from '../mirror/describe-finding.ts';
import { type HistoryEntry, readHistory } from '../mirror/history/history.ts';
import { indexOf } from '../mirror/history/history-index.ts';
import type { FindingRecord } from '../mirror/history/history-line.ts';
import { arrivalOf, snapshotTimes } from '../mirror/history/snapshot-times.ts';
import { type Layout, LIVE, layoutOf } from '../mirror/layout.ts';
import { lastFullLook } from '../mirror/plan/full-look.ts';
import { problemOfConfiguration } from '../mirror/settings/configured.ts';
import { DEFAULT_LOCK } from '../mirror/settings/policy.ts';
import { snapshotNamed } from '../mirror/snapshot-path.ts';
import { modeIfClosed } from '../mirror/trees/tree-mode.ts';
import { ifAllowed, ifThere } from '../system/files.ts';
import { freeSpaceAt } from '../system/mounts.ts';
import { quoteForSh } from '../system/quote.ts';
import { choosePrunable, type PruneResult } from '../writer/pruning.ts';
import type { SnapshotInfo } from './list.ts';
import { refusalOfWriters } from './problems.ts';
import { type MirrorStatus, type StatusOptions, status } from './status.ts';

/** All that the answers to questions about a mirror need. Times are ISO 8601, UTC; null is unknown or none. */
export interface Facts {
  status: MirrorStatus;
  /** Why a sync is refused before its work: a sentence, and the way out. */
  refusal: { message: string; hint: string | null } | null;
  /** This user sees the processes of all others. */
  seesAll: boolean;
  /** A lock of another host is taken over after this time without a heartbeat; ms. */
  staleAfterMs: number;
  /** What an earlier crash left, and what becomes of it, a sentence each. */
  remains: readonly string[];
  /** Why guarded readers of a mirror in place wait, and what helps. */
  gate: { why: string; wayOut: string | null; isClosedByHand: boolean } | null;
  failure: Failure | null;
  /** When the last look at all of the source of what is current began. */
  fullLookAt: string | null;
  /** What the rules and the readers say of each snapshot now, or why nothing is pruned. */
  pruning: PruneResult | { problem: string };
  /** What the next publication would remove. */
  removedNext: readonly string[];
  /** Until when each snapshot is within its grace time. */
  graceUntil: ReadonlyMap<string, string>;
  /** Bytes. */
  free: number | null;
  /** The snapshot that was asked about. */
  asked: Asked | null;
}

/** How the last sync or command of `lock` failed. */
export interface Failure {
  at: string;
  id: string;
  code: string;
  /** What it ended with, if the code is one that we know. */
  exitCode: number | null;
  message: string;
  /** What checks have found; the first few. */
  findings: readonly FindingRecord[];
  /** How much more they have found. */
  unlisted: number;
  /** The tree was right until a hook changed it. */
  isOfHook: boolean;
  /** Where the log is, and the last lines of it; null lines if only the owner may read them. */
  log: { path: string; lines: readonly string[] | null } | null;
}

/** A snapshot that is there, or that was. */
export type Asked =
  | { id: string; prunedAt: string }
  | { id: string; info: SnapshotInfo; closedMode: string | null };

/**
 * Gathers what is known of a mirror. Changes nothing, and takes no lock.
 *
 * @param id a snapshot to look at: its id or its path, `current`, `previous` or a channel.
 * @throws MirrorlatchError as `status`; USAGE when there is no such snapshot.
 */
export function explain(root: string, id?: string, options: StatusOptions = {}): Facts {
  const found = status(root, options);
  const layout = layoutOf(found.root);
  const history = readHistory(layout);
  const { lock, mode, findings } = found;
  const isBusy = lock.state.kind === 'held' || lock.state.kind === 'foreign';
  const isOrphaned = lock.state.kind === 'orphans';
  const gate = findings.find((finding) => finding.kind === 'unclean-gate');
  const current = currentId(layout);
  const look = current === undefined ? undefined : lastFullLook(history, current);
  const hasSnapshots = mode === 'snapshots' && !found.isInsideGuard;
  return {
    status: found,
    refusal: isBusy || found.isInsideGuard ? null : refusalOf(layout, found),
    seesAll: process.geteuid?.() === 0,
    staleAfterMs: DEFAULT_LOCK.staleAfterMs,
    remains: describeFindings(
      layout,
      findings.filter(({ kind }) => kind !== 'unclean-gate'),
      isOrphaned,
    ),
    gate: gate ?? null,
    failure: found.lastSync?.event === 'failed' ? failureOf(layout, found.lastSync) : null,
    fullLookAt: look === undefined ? null : new Date(look.began).toISOString(),
    pruning: hasSnapshots ? pruningOf(layout, found, history) : NOTHING,
    removedNext: hasSnapshots ? removedNextOf(layout, found, history) : [],
    graceUntil: graceOf(layout, history, found),
    free: ifAllowed(() => Number(freeSpaceAt(layout.root).bytes)) ?? null,
    asked: id === undefined ? null : askedOf(layout, history, found, id),
  };
}

const NOTHING: PruneResult = { removed: [], failed: [], kept: [] };

function refusalOf(layout: Layout, found: MirrorStatus): Facts['refusal'] {
  const error = problemOfConfiguration() ?? refusalOfWriters(layout, found);
  return error === undefined ? null : { message: error.message, hint: error.hint ?? null };
}

function pruningOf(
  layout: Layout,
  { retention }: MirrorStatus,
  history: readonly HistoryEntry[],
): Facts['pruning'] {
  try {
    return choosePrunable(layout, retention, 'at the end', history);
  } catch (error) {
    const { message, hint } = asMirrorlatchError(error, 'nothing can be pruned');
    return { problem: hint === undefined ? message : `${message}. ${hint}` };
  }
}

function removedNextOf(
  layout: Layout,
  { retention }: MirrorStatus,
  history: readonly HistoryEntry[],
): readonly string[] {
  try {
    return choosePrunable(layout, retention, 'one is coming', history).removed;
  } catch {
    // That is what `pruning` says.
    return [];
  }
}

function graceOf(
  layout: Layout,
  history: readonly HistoryEntry[],
  { snapshots, retention }: MirrorStatus,
): Map<string, string> {
  const now = Date.now();
  const timesOf = snapshotTimes(history, (id) => arrivalOf(layout, id), now);
  return new Map(
    snapshots.flatMap(({ id, isCurrent }) => {
      const until = timesOf(id).supersededAt + retention.graceMs;
      return isCurrent || until <= now ? [] : [[id, new Date(until).toISOString()]];
    }),
  );
}

function failureOf(layout: Layout, failed: Extract<HistoryEntry, { event: 'failed' }>): Failure {
  const {
    at,
    id,
    code,
    message,
    findings = [],
    count = findings.length,
    isOfHook = false,
  } = failed;
  const exitCode = Object.hasOwn(EXIT_CODES, code) ? EXIT_CODES[code as ErrorCode] : null;
  const unlisted = count - findings.length;
  const found = { findings, unlisted, isOfHook };
  return { at, id, code, exitCode, message, ...found, log: logOf(layout.log(id)) };
}

/** As much of its end as people read. */
const TAIL_BYTES = 4096;
const TAIL_LINES = 5;

function logOf(path: string): Failure['log'] {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  return (
    ifThere(() => {
      const open = () => openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
      const descriptor = ifAllowed(open);
      if (descriptor === undefined) return { path, lines: null };
      try {
        const { size } = fstatSync(descriptor);
        const bytes = Buffer.alloc(Math.min(size, TAIL_BYTES));
        const length = readSync(descriptor, bytes, 0, bytes.length, size - bytes.length);
        const lines = bytes.subarray(0, length).toString().trimEnd().split('\n');
        const isCut = size > TAIL_BYTES;
        return { path, lines: lines.slice(isCut ? 1 : 0).slice(-TAIL_LINES) };
      } finally {
        closeSync(descriptor);
      }
    }) ?? null
  );
}

function askedOf(
  layout: Layout,
  history: readonly HistoryEntry[],
  { snapshots, channels }: MirrorStatus,
  given: string,
): Asked {
  const named = [
    { name: 'current', id: currentId(layout) },
    { name: 'previous', id: previousId(layout) },
    ...channels,
  ];
  const id = named.find(({ name }) => name === given)?.id ?? snapshotNamed(layout, given);
  const info = snapshots.find((snapshot) => snapshot.id === id);
  if (info !== undefined) return { id, info, closedMode: modeIfClosed(info.path) ?? null };
  const last = indexOf(history).mentions.get(id);
  if (last?.event === 'pruned' && id !== LIVE) return { id, prunedAt: last.at };
  throw new MirrorlatchError(
    'USAGE',
    `${layout.root} has no snapshot named ${JSON.stringify(given)}`,
    { hint: `See what there is with: mirrorlatch list ${quoteForSh(layout.root)}` },
  );
}
