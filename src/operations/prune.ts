import { openMirrorWithSnapshots } from '../mirror/open.ts';
import type { Given, LockPolicy } from '../mirror/policy.ts';
import type { OnEvent } from '../writer/events.ts';
import { type PolicyOptions, policyOf } from '../writer/policy.ts';
import { choosePrunable, type PruneResult, removeOldSnapshots } from '../writer/pruning.ts';
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
 * @throws MirrorlatchError BUSY while a sync runs, IO when a snapshot cannot be removed.
 */
export async function prune({ dryRun = false, ...options }: PruneOptions): Promise<PruneResult> {
  const { layout, settings } = openMirrorWithSnapshots(options.root);
  if (dryRun) return choosePrunable(layout, policyOf(settings, options).retention);
  const failure = `the pruning of ${layout.root} failed`;
  const session = { ...options, command: 'prune', failure };
  return (await withWriter(layout, session, removeOldSnapshots)).result;
}
