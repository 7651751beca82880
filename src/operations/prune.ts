import type { Layout } from '../mirror/layout.ts';
import { openMirrorWithSnapshots } from '../mirror/open.ts';
import type { Given, LockPolicy } from '../mirror/policy.ts';
import { checkGroups } from '../mirror/policy-rules.ts';
import { findSpare } from '../mirror/spare.ts';
import { unseenPlaces } from '../mirror/survey.ts';
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
  /** Only find out what would go. */
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
  const { layout, settings } = openMirrorWithSnapshots(root);
  if (dryRun) {
    if (hasSpare(layout)) onEvent?.({ kind: 'notice', message: SPARE_WOULD_GO });
    return choosePrunable(layout, policyOf(settings, { retention }).retention);
  }
  const failure = `the pruning of ${layout.root} failed`;
  const session = { command: 'prune', failure, retention, lock, signal, onEvent };
  return (await withWriter(layout, session, removeOldSnapshots)).result;
}

/** What only the owner of the mirror sees, another user is not told. */
function hasSpare(layout: Layout): boolean {
  return !unseenPlaces(layout).includes(layout.staging) && findSpare(layout) !== undefined;
}
