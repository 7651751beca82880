import { closeSync, openSync, readdirSync, rmSync } from 'node:fs';
import { asMirrorlatchError } from '../errors.ts';
import {
  appendHistory,
  becameCurrentAt,
  type HistoryEntry,
  inOrderOfPublication,
  readHistory,
  stoppedBeingCurrentAt,
} from '../mirror/history.ts';
import type { Layout } from '../mirror/layout.ts';
import { currentId, previousId } from '../mirror/publication.ts';
import { countLeases, findReaders, type Reader } from '../mirror/readers.ts';
import { recover, snapshotIds } from '../mirror/recovery.ts';
import { applyRetention, type DatedSnapshot } from '../mirror/retention.ts';
import { closeGate } from '../mirror/staging.ts';
import { acquireSyncLock, type SyncLock } from '../mirror/sync-lock.ts';
import { discard, emptyTrash } from '../mirror/trash.ts';
import { ifThere, syncDirectory } from '../system/files.ts';
import { tryFlock } from '../system/flock.ts';
import type { OnEvent } from '../writer/events.ts';
import { type Mirror, openMirrorWithSnapshots } from './mirror.ts';

export interface PruneOptions {
  root: string;
  keepLast?: number | undefined;
  keepWithinMs?: number | undefined;
  graceMs?: number | undefined;
  /** Only tell what would go. */
  dryRun?: boolean | undefined;
  /** How long to wait for another writer; ms. */
  waitMs?: number | undefined;
  signal?: AbortSignal | undefined;
  onEvent?: OnEvent | undefined;
}

export interface PruneResult {
  removed: string[];
  kept: { id: string; reasons: string[]; readers: Reader[] }[];
}

/** Logs of syncs that published nothing, which stay for a look at what went wrong. */
const KEPT_LOGS = 20;

/**
 * Removes the snapshots that no rule keeps and nobody reads (I5).
 *
 * @throws MirrorlatchError BUSY while a sync runs.
 */
export async function prune(options: PruneOptions): Promise<PruneResult> {
  const { dryRun = false, waitMs, signal, onEvent = () => {} } = options;
  const mirror = openMirrorWithSnapshots(options.root);
  if (dryRun) return decide(mirror, options);
  const lock = await acquireSyncLock(mirror.layout, {
    command: 'prune',
    waitMs,
    signal,
    onWait: ({ message }) => onEvent({ kind: 'notice', message: `waiting: ${message}` }),
  });
  try {
    closeGate(mirror.layout);
    await recover(mirror.layout, lock);
    const result = pruneUnderLock(mirror, lock, options);
    await emptyTrash(mirror.layout, [lock.descriptor]);
    return result;
  } catch (error) {
    throw asMirrorlatchError(error, `the pruning of ${mirror.layout.root} failed`);
  } finally {
    await lock.release();
  }
}

/** Takes what may go out of sight; `emptyTrash` removes it. */
export function pruneUnderLock(
  mirror: Mirror,
  lock: SyncLock,
  rules: Pick<PruneOptions, 'keepLast' | 'keepWithinMs' | 'graceMs'>,
): PruneResult {
  const { layout } = mirror;
  const wanted = decide(mirror, rules);
  const result: PruneResult = { removed: [], kept: wanted.kept };
  for (const id of wanted.removed) {
    lock.assertHeld();
    if (removeUnlessLeased(layout, id)) result.removed.push(id);
    else result.kept.push({ id, reasons: ['is held by a reader'], readers: [] });
  }
  removeOldLogs(layout);
  return result;
}

/** What the rules and the readers say; removes nothing. */
function decide(
  { layout, settings }: Mirror,
  { keepLast, keepWithinMs, graceMs }: Pick<PruneOptions, 'keepLast' | 'keepWithinMs' | 'graceMs'>,
): PruneResult {
  const decisions = applyRetention(
    datedSnapshots(layout),
    {
      keepLast: keepLast ?? settings.keepLast,
      keepWithinMs: keepWithinMs ?? settings.keepWithinMs,
      graceMs: graceMs ?? settings.graceMs,
    },
    new Date(),
  );
  const result: PruneResult = { removed: [], kept: [] };
  const mayGo = decisions.some(({ reasons }) => reasons.length === 0);
  const readersOf = mayGo ? findReaders(layout) : new Map<string, Reader[]>();
  for (const { id, reasons } of decisions) {
    const readers = readersOf.get(id) ?? [];
    // Who holds a lease counts, also where this user may not see whose it is.
    const isRead = readers.length > 0 || (reasons.length === 0 && countLeases(layout, id) > 0);
    if (reasons.length === 0 && !isRead) result.removed.push(id);
    else
      result.kept.push({
        id,
        reasons: isRead ? [...reasons, 'is held by a reader'] : reasons,
        readers,
      });
  }
  return result;
}

function datedSnapshots(layout: Layout): DatedSnapshot[] {
  const history: HistoryEntry[] = readHistory(layout);
  const current = currentId(layout);
  const previous = previousId(layout);
  return inOrderOfPublication(history, snapshotIds(layout)).map((id) => ({
    id,
    isCurrent: id === current,
    isPrevious: id === previous,
    publishedAt: becameCurrentAt(history, id),
    supersededAt: stoppedBeingCurrentAt(history, id),
  }));
}

/**
 * A reader takes its lease shared before it goes in, and looks again whether the lease is still
 * there: so with the lease taken exclusively, nobody can have come in unseen.
 */
function removeUnlessLeased(layout: Layout, id: string): boolean {
  const lease = ifThere(() => openSync(layout.lease(id), 'r'));
  try {
    if (lease !== undefined && tryFlock(lease, 'exclusive') === 'held') return false;
    discard(layout, layout.snapshot(id));
    rmSync(layout.lease(id), { force: true });
    for (const directory of [layout.snapshots, layout.leases]) syncDirectory(directory);
    appendHistory(layout, { event: 'pruned', at: new Date().toISOString(), id });
    return true;
  } finally {
    if (lease !== undefined) closeSync(lease);
  }
}

function removeOldLogs(layout: Layout): void {
  const published = new Set(snapshotIds(layout));
  const others = (ifThere(() => readdirSync(layout.logs)) ?? [])
    .map((name) => name.replace(/\.log$/, ''))
    .filter((id) => !published.has(id))
    .sort();
  for (const id of others.slice(0, -KEPT_LOGS)) rmSync(layout.log(id), { force: true });
}
