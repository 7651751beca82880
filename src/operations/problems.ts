import { asMirrorlatchError, type MirrorlatchError } from '../errors.ts';
import { type HistoryEntry, lastFlip } from '../mirror/history/history.ts';
import { type Ended, indexOf } from '../mirror/history/history-index.ts';
import { type Layout, LIVE } from '../mirror/layout.ts';
import type { LockState } from '../mirror/locks/lock-state.ts';
import { refuseUnchangeable, refuseUnfit } from '../mirror/plan/preflight.ts';
import { problemOnTheWay } from '../mirror/served/served-claim.ts';
import type { ServedDirectory } from '../mirror/served/served-directory.ts';
import { problemOfConfiguration } from '../mirror/settings/configured.ts';
import type { Settings } from '../mirror/settings/records.ts';
import { type Finding, isOfPerson, snapshotIds } from '../mirror/survey.ts';
import { isAhead } from '../mirror/units.ts';
import { ifAllowed } from '../system/files.ts';
import { describeAnyway } from '../writer/anyway.ts';
import type { SnapshotInfo } from './list.ts';

/** What is known of a mirror whose state is asked for. */
export interface Known {
  layout: Layout;
  settings: Settings;
  history: readonly HistoryEntry[];
  snapshots: readonly SnapshotInfo[];
  lock: LockState;
  /** What a crash left; empty while a writer is at work, and inside a guard. */
  findings: readonly Finding[];
  isInsideGuard: boolean;
  /** No sync has succeeded for longer than it may be. */
  isStale: boolean;
  /** When one has last; ISO 8601, UTC. */
  syncedAt: string | null;
  /** Nobody can make out its pins and tags. */
  isUnmarked: boolean;
  served: ServedDirectory | undefined;
}

/** Why a mirror needs attention, one clause each. */
export function problemsOf(known: Known): string[] {
  const { layout, settings, history, snapshots, lock, findings } = known;
  const isBusy = lock.kind === 'held' || lock.kind === 'foreign';
  // What a command of `lock` left running, if its holder was killed: nothing publishes its tree.
  const isLeft = lock.kind === 'held' && lock.killed !== undefined;
  const isSeenWhole = !isBusy && !known.isInsideGuard;
  const { lastSync } = indexOf(history);
  const current = snapshots.find(({ isCurrent }) => isCurrent);
  const configuration = problemOfConfiguration();
  const refusal = isSeenWhole ? refusalOfWriters(layout, settings) : undefined;
  return [
    ...(configuration === undefined
      ? []
      : [`the configuration is not valid: ${configuration.message}`]),
    ...(current === undefined ? [whyNothingIsCurrent(layout, history)] : []),
    ...(lastSync?.event === 'failed' ? [whyFailed(lastSync)] : []),
    ...(known.isStale ? [whyStale(known.syncedAt)] : []),
    ...problemsOfContent(snapshots),
    ...(lock.kind === 'free' || (isBusy && !isLeft) ? [] : ['the holder of the lock is dead']),
    ...(refusal === undefined ? [] : [refusal.message]),
    ...(known.isUnmarked ? ['its pins and tags are damaged, so that nothing is pruned'] : []),
    ...problemsOfRemains(findings, lastSync),
    ...(known.served && isSeenWhole ? problemsOfServed(layout, known.served, current) : []),
  ];
}

/** Why every writer is refused before its work, when it cannot put that on record; undefined if none is. */
export function refusalOfWriters(
  layout: Layout,
  { mode }: Pick<Settings, 'mode'>,
): MirrorlatchError | undefined {
  try {
    ifAllowed(() => {
      refuseUnfit(layout, mode);
      refuseUnchangeable(layout, mode);
    });
    return undefined;
  } catch (error) {
    return asMirrorlatchError(error, 'no sync can begin');
  }
}

function problemsOfContent(snapshots: readonly SnapshotInfo[]): string[] {
  const damaged = snapshots.filter(({ verified }) => verified !== null && verified.damaged > 0);
  return [
    ...(damaged.length === 0 ? [] : [`verify found damage in ${describeTrees(damaged)}`]),
    ...snapshots
      .filter(({ isCurrent, channels }) => isCurrent || channels.length > 0)
      .flatMap(problemOfCheck),
  ];
}

/** What a person has published although it is wrong. */
function problemOfCheck({ id, isCurrent, channels, checked }: SnapshotInfo): string[] {
  const anyway = describeAnyway(checked);
  const names = isCurrent ? '' : `, which ${channels.join(', ')} names,`;
  return anyway === undefined ? [] : [`${nameOf(id)}${names} ${anyway}`];
}

/** So many are named. */
const FEW = 3;

function describeTrees(snapshots: readonly SnapshotInfo[]): string {
  const names = snapshots.slice(0, FEW).map(({ id }) => nameOf(id));
  const more = snapshots.length > FEW ? ` and ${snapshots.length - FEW} more` : '';
  return names.join(', ') + more;
}

function nameOf(id: string): string {
  return id === LIVE ? 'the tree' : id;
}

/** A sync that failed has been named already, and what it left goes with it. */
function problemsOfRemains(findings: readonly Finding[], lastSync: Ended | undefined): string[] {
  const wanted = lastSync?.event === 'failed' ? ['unfinished-tree', 'unfinished-command'] : [];
  const others = findings.filter(
    ({ kind }) => !['foreign-tree', 'unclean-gate', 'mounted-clone', ...wanted].includes(kind),
  );
  const gate = findings.find((found) => found.kind === 'unclean-gate');
  return [
    ...(gate === undefined
      ? []
      : [gate.isClosedByHand ? 'its gate is closed' : 'guarded readers wait']),
    ...(others.length > 0 ? ['something was left behind'] : []),
    ...(findings.some(({ kind }) => kind === 'mounted-clone')
      ? ['a mount shows what was served before']
      : []),
  ];
}

/** A new one is filled by the next sync. */
function problemsOfServed(
  layout: Layout,
  { path, id, isLost, isUnseen }: ServedDirectory,
  current: SnapshotInfo | undefined,
): string[] {
  if (isUnseen) return [];
  const refusal = problemOnTheWay(layout, path);
  if (refusal !== undefined) return [`${path} cannot be served: ${refusal}`];
  if (isLost) return [`${path} is not what the mirror put there`];
  const isOther = id !== null && current !== undefined && id !== current.id;
  return isOther ? [`${path} is a clone of another snapshot than the current one`] : [];
}

function whyNothingIsCurrent(layout: Layout, history: readonly HistoryEntry[]): string {
  const isForeign = isOfPerson(layout, history);
  const ids = snapshotIds(layout).filter((id) => !isForeign(id));
  if (ids.length === 0) return 'there is no snapshot yet';
  const last = lastFlip(history)?.id;
  return last === undefined || ids.includes(last)
    ? 'the symlink current is missing, and the next sync makes it again'
    : 'what was current is not in the mirror any more, and the next sync publishes anew';
}

function whyStale(syncedAt: string | null): string {
  return syncedAt !== null && isAhead(syncedAt)
    ? 'its last sync lies in the future, so that it may be stale'
    : 'it is stale';
}

/** A refusal of ours names what was wrong: whoever reads it asks that next. */
function whyFailed({
  code,
  message,
  findings = [],
}: Extract<HistoryEntry, { event: 'failed' }>): string {
  const failed = 'the last sync or lock failed';
  const [first] = findings;
  if (code === 'CHECK_FAILED' && first !== undefined)
    return `${failed}: a check refused its tree (${first.name === '.' ? first.expected : first.name}: ${first.kind})`;
  if (code !== 'SHRUNKEN_SOURCE' && code !== 'HOOK_FAILED') return failed;
  const [clause] = message.split(/;|\n/);
  return `${failed}: ${clause}`;
}
