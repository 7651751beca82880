import { describeFinding } from '../checks/finding.ts';
import { asMirrorlatchError, type MirrorlatchError } from '../errors.ts';
import { channelPlan } from '../mirror/channels/channel-state.ts';
import { channelsById, channelsOf } from '../mirror/channels/channels.ts';
import { currentId, previousId } from '../mirror/current.ts';
import {
  filledBy,
  type HistoryEntry,
  inspectHistory,
  lastFlip,
  lastSuccess,
  leftOutOf,
  publicationOf,
  readHistory,
  verificationOf,
} from '../mirror/history/history.ts';
import { type Ended, indexOf, type Verified } from '../mirror/history/history-index.ts';
import type {
  CheckedRecord,
  LeftOutRecord,
  WritableByAll,
} from '../mirror/history/history-line.ts';
import { namedBy } from '../mirror/history/link-moves.ts';
import { publishedOrMoved } from '../mirror/history/snapshot-times.ts';
import { type Layout, LIVE } from '../mirror/layout.ts';
import { describeLock, inspectLock, type LockState } from '../mirror/locks/lock-state.ts';
import { obstacleAt } from '../mirror/locks/obstacle.ts';
import { isPinnedTo } from '../mirror/locks/pins.ts';
import { countLeases, findReaders, type Reader } from '../mirror/locks/readers.ts';
import { openMirror } from '../mirror/open.ts';
import { refuseUnchangeable, refuseUnfit } from '../mirror/plan/preflight.ts';
import { marksIfReadable, NO_MARKS, readMarks } from '../mirror/retention/marks.ts';
import { problemOnTheWay } from '../mirror/served/served-claim.ts';
import { type ServedDirectory, servedDirectory } from '../mirror/served/served-directory.ts';
import { problemOfConfiguration } from '../mirror/settings/configured.ts';
import type {
  ChannelRule,
  CheckPolicy,
  ProbePolicy,
  RetentionPolicy,
  ShrinkPolicy,
} from '../mirror/settings/policy.ts';
import { checkDuration } from '../mirror/settings/policy-rules.ts';
import type { Settings, SnapshotPin } from '../mirror/settings/records.ts';
import { rememberedBy } from '../mirror/settings/settings.ts';
import {
  type Finding,
  isOfPerson,
  lockedLeases,
  snapshotIds,
  survey,
  unseenPlaces,
} from '../mirror/survey.ts';
import { modeIfClosed } from '../mirror/trees/tree-mode.ts';
import { isAhead, isOlderThan } from '../mirror/units.ts';
import { ifAllowed } from '../system/files.ts';
import { policyOf } from '../writer/policy.ts';
import { keptByRules } from '../writer/pruning.ts';

export interface SnapshotInfo {
  id: string;
  path: string;
  isCurrent: boolean;
  isPrevious: boolean;
  /** The names of the channels that name it. */
  channels: readonly string[];
  /** When it was made and published; ISO 8601, UTC. A rollback to it does not change this. */
  publishedAt: string | null;
  /** Regular files, and their bytes, if the sync that made it counted them. */
  files: number | null;
  bytes: number | null;
  /** How much came from the source for it; bytes. */
  newBytes: number | null;
  /** What it lacks of its source. */
  leftOut: LeftOutRecord[];
  /** What `verify` found of it when it looked last; null if it never did. */
  verified: Verified | null;
  /** What a check found of it before it was published; null if there was none. */
  checked: CheckedRecord | null;
  /** What any user could change in it; null if that was not recorded. */
  writableByAll: WritableByAll | null;
  /** Processes that read it, as far as this user may see them. */
  readers: Reader[];
  /** What people say of it; null if that cannot be made out, see `unreadableMarks`. */
  tags: string[] | null;
  /** Who keeps it for ever, and why; null if nobody does, or that cannot be made out. */
  pin: SnapshotPin | null;
  /** Locks on its lease, those of processes invisible to this user included. */
  leases: number;
}

/** A channel, or a rule whose channel is still to come. */
export interface ChannelInfo {
  name: string;
  /** What it names; null if no snapshot is old enough for its rule yet. */
  id: string | null;
  /** Whether that snapshot is there. */
  isWhole: boolean;
  /** When it came to name it; ISO 8601, UTC. */
  since: string | null;
  rule: ChannelRule | null;
  /** What its rule will promote to it next, and in how long; ms. 0: by the next command. */
  next: { id: string; inMs: number } | null;
  /** Why no rule moves it until a person releases it. */
  hold: NonNullable<Settings['hold']> | null;
}

export interface MirrorStatus {
  root: string;
  mode: Settings['mode'];
  source: string | null;
  /** Where no source is remembered: what filled the current tree, such as `pushed from /srv/web`. */
  filledBy: string | null;
  /** For rsync, as after `--`. */
  rsyncOptions: readonly string[];
  retention: RetentionPolicy;
  /** How much may vanish in one publication. */
  shrink: ShrinkPolicy;
  /** What a sync looks at before it looks at everything. */
  probe: ProbePolicy;
  /** By what a new tree has to prove right before it is published. */
  check: CheckPolicy;
  current: SnapshotInfo | null;
  previous: string | null;
  channels: ChannelInfo[];
  snapshots: SnapshotInfo[];
  lock: { state: LockState; message: string };
  /** What an earlier crash left; empty while a writer is at work, whose traces look the same. */
  findings: Finding[];
  /** Directories in which more may be left, but that this user may not look into. */
  unseen: string[];
  lastSync: Ended | null;
  /** When a sync or a command of `lock` last succeeded, with or without changes; ISO 8601, UTC. */
  syncedAt: string | null;
  /** Why nothing is published until a person releases the mirror. */
  hold: NonNullable<Settings['hold']> | null;
  /** What `--serve-at` keeps; null without it. */
  served: ServedDirectory | null;
  /** Readers get a whole tree. */
  isWhole: boolean;
  /** A sync has succeeded within the limit; null without a limit. */
  isFresh: boolean | null;
  /** The octal mode of the current tree, if it keeps some users out; else null. */
  closedMode: string | null;
  /** The numbers of the lines of history that are damaged, and skipped. */
  damagedHistoryLines: number[];
  /** Why the pins and tags of snapshots cannot be made out, so that nothing is pruned, and what helps; else null. */
  unreadableMarks: string | null;
  /** This process sees the mirror through a guard, which shows one snapshot alone. */
  isInsideGuard: boolean;
  /** Why it needs attention, one clause each. */
  problems: string[];
  /** There is no problem. */
  isHealthy: boolean;
}

/** The snapshots of a mirror, oldest first. */
export function list(root: string): SnapshotInfo[] {
  const { layout } = openMirror(root);
  return snapshotsOf(layout, readHistory(layout));
}

function snapshotsOf(layout: Layout, history: readonly HistoryEntry[]): SnapshotInfo[] {
  const current = currentId(layout);
  const previous = previousId(layout);
  const channels = ifAllowed(() => channelsById(layout)) ?? new Map<string, string[]>();
  const readers = findReaders(layout);
  const marks = marksIfReadable(layout);
  const ids = current === LIVE ? [LIVE] : snapshotIds(layout);
  const leases = countLeases(layout, ids);
  return ids
    .map((id): SnapshotInfo => {
      const published = publicationOf(history, id);
      return {
        id,
        path: layout.snapshot(id),
        isCurrent: id === current,
        isPrevious: id === previous,
        channels: channels.get(id) ?? [],
        publishedAt: published?.at ?? null,
        files: published?.files ?? null,
        bytes: published?.bytes ?? null,
        newBytes: published?.newBytes ?? null,
        leftOut: leftOutOf(history, id),
        verified: verificationOf(history, id) ?? null,
        checked: published?.checked ?? null,
        writableByAll: published?.writableByAll ?? null,
        readers: readers.get(id) ?? [],
        tags: marks === undefined ? null : (marks.get(id) ?? NO_MARKS).tags,
        pin: marks?.get(id)?.pin ?? null,
        leases: leases.get(id) ?? 0,
      };
    })
    .map((info) => ({ info, at: publishedOrMoved(layout, history, info.id) }))
    .sort((a, b) => a.at - b.at)
    .map(({ info }) => info);
}

export interface StatusOptions {
  /** How long ago the last successful sync may be; ms. By default any time. */
  maxAgeMs?: number | undefined;
}

/** The state of a mirror: its writer, what it serves, what a crash left. Changes nothing. */
export function status(root: string, { maxAgeMs }: StatusOptions = {}): MirrorStatus {
  checkDuration('maxAgeMs', maxAgeMs);
  const { layout, settings } = openMirror(root);
  const { source, rsyncOptions } = rememberedBy(settings);
  const { retention, shrink, probe, check } = policyOf(settings, {});
  const state = inspectLock(layout);
  // After the look at the lock: a writer that has released it has recorded all that it did.
  const { entries: history, damaged } = inspectHistory(layout);
  const snapshots = snapshotsOf(layout, history);
  const isBusy = state.kind === 'held' || state.kind === 'foreign';
  // What a command of `lock` left running, if its holder was killed: nothing publishes its tree.
  const isLeft = state.kind === 'held' && state.killed !== undefined;
  // A guard shows one snapshot and no staging: what is missing there was not left by a crash.
  const isInsideGuard = isPinnedTo(layout.root, 'self');
  const findings = isBusy || isInsideGuard ? [] : presentFindings(layout, history, retention);
  const unseen = isBusy || isInsideGuard ? [] : unseenPlaces(layout);
  const lastSync = indexOf(history).lastSync ?? null;
  const current = snapshots.find(({ isCurrent }) => isCurrent) ?? null;
  const syncedAt = lastSuccess(history);
  const unreadableMarks = whyUnreadable(layout);
  const isStale = maxAgeMs !== undefined && isOlderThan(syncedAt, maxAgeMs);
  const served = servedDirectory(layout);
  const configuration = problemOfConfiguration();
  const refusal = isBusy || isInsideGuard ? undefined : refusalOfWriters(layout, settings);
  const problems = [
    ...(configuration === undefined
      ? []
      : [`the configuration is not valid: ${configuration.message}`]),
    ...(current === null ? [whyNothingIsCurrent(layout, history)] : []),
    ...(lastSync?.event === 'failed' ? [whyFailed(lastSync)] : []),
    ...(isStale ? [whyStale(syncedAt)] : []),
    ...problemsOfContent(snapshots),
    ...(state.kind === 'free' || (isBusy && !isLeft) ? [] : ['the holder of the lock is dead']),
    ...(refusal === undefined ? [] : [refusal.message]),
    ...(unreadableMarks === null
      ? []
      : ['its pins and tags are damaged, so that nothing is pruned']),
    ...problemsOf(findings, lastSync),
    ...(served && !isBusy && !isInsideGuard ? problemsOfServed(layout, served, current) : []),
  ];
  return {
    root: layout.root,
    mode: settings.mode,
    source: source ?? null,
    filledBy: source === undefined && current !== null ? filledBy(history, current.id) : null,
    rsyncOptions,
    retention,
    shrink,
    probe,
    check,
    current,
    previous: previousId(layout) ?? null,
    channels: channelInfos(layout, settings, history),
    snapshots,
    lock: { state, message: describeLock(state) },
    findings,
    isInsideGuard,
    unseen,
    lastSync,
    damagedHistoryLines: damaged,
    unreadableMarks,
    syncedAt,
    hold: settings.hold ?? null,
    served: served ?? null,
    isWhole: current !== null && obstacleAt(layout, () => state) === undefined,
    isFresh: maxAgeMs === undefined ? null : !isStale,
    closedMode: (current && modeIfClosed(current.path)) ?? null,
    problems,
    isHealthy: problems.length === 0,
  };
}

/** One of several mirrors. */
export type StatusOfOne =
  | { root: string; status: MirrorStatus }
  /** It cannot be looked at. */
  | { root: string; error: MirrorlatchError };

/** The states of several mirrors, in their order. One that cannot be looked at hinders no other. */
export function statusOfSeveral(
  mirrors: readonly ({ root: string } & StatusOptions)[],
): StatusOfOne[] {
  return mirrors.map(({ root, ...options }) => {
    try {
      return { root, status: status(root, options) };
    } catch (error) {
      return { root, error: asMirrorlatchError(error, `the mirror ${root} cannot be looked at`) };
    }
  });
}

function channelInfos(
  layout: Layout,
  settings: Settings,
  history: readonly HistoryEntry[],
): ChannelInfo[] {
  const channels = ifAllowed(() => channelsOf(layout)) ?? [];
  const { channels: rules = {}, channelHolds = {} } = settings;
  const { promises } = channelPlan(layout, settings, history);
  const { moves } = indexOf(history);
  const names = new Set([...channels.map(({ name }) => name), ...Object.keys(rules)]);
  return [...names].sort().map((name) => {
    const found = channels.find((channel) => channel.name === name);
    const last = moves.get(name)?.at(-1);
    const next = promises.find(({ channel, inMs }) => channel === name && Number.isFinite(inMs));
    const isSame = last !== undefined && namedBy(last) === found?.id;
    return {
      name,
      id: found?.id ?? null,
      isWhole: found?.isWhole ?? false,
      since: isSame ? last.at : null,
      rule: rules[name] ?? null,
      next: next === undefined ? null : { id: next.id, inMs: next.inMs },
      hold: channelHolds[name] ?? null,
    };
  });
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

function whyUnreadable(layout: Layout): string | null {
  try {
    readMarks(layout);
    return null;
  } catch (error) {
    const { message, hint = '' } = asMirrorlatchError(error, `${layout.marks} cannot be read`);
    return `${message}. ${hint}`;
  }
}

function problemsOfContent(snapshots: readonly SnapshotInfo[]): string[] {
  const damaged = snapshots.filter(({ verified }) => verified !== null && verified.damaged > 0);
  return [
    ...damaged.map(({ id }) => `verify found damage in ${nameOf(id)}`),
    ...snapshots.filter(({ isCurrent }) => isCurrent).flatMap(problemOfCheck),
  ];
}

/** What a person has published although it is wrong. */
function problemOfCheck({ id, checked }: SnapshotInfo): string[] {
  const [first] = checked?.wrong ?? [];
  if (first === undefined) return [];
  const count = checked?.findings ?? 0;
  const more = count > 1 ? `, and ${count - 1} more` : '';
  return [`${nameOf(id)} was published anyway, although ${describeFinding(first)}${more}`];
}

function nameOf(id: string): string {
  return id === LIVE ? 'the tree' : id;
}

/** A sync that failed has been named already, and what it left goes with it. */
function problemsOf(findings: readonly Finding[], lastSync: Ended | null): string[] {
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
  current: SnapshotInfo | null,
): string[] {
  if (isUnseen) return [];
  const refusal = problemOnTheWay(layout, path);
  if (refusal !== undefined) return [`${path} cannot be served: ${refusal}`];
  if (isLost) return [`${path} is not what the mirror put there`];
  const isOther = id !== null && current !== null && id !== current.id;
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

/** Without a failure to remove what a rule keeps by now. */
function presentFindings(
  layout: Layout,
  history: readonly HistoryEntry[],
  retention: RetentionPolicy,
): Finding[] {
  const findings = [...survey(layout, history), ...lockedLeases(layout)];
  if (!findings.some(({ kind }) => kind === 'failed-removal')) return findings;
  const kept = keptByRules(layout, history, retention);
  return findings.filter((found) => found.kind !== 'failed-removal' || !kept.has(found.id));
}

function whyStale(syncedAt: string | null): string {
  return syncedAt !== null && isAhead(syncedAt)
    ? 'its last sync lies in the future, so that it may be stale'
    : 'it is stale';
}

/** A refusal by a check names the first thing that was wrong: whoever reads it asks that next. */
function whyFailed({ code, findings = [] }: Extract<HistoryEntry, { event: 'failed' }>): string {
  const failed = 'the last sync or lock failed';
  const [first] = findings;
  if (code !== 'CHECK_FAILED' || first === undefined) return failed;
  return `${failed}: a check refused its tree (${first.name}: ${first.kind})`;
}
