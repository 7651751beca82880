import { publicationOf, readHistory } from '../mirror/history/history.ts';
import { publishedOrMoved } from '../mirror/history/snapshot-times.ts';
import type { Layout } from '../mirror/layout.ts';
import type { Reader } from '../mirror/locks/readers.ts';
import { openMirrorWithSnapshots } from '../mirror/open.ts';
import { NO_MARKS, readMarks } from '../mirror/retention/marks.ts';
import type { Given, LockPolicy } from '../mirror/settings/policy.ts';
import { checkGroups } from '../mirror/settings/policy-rules.ts';
import type { SnapshotPin } from '../mirror/settings/records.ts';
import { findSpare } from '../mirror/spare.ts';
import { unseenPlaces } from '../mirror/survey.ts';
import { followRules } from '../writer/channels.ts';
import type { OnEvent } from '../writer/events.ts';
import { type PolicyOptions, policyOf } from '../writer/policy.ts';
import {
  choosePrunable,
  type PruneResult,
  removeOldSnapshots,
  SPARE_WOULD_GO,
} from '../writer/pruning.ts';
import { withWriter } from '../writer/session.ts';

export interface PruneOptions extends Pick<PolicyOptions, 'retention'> {
  root: string;
  /** Only find out what would go, as `planPrune` does. */
  dryRun?: boolean | undefined;
  lock?: Given<LockPolicy> | undefined;
  signal?: AbortSignal | undefined;
  onEvent?: OnEvent | undefined;
}

/**
 * Removes the snapshots that no rule keeps and nobody reads (I5).
 *
 * @throws MirrorlatchError USAGE for an option of a group, BUSY while a sync runs, IO when a snapshot cannot be removed.
 */
export async function prune(options: PruneOptions): Promise<PruneResult> {
  const { root, retention, dryRun = false, lock, signal, onEvent } = options;
  checkGroups(options);
  if (dryRun) return planPrune(options);
  const { layout } = openMirrorWithSnapshots(root);
  const failure = `the pruning of ${layout.root} failed`;
  const session = { command: 'prune', failure, retention, lock, signal, onEvent };
  const { result } = await withWriter(layout, session, async (writer) => {
    await followRules(writer);
    return await removeOldSnapshots(writer);
  });
  return result;
}

/** What a prune would do with one snapshot, and why. */
export interface PlannedSnapshot {
  id: string;
  /** When it was made and published; ISO 8601, UTC. */
  publishedAt: string | null;
  /** Its regular files, if the sync that made it counted them. */
  bytes: number | null;
  /** `stuck`: no rule keeps it, but it cannot be removed. */
  fate: 'keep' | 'remove' | 'stuck';
  /** Why it is kept, or cannot be removed. */
  reasons: string[];
  readers: Reader[];
  tags: string[];
  pin: SnapshotPin | null;
}

export interface PrunePlan extends PruneResult {
  /** All of them, in the order in which they were made. */
  snapshots: PlannedSnapshot[];
}

/**
 * Finds out what `prune` would do, and changes nothing.
 *
 * @throws MirrorlatchError USAGE for an option of a group, CONFIGURATION when it is not known what is pinned.
 */
export function planPrune({
  root,
  retention,
  onEvent,
}: Pick<PruneOptions, 'root' | 'retention' | 'onEvent'>): PrunePlan {
  checkGroups({ retention });
  const { layout, settings } = openMirrorWithSnapshots(root);
  if (hasSpare(layout)) onEvent?.({ kind: 'notice', message: SPARE_WOULD_GO });
  const history = readHistory(layout);
  const policy = policyOf(settings, { retention }).retention;
  const result = choosePrunable(layout, policy, 'at the end', history);
  const marks = readMarks(layout);
  const { removed, failed, kept } = result;
  const fates: Pick<PlannedSnapshot, 'id' | 'fate' | 'reasons' | 'readers'>[] = [
    ...removed.map((id) => ({ id, fate: 'remove' as const, reasons: [], readers: [] })),
    ...failed.map(({ id, message }) => {
      return { id, fate: 'stuck' as const, reasons: [message], readers: [] };
    }),
    ...kept.map((one) => ({ ...one, fate: 'keep' as const })),
  ];
  const madeAt = new Map(fates.map(({ id }) => [id, publishedOrMoved(layout, history, id)]));
  const snapshots = fates
    .sort((a, b) => (madeAt.get(a.id) ?? 0) - (madeAt.get(b.id) ?? 0))
    .map(({ id, ...fate }): PlannedSnapshot => {
      const { at: publishedAt = null, bytes = null } = publicationOf(history, id) ?? {};
      const { tags, pin = null } = marks.get(id) ?? NO_MARKS;
      return { id, publishedAt, bytes, ...fate, tags, pin };
    });
  return { ...result, snapshots };
}

/** What only the owner of the mirror sees, another user is not told. */
function hasSpare(layout: Layout): boolean {
  return !unseenPlaces(layout).includes(layout.staging) && findSpare(layout) !== undefined;
}
