import { asMirrorlatchError, type MirrorlatchError } from '../errors.ts';
import { channelPlan } from '../mirror/channels/channel-state.ts';
import { channelsOf } from '../mirror/channels/channels.ts';
import { previousId } from '../mirror/current.ts';
import {
  filledBy,
  type HistoryEntry,
  inspectHistory,
  lastSuccess,
} from '../mirror/history/history.ts';
import {
  type Ended,
  type HookFailure,
  indexOf,
  refusalBefore,
} from '../mirror/history/history-index.ts';
import { namedBy } from '../mirror/history/link-moves.ts';
import type { Layout } from '../mirror/layout.ts';
import { describeLock, inspectLock, type LockState } from '../mirror/locks/lock-state.ts';
import { obstacleAt } from '../mirror/locks/obstacle.ts';
import { isPinnedTo } from '../mirror/locks/pins.ts';
import { openMirror } from '../mirror/open.ts';
import { readMarks } from '../mirror/retention/marks.ts';
import { type ServedDirectory, servedDirectory } from '../mirror/served/served-directory.ts';
import type {
  ChannelRule,
  CheckPolicy,
  ProbePolicy,
  RetentionPolicy,
  ShrinkPolicy,
} from '../mirror/settings/policy.ts';
import { checkDuration } from '../mirror/settings/policy-rules.ts';
import type { Settings } from '../mirror/settings/records.ts';
import { rememberedBy } from '../mirror/settings/settings.ts';
import { type Finding, lockedLeases, survey, unseenPlaces } from '../mirror/survey.ts';
import { modeIfClosed } from '../mirror/trees/tree-mode.ts';
import { isOlderThan } from '../mirror/units.ts';
import { ifAllowed } from '../system/files.ts';
import { policyOf } from '../writer/policy.ts';
import { keptByRules } from '../writer/pruning.ts';
import { type SnapshotInfo, snapshotsOf } from './list.ts';
import { problemsOf } from './problems.ts';

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
  /** How the hook `before-publish` has last refused what its rule still wants. */
  refused: HookFailure | null;
}

export interface MirrorStatus {
  root: string;
  mode: Settings['mode'];
  source: string | null;
  /** Where no source is remembered: what filled the current tree, such as `filled from web@www:/srv/web/`. */
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
  /** The hooks that failed, which has not ended the work. */
  hookFailures: readonly HookFailure[];
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
  const channels = channelInfos(layout, settings, history);
  const problems = problemsOf({
    ...{ layout, settings, history, snapshots, lock: state, findings, isInsideGuard },
    ...{ isStale, syncedAt, isUnmarked: unreadableMarks !== null, served },
  });
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
    channels,
    snapshots,
    lock: { state, message: describeLock(state) },
    findings,
    isInsideGuard,
    unseen,
    lastSync,
    hookFailures: [
      ...[...indexOf(history).hookFailures.values()].filter(({ channel }) => channel === undefined),
      ...channels.flatMap(({ refused }) => refused ?? []),
    ],
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
  const { promises, moves: due } = channelPlan(layout, settings, { history });
  const { moves, hookFailures } = indexOf(history);
  const names = new Set([...channels.map(({ name }) => name), ...Object.keys(rules)]);
  return [...names].sort().map((name) => {
    const found = channels.find((channel) => channel.name === name);
    const last = moves.get(name)?.at(-1);
    const next = promises.find(({ channel, inMs }) => channel === name && Number.isFinite(inMs));
    const isDue = due.some(({ channel }) => channel === name);
    const isSame = last !== undefined && namedBy(last) === found?.id;
    return {
      name,
      id: found?.id ?? null,
      isWhole: found?.isWhole ?? false,
      since: isSame ? last.at : null,
      rule: rules[name] ?? null,
      next: next === undefined ? null : { id: next.id, inMs: next.inMs },
      hold: channelHolds[name] ?? null,
      refused: isDue ? (hookFailures.get(refusalBefore(name)) ?? null) : null,
    };
  });
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
