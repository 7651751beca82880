import { readdirSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { MadeBy } from '../../mirror/clone.ts';
import { discard } from '../../mirror/discard.ts';
import type { PlanFigures } from '../../mirror/plan.ts';
import { hasSpare } from '../../mirror/spare.ts';
import { sourceName } from '../../rsync/source.ts';
import { lstatIfThere } from '../../system/files.ts';
import { confirmCurrent, type Published, type Unchanged } from '../../writer/publishing.ts';
import type { Writer } from '../../writer/writer.ts';
import type { SyncContext } from './context.ts';
import type { SyncSummary } from './work.ts';

/** What a sync came to. */
export type Synced = ((Published & { clone: MadeBy }) | Unchanged) & SyncSummary;

/** The source is what `current` names already. */
export async function unchanged(
  context: SyncContext,
  id: string,
  plan: PlanFigures,
): Promise<Synced> {
  clearStaging(context.writer);
  return {
    ...(await confirmCurrent(context.writer, id, plan.leftOut)),
    ...summaryOf(context, plan),
  };
}

/** Where the tree came from and how, for history. */
export function madeFrom({ transfer, strategy, writer }: SyncContext, clone: MadeBy) {
  const { source, options } = transfer;
  return {
    source: sourceName(source),
    strategy,
    clone,
    rsyncOptions: [...options],
    ...(transfer.without.size === 0 ? {} : { without: [...transfer.without] }),
    newBytes: writer.receivedBytes,
  };
}

/** Discards what lies there: the new snapshot has it now, or nothing wants it any longer. A spare is for the next sync. */
export function clearStaging({ layout, lock }: Writer): void {
  lock.assertHeld();
  const kept = hasSpare(layout) ? [layout.spare, layout.spareMark] : [];
  for (const name of readdirSync(layout.staging)) {
    const path = join(layout.staging, name);
    if (kept.includes(path)) continue;
    if (!lstatIfThere(path)?.isDirectory()) rmSync(path, { force: true });
    else if (readdirSync(path).length === 0) rmdirSync(path);
    else discard(layout, path);
  }
}

export function summaryOf(
  { transfer, strategy, writer }: SyncContext,
  plan: PlanFigures,
): SyncSummary {
  return { source: sourceName(transfer.source), strategy, plan, seconds: writer.seconds };
}
