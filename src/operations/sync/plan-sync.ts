import { asMirrorlatchError } from '../../errors.ts';
import { Plan } from '../../mirror/plan.ts';
import { checkRsync } from '../../mirror/preflight.ts';
import { currentId } from '../../mirror/publication.ts';
import { planArguments } from '../../rsync/arguments.ts';
import type { Entry } from '../../rsync/itemize.ts';
import { runRsync } from '../../rsync/run.ts';
import { nameOf } from '../../rsync/source.ts';
import { keepsOf } from './build-tree.ts';
import { Retries } from '../../rsync/retries.ts';
import { guardOf, prepareSync, type SyncOptions, type SyncSummary } from './work.ts';

export type PlannedSync = {
  outcome: 'planned';
  current: string | null;
  /** Why the sync would publish nothing, in the words of the shrink guard. */
  refusal: string | null;
  entries: Entry[];
} & SyncSummary;

/**
 * What a sync would do, found out without a lock and without changing anything.
 *
 * @throws MirrorlatchError when the plan cannot be made.
 */
export async function planSync(options: SyncOptions): Promise<PlannedSync> {
  const startedAt = performance.now();
  const { signal = new AbortController().signal, onEvent = () => {} } = options;
  await checkRsync();
  const { mirror, work } = prepareSync(options);
  const { layout } = mirror;
  const before = currentId(layout);
  const base = before === undefined ? undefined : layout.snapshot(before);
  // A directory that is not there: everything is new.
  const target = base ?? `${layout.staging}/nothing`;
  const retries = new Retries({
    retries: options.retries ?? 4,
    delayMs: options.retryDelayMs ?? 2_000,
    signal,
    onEvent,
  });
  onEvent({ kind: 'phase', phase: 'planning' });
  for (;;) {
    const plan = new Plan(target, keepsOf({ ...work, base }));
    const entries: Entry[] = [];
    const { ending, totals, complaints } = await runRsync({
      args: planArguments(work.transfer, target),
      inherit: [],
      signal,
      onChannel: work.onChannel,
      onEntry: (entry) => {
        if (plan.add(entry)) entries.push(entry);
      },
      log: () => {},
    });
    plan.figures.source = totals;
    if (ending.kind !== 'clean') {
      await retries.again(ending, complaints);
      continue;
    }
    onEvent({ kind: 'planned', plan: plan.figures });
    const refusal = refusalOf(() => guardOf(options, mirror, work, before)(plan.figures));
    if (refusal !== null) onEvent({ kind: 'warning', message: refusal });
    return {
      outcome: 'planned',
      current: before ?? null,
      refusal,
      entries,
      source: nameOf(work.transfer.source),
      strategy: work.strategy,
      plan: plan.figures,
      seconds: (performance.now() - startedAt) / 1000,
    };
  }
}

function refusalOf(guard: () => void): string | null {
  try {
    guard();
    return null;
  } catch (error) {
    return asMirrorlatchError(error).message;
  }
}
