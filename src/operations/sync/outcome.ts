import { readdirSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { MadeBy } from '../../mirror/clone.ts';
import { discard } from '../../mirror/discard.ts';
import { leftOutOf, readHistory } from '../../mirror/history/history.ts';
import { readableName } from '../../mirror/names.ts';
import type { PlanFigures } from '../../mirror/plan/plan.ts';
import { findSpare } from '../../mirror/spare.ts';
import { sourceName } from '../../rsync/source.ts';
import { lstatIfThere } from '../../system/files.ts';
import { confirmCurrent, type Unchanged } from '../../writer/confirming.ts';
import type { Published } from '../../writer/publishing.ts';
import { giveUpLost } from '../../writer/sums.ts';
import type { Writer } from '../../writer/writer.ts';
import { comparesAll, type SyncContext } from './context.ts';
import type { Probe } from './probe.ts';
import type { SyncSummary } from './work.ts';

/** What a sync came to. */
export type Synced = Looked | Probed;

/** What a sync came to that made a plan. */
export type Looked = ((Published & { clone: MadeBy }) | Unchanged) &
  (Shortcut | { look?: undefined; lookedAt?: undefined }) &
  SyncSummary;

/** The source has the same stamps as what `current` names; nothing else of it was looked at. */
export interface Probed extends Unchanged, Omit<SyncSummary, 'plan'> {
  look: 'probe';
  plan?: never;
  /** The stamps, as printable names. */
  stamps: string[];
  /** When the last look at all of the source began; ISO 8601, UTC. */
  lookedAt: string;
}

/** How a plan was made without a look at all of the source. */
export interface Shortcut {
  look: 'file-list';
  /** When the last look at all of the source began; ISO 8601, UTC. */
  lookedAt: string;
}

/**
 * The source is what `current` names already.
 *
 * @param how unless all of the source was looked at.
 */
export async function unchanged(
  context: SyncContext,
  id: string,
  plan: PlanFigures,
  how?: Shortcut,
): Promise<Looked> {
  clearStaging(context.writer);
  if (how === undefined && comparesAll(context)) await giveUpLost(context.writer, id, id);
  const { leftOut } = plan;
  return {
    ...(await confirmCurrent(context.writer, id, { ...lookOf(context), ...how, leftOut })),
    ...summaryOf(context, plan),
    ...how,
  };
}

/** The stamps of the source say that it is what `current` names already. What waits in staging stays. */
export async function unchangedByProbe(
  context: SyncContext,
  { id, names, look }: Extract<Probe, { kind: 'same' }>,
): Promise<Probed> {
  const { writer, transfer, strategy } = context;
  const leftOut = leftOutOf(readHistory(writer.layout), id);
  const how = { look: 'probe', lookedAt: new Date(look.began).toISOString() } as const;
  const confirmed = await confirmCurrent(writer, id, { ...lookOf(context), ...how, leftOut });
  const { seconds } = writer;
  const stamps = names.map((name) => readableName(name).name);
  return { ...confirmed, ...how, source: sourceName(transfer.source), strategy, stamps, seconds };
}

/** Where the tree came from and how, for history. */
export function madeFrom(context: SyncContext, clone: MadeBy) {
  const { strategy, writer } = context;
  return { ...lookOf(context), strategy, clone, newBytes: writer.receivedBytes };
}

/** At what this sync has looked, for history. */
function lookOf({ transfer: { source, options, without }, writer: { seconds } }: SyncContext) {
  return {
    source: sourceName(source),
    rsyncOptions: [...options],
    ...(without.size === 0 ? {} : { without: [...without] }),
    seconds,
  };
}

/** Discards what lies there: the new snapshot has it now, or nothing wants it any longer. A spare is for the next sync. */
export function clearStaging({ layout, lock }: Writer): void {
  lock.assertHeld();
  const kept = findSpare(layout) ? [layout.spare, layout.spareMark] : [];
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
