import { rmSync } from 'node:fs';
import { asMirrorlatchError, errnoOf } from '../errors.ts';
import { describePromise } from '../mirror/channels/channel-plan.ts';
import { channelPlan } from '../mirror/channels/channel-state.ts';
import { channelsById } from '../mirror/channels/channels.ts';
import { currentId, previousId } from '../mirror/current.ts';
import { discard } from '../mirror/discard.ts';
import {
  appendHistory,
  type HistoryEntry,
  pruneFailureOf,
  readHistory,
} from '../mirror/history/history.ts';
import { removeOldLogs } from '../mirror/history/logs.ts';
import {
  arrivalOf,
  inOrderOfPublication,
  snapshotTimes,
} from '../mirror/history/snapshot-times.ts';
import type { Layout } from '../mirror/layout.ts';
import { closeToReaders } from '../mirror/locks/lease.ts';
import { countLeases, findReaders, type Reader } from '../mirror/locks/readers.ts';
import {
  dropMarksOfGone,
  marksIfReadable,
  NO_MARKS,
  readMarks,
} from '../mirror/retention/marks.ts';
import {
  applyRetention,
  type DatedSnapshot,
  HELD_BY_READER,
  reasonsOfMark,
} from '../mirror/retention/retention.ts';
import { servedClones } from '../mirror/served/served-directory.ts';
import type { RetentionPolicy } from '../mirror/settings/policy.ts';
import { readSettings } from '../mirror/settings/settings.ts';
import { discardSpare, keepSpare } from '../mirror/spare.ts';
import {
  isOfPerson,
  lostPrevious,
  neverCurrent,
  snapshotIds,
  unrecordedFlip,
  unrecordedMoves,
} from '../mirror/survey.ts';
import { emptyTrash } from '../mirror/trash.ts';
import { lstatIfThere, syncDirectory } from '../system/files.ts';
import { mountPointsWithin, refuseMountsWithin } from '../system/mounts.ts';
import { userName } from '../system/proc.ts';
import { quoteForSh } from '../system/quote.ts';
import { chooseSpare } from './recycling.ts';
import type { Writer } from './writer.ts';

export interface PruneResult {
  removed: string[];
  /** Snapshots that no rule keeps, but that could not be removed. */
  failed: { id: string; message: string }[];
  kept: { id: string; reasons: string[]; readers: Reader[] }[];
}

/** Whether the snapshot that the session makes is there already. */
type When = 'at the end' | 'one is coming';

/** Stands for that snapshot; no snapshot has this id. */
const COMING = '';

/** What becomes of the tree of `spare.ts`. */
export const SPARE_IS_GONE = 'the tree that was kept for the next sync was removed';
export const SPARE_WOULD_GO = 'the tree that is kept for the next sync would be removed, too';

/**
 * Takes the snapshots that no rule keeps and nobody reads (I5) out of sight; the end of the writer's
 * session removes them. One that cannot go hinders no other.
 *
 * @param when with a snapshot in the making, that one counts as the latest.
 */
export function pruneOldSnapshots(writer: Writer, when: When = 'at the end'): PruneResult {
  const { layout, lock, policy } = writer;
  const wanted = choosePrunable(layout, policy.retention, when);
  const chosen = when === 'at the end' ? chooseSpare(writer, wanted.removed) : undefined;
  const result: PruneResult = { ...wanted, removed: [] };
  for (const id of wanted.removed) {
    lock.assertHeld();
    try {
      const takeAway = id === chosen ? keepIfPossible : discardSnapshot;
      const reasons = removeUnlessHeld(layout, id, policy.retention, takeAway);
      if (reasons.length === 0) result.removed.push(id);
      else result.kept.push({ id, reasons, readers: [] });
    } catch (error) {
      result.failed.push({ id, message: obstacleTo(layout, id, error) });
    }
  }
  dropMarks(layout);
  recordFailures(layout, result.failed);
  removeOldLogs(layout);
  return result;
}

/** So that `status` can report them; a repetition is no news. */
function recordFailures(layout: Layout, failed: PruneResult['failed']): void {
  if (failed.length === 0) return;
  const history = readHistory(layout);
  for (const { id, message } of failed) {
    if (pruneFailureOf(history, id) === message) continue;
    appendHistory(layout, { event: 'prune-failed', at: new Date().toISOString(), id, message });
  }
}

/** A snapshot or a log that cannot be removed is no reason to call a publication a failure. */
export function pruneQuietly(writer: Writer): PruneResult | undefined {
  try {
    if (writer.settings.mode === 'in-place') {
      removeOldLogs(writer.layout);
      return undefined;
    }
    writer.enter('pruning');
    const result = pruneOldSnapshots(writer);
    result.removed.unshift(...writer.removedFirst);
    for (const { message } of result.failed) writer.onEvent({ kind: 'problem', message });
    return result;
  } catch (error) {
    writer.reportProblem(error, 'old snapshots or logs could not be removed');
    return undefined;
  }
}

/** Why a snapshot could not be removed, with the way out, in one line. */
function obstacleTo(layout: Layout, id: string, error: unknown): string {
  const path = layout.snapshot(id);
  if (errnoOf(error) === 'EXDEV') {
    const removal = `rm -rf -- ${quoteForSh(path)}`;
    return `${path} cannot be removed: it lies in a lower layer of an overlay filesystem, out of which no directory is moved. When nobody reads it, remove it with: ${removal}`;
  }
  const { code, message, hint } = asMirrorlatchError(error, `${path} cannot be removed`);
  const [owner, us] = [Number(lstatIfThere(path)?.uid), process.geteuid?.() ?? 0];
  if (code === 'PERMISSION' && owner !== us) {
    const mend = `chown -hR ${quoteForSh(userName(us))} ${quoteForSh(path)}`;
    return `${path} cannot be removed: it belongs to ${userName(owner)}. As root, give it to the user of the mirror: ${mend}`;
  }
  return hint === undefined ? message : `${message}. ${hint}`;
}

/**
 * Removes these snapshots at once.
 *
 * @throws MirrorlatchError IO when one of them cannot be removed.
 */
export async function removeOldSnapshots(writer: Writer): Promise<PruneResult> {
  const result = pruneOldSnapshots(writer);
  if (discardSpare(writer.layout)) writer.notice(SPARE_IS_GONE);
  await emptyTrash(writer.layout, writer.lock);
  return result;
}

/** The ids of the snapshots that a rule keeps. */
export function keptByRules(
  layout: Layout,
  history: readonly HistoryEntry[],
  retention: RetentionPolicy,
): Set<string> {
  // Nothing is pruned then.
  if (marksIfReadable(layout) === undefined) return new Set(snapshotIds(layout));
  const decisions = applyRetention(datedSnapshots(layout, history), retention, Date.now());
  return new Set(decisions.filter(({ reasons }) => reasons.length > 0).map(({ id }) => id));
}

/**
 * What the rules and the readers say; removes nothing.
 *
 * @throws MirrorlatchError CONFIGURATION when it is not known which snapshots are pinned.
 */
export function choosePrunable(
  layout: Layout,
  retention: RetentionPolicy,
  when: When = 'at the end',
  history: readonly HistoryEntry[] = readHistory(layout),
): PruneResult {
  const now = Date.now();
  const isNot = { isCurrent: false, isPrevious: false, channels: [], promises: [], clones: [] };
  const coming = {
    ...isNot,
    mark: NO_MARKS,
    publishedAt: now,
    supersededAt: now,
    writtenAt: now,
  };
  const decisions = applyRetention(
    [
      ...datedSnapshots(layout, history),
      ...(when === 'one is coming' ? [{ id: COMING, ...coming }] : []),
    ],
    retention,
    now,
  ).filter(({ id }) => id !== COMING);
  const result: PruneResult = { removed: [], failed: [], kept: [] };
  const unkept = decisions.filter(({ reasons }) => reasons.length === 0).map(({ id }) => id);
  const readersOf = unkept.length > 0 ? findReaders(layout) : new Map<string, Reader[]>();
  const leases = countLeases(layout, unkept);
  const isAnyMounted = unkept.length > 0 && mountPointsWithin(layout.snapshots).length > 0;
  for (const { id, reasons } of decisions) {
    // Before the readers: by the mount itself, every process uses the snapshot.
    const obstacle = isAnyMounted && reasons.length === 0 ? obstacleByMount(layout, id) : undefined;
    if (obstacle !== undefined) {
      result.failed.push({ id, message: obstacle });
      continue;
    }
    const readers = readersOf.get(id) ?? [];
    // Every lease counts, even if its holder is invisible to this user.
    const isRead = readers.length > 0 || (leases.get(id) ?? 0) > 0;
    if (reasons.length > 0 || isRead) {
      result.kept.push({ id, reasons: isRead ? [...reasons, HELD_BY_READER] : reasons, readers });
      continue;
    }
    result.removed.push(id);
  }
  return result;
}

function obstacleByMount(layout: Layout, id: string): string | undefined {
  try {
    refuseMountsWithin(layout.snapshot(id), 'removed');
    return undefined;
  } catch (error) {
    return obstacleTo(layout, id, error);
  }
}

function datedSnapshots(layout: Layout, recorded: readonly HistoryEntry[]): DatedSnapshot[] {
  // A dry run comes before the recovery that records it, restores `previous`, and takes back what was
  // never current.
  const unrecorded = unrecordedFlip(layout, recorded);
  const history = [
    ...recorded,
    ...(unrecorded === undefined ? [] : [unrecorded]),
    ...unrecordedMoves(layout, recorded),
  ];
  const current = currentId(layout);
  const previous = lostPrevious(layout, history) ?? previousId(layout);
  const inChannels = channelsById(layout);
  const settings = readSettings(layout);
  const { promises } = settings ? channelPlan(layout, settings, { history }) : { promises: [] };
  const served = servedClones(layout);
  const marks = readMarks(layout);
  const isForeign = isOfPerson(layout, history);
  const isUnpublished = neverCurrent(layout, history);
  const ids = snapshotIds(layout).filter((id) => !isForeign(id) && !isUnpublished(id));
  const arrivedAt = onceForEach((id) => arrivalOf(layout, id));
  const timesOf = snapshotTimes(history, arrivedAt, Date.now());
  return inOrderOfPublication(history, ids, arrivedAt).map((id) => ({
    id,
    isCurrent: id === current,
    isPrevious: id === previous,
    channels: inChannels.get(id) ?? [],
    promises: promises.filter((promise) => promise.id === id).map(describePromise),
    clones: served.filter((clone) => clone.id === id).map(({ path }) => path),
    mark: marks.get(id) ?? NO_MARKS,
    ...timesOf(id),
  }));
}

/** Where history was lost, the arrival of each snapshot is compared with that of all others. */
function onceForEach(ask: (id: string) => number): (id: string) => number {
  const known = new Map<string, number>();
  return (id) => {
    const answer = known.get(id) ?? ask(id);
    known.set(id, answer);
    return answer;
  };
}

/** @returns why it has to stay; empty if it is gone. */
function removeUnlessHeld(
  layout: Layout,
  id: string,
  retention: RetentionPolicy,
  takeAway: (layout: Layout, id: string) => void,
): string[] {
  const closure = closeToReaders(layout, id);
  if (closure === undefined) return [HELD_BY_READER];
  let isRemoved = false;
  try {
    // A mark may have come since the choice. From here on none can: that needs the lease.
    const reasons = reasonsOfMark(readMarks(layout).get(id) ?? NO_MARKS, retention);
    if (reasons.length > 0) return reasons;
    takeAway(layout, id);
    rmSync(layout.lease(id), { force: true });
    for (const directory of [layout.snapshots, layout.leases]) syncDirectory(directory);
    appendHistory(layout, { event: 'pruned', at: new Date().toISOString(), id });
    isRemoved = true;
    return [];
  } finally {
    closure.end(isRemoved);
  }
}

/** Marks that are left longer do no harm: a new snapshot of that name does not get them. */
function dropMarks(layout: Layout): void {
  try {
    dropMarksOfGone(layout);
  } catch {
    // The next prune tries again.
  }
}

/** On a full disk there may be no room for the mark. */
function keepIfPossible(layout: Layout, id: string): void {
  try {
    keepSpare(layout, id);
  } catch (error) {
    if (lstatIfThere(layout.snapshot(id)) === undefined) throw error;
    discardSnapshot(layout, id);
  }
}

function discardSnapshot(layout: Layout, id: string): void {
  discard(layout, layout.snapshot(id));
}
