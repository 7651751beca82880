import { asMirrorlatchError, type MirrorlatchError } from '../../errors.ts';
import { currentId } from '../../mirror/current.ts';
import { readGate, refuseKeptOut } from '../../mirror/locks/gate.ts';
import { refuseOtherOwnersOptions } from '../../mirror/locks/ownership.ts';
import { checkRsync } from '../../mirror/plan/preflight.ts';
import type { Entry } from '../../rsync/itemize.ts';
import { Retries } from '../../rsync/retries.ts';
import { sourceName } from '../../rsync/source.ts';
import { refuseMounts, refuseWhileStopped } from '../../writer/making.ts';
import { policyOf } from '../../writer/policy.ts';
import { EntrySpool } from './entry-spool.ts';
import { refuseToDeleteExcluded, sparesExcluded } from './excluded.ts';
import { liveGuardOf, shrinkGuardOf } from './guard-shrinking.ts';
import { nameOtherFilesystems, remainsOf } from './left-out.ts';
import { makePlan, updateError } from './make-plan.ts';
import { describeProbe } from './probe.ts';
import { checkSync, planWork, type SyncOptions, type SyncSummary } from './work.ts';

export type PlannedSync<Entries extends Iterable<Entry> = Entry[]> = {
  outcome: 'planned';
  current: string | null;
  /**
   * Why the sync would publish nothing: a hold, a gate closed by hand, something mounted in the tree, an
   * update of the source, or the shrink guard.
   */
  refusal: string | null;
  entries: Entries;
} & SyncSummary;

/**
 * Finds out what a sync would do, without a lock and without changing anything.
 *
 * @throws MirrorlatchError PERMISSION in another user's mirror, BUSY behind a gate that keeps this user out; else
 *   when the plan cannot be made.
 */
export async function planSync(options: SyncOptions): Promise<PlannedSync> {
  return withAllEntries(await planSyncSpooled(options));
}

/** A plan with its entries in memory. */
export function withAllEntries(planned: PlannedSync<Iterable<Entry>>): PlannedSync {
  return { ...planned, entries: [...planned.entries] };
}

/** The same as `planSync` in little memory, however many entries differ. */
export async function planSyncSpooled(options: SyncOptions): Promise<PlannedSync<Iterable<Entry>>> {
  const startedAt = performance.now();
  const { signal = new AbortController().signal, onEvent = () => {} } = options;
  await checkRsync();
  const { mirror } = checkSync(options);
  const { layout, settings } = mirror;
  refuseOtherOwnersOptions(layout);
  if (settings.mode === 'in-place') refuseKeptOut(layout);
  const onNotice = (message: string): void => onEvent({ kind: 'notice', message });
  const work = planWork(options, mirror, onNotice);
  const policy = policyOf(settings, options);
  const current = currentId(layout);
  const base = current === undefined ? undefined : layout.snapshot(current);
  const onRetry = (message: string): void => onEvent({ kind: 'warning', message });
  const isWhole = work.strategy !== 'in-place' || readGate(layout).state === 'open';
  const context = {
    ...work,
    base,
    isRemains: remainsOf(work, layout),
    hasRemains: !isWhole,
    waitsForUpdate: false,
    sparesExcluded: sparesExcluded(work, mirror),
    watched: Object.keys(policy.shrink.maxPercentIn),
    inherit: [],
    signal,
    retries: new Retries({ ...policy.retry, signal, onRetry }),
    log: () => {},
    probe: policy.probe,
  };
  const probed = await describeProbe(context, mirror);
  if (probed !== undefined) onNotice(probed);
  await nameOtherFilesystems(context, onNotice);
  onEvent({ kind: 'phase', phase: 'planning' });
  // A directory that is not there: everything is new.
  const target = base ?? `${layout.staging}/nothing`;
  let spool: EntrySpool | undefined;
  const { plan, listener, isUpdating } = await makePlan(context, target, () => {
    spool?.discard();
    spool = new EntrySpool();
    return spool;
  });
  onEvent({ kind: 'planned', plan: plan.figures });
  const state = { isWhole, mayRecord: false };
  const refuseShrinking =
    work.strategy === 'in-place'
      ? await liveGuardOf(context, layout, policy.shrink, plan.figures, state)
      : shrinkGuardOf(work, layout, current, policy.shrink);
  const refusal = await refusalOf(async () => {
    refuseWhileStopped(mirror);
    refuseMounts({ ...mirror, before: current });
    if (isUpdating) throw updateError(work.transfer);
    if (plan.isEmpty && base !== undefined && isWhole) return;
    await refuseToDeleteExcluded(context, layout.root, target, plan);
    refuseShrinking(plan.figures);
  });
  if (refusal !== undefined) {
    const { message, exitCode } = refusal;
    onEvent({
      kind: 'warning',
      message: `a sync would be refused (exit code ${exitCode}): ${message}`,
    });
  }
  return {
    outcome: 'planned',
    current: current ?? null,
    refusal: refusal?.message ?? null,
    entries: listener,
    source: sourceName(work.transfer.source),
    strategy: work.strategy,
    plan: plan.figures,
    seconds: (performance.now() - startedAt) / 1000,
  };
}

async function refusalOf(guards: () => Promise<void>): Promise<MirrorlatchError | undefined> {
  try {
    await guards();
    return undefined;
  } catch (error) {
    return asMirrorlatchError(error);
  }
}
