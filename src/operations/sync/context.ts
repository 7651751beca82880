import type { Duplex } from 'node:stream';
import type { Changes } from '../../mirror/changes.ts';
import { CLONE_METHODS, type MadeBy } from '../../mirror/clone.ts';
import { describeLeftOut } from '../../mirror/plan/left-out.ts';
import type { PlanFigures } from '../../mirror/plan/plan.ts';
import type { ShrinkGuard } from '../../mirror/plan/shrink-guard.ts';
import type { ProbePolicy } from '../../mirror/settings/policy.ts';
import type { ReceivedSums } from '../../mirror/sums/received.ts';
import type { Transfer } from '../../rsync/arguments.ts';
import type { Entry } from '../../rsync/itemize.ts';
import type { TransferProgress } from '../../rsync/progress.ts';
import type { RsyncSession } from '../../rsync/until-clean.ts';
import { warnOfWritable } from '../../writer/modes.ts';
import type { Writer } from '../../writer/writer.ts';
import { mendByRsync } from './modes.ts';
import type { Stamps } from './probe.ts';

/** How a new tree is made; the first is the default. */
export const STRATEGIES = ['plan', 'link-dest', 'copy'] as const;

/** `in-place` belongs to mirrors that have one tree; it is not chosen. */
export type Strategy = (typeof STRATEGIES)[number] | 'in-place';

/** What to do when the mirror's filesystem calls itself unclean; the first is the default. */
export const UNCLEAN_POLICIES = ['warn', 'refuse', 'ignore'] as const;

export type UncleanPolicy = (typeof UNCLEAN_POLICIES)[number];

/** How a clone is made: by a method, or by the best that works here, which is the default. */
export const CLONE_CHOICES = ['auto', ...CLONE_METHODS] as const;

export type CloneChoice = (typeof CLONE_CHOICES)[number];

/** What is to be transferred, and how. */
export interface Work {
  transfer: Transfer;
  strategy: Strategy;
  clone: CloneChoice;
  /** rsync has to see the whole tree: no list of entries will do. */
  needsWholePass: boolean;
  /** The user's options in all, remembered ones too, of which `transfer` has what rsync gets. */
  options: readonly string[];
  /** For a source that is pushed, see `RsyncRun`. */
  onChannel?: ((channel: Duplex) => void) | undefined;
  /** Asked before the publication if another host has the last word; throws to prevent it. */
  confirm?: (() => Promise<void>) | undefined;
}

/** What the making of a plan needs. */
export interface PlanContext
  extends Pick<Work, 'transfer' | 'options' | 'strategy' | 'needsWholePass'>,
    RsyncSession {
  /** The tree that `current` names; undefined before the first publication. */
  base: string | undefined;
  /** Whether an entry of the target can be nothing but what a killed rsync left: see `remainsOf`. */
  isRemains: (entry: Pick<Entry, 'name' | 'type'>) => boolean;
  /** A sync that did not end well may have left the target as it is. */
  hasRemains?: boolean;
  /** A plan is made again as long as the source says that it is being updated. */
  waitsForUpdate: boolean;
  /** What the user's own rules exclude is not deleted unasked: see `refuseToDeleteExcluded`. */
  sparesExcluded: boolean;
  /** Directories whose losses are counted on their own, see `ShrinkPolicy`. */
  watched: readonly string[];
}

/** What a look at the stamps of the source needs. */
export interface ProbeContext extends PlanContext {
  probe: ProbePolicy;
}

/** What all steps of one sync share. */
export interface SyncContext extends Work, ProbeContext {
  writer: Writer;
  /** What is known of the content of the files that this sync has transferred. */
  received: ReceivedSums;
  /** Those that the source had before the plan, if they are known. */
  stamps?: Stamps | undefined;
  /** Refuses a plan that would take too much away. In place, one that has measured the tree replaces it. */
  refuseShrinking: ShrinkGuard;
}

export interface BuiltTree {
  /** False when the source equals `current`: then there is no new tree. */
  isChanged: boolean;
  /** What changes between `current` and the new tree. */
  plan: PlanFigures;
  clone: MadeBy;
  /** What was changed of a clone of `current`; undefined if the tree began otherwise. */
  changes?: Changes | undefined;
}

/** Whether a look at all of the source finds all that the tree has and the source has not. */
export function comparesAll({ transfer, sparesExcluded }: SyncContext): boolean {
  return !transfer.without.has('delete') && !sparesExcluded;
}

/** Says what is planned, what is left out, and what every user may change. */
export function reportPlan(writer: Writer, plan: PlanFigures): void {
  writer.onEvent({ kind: 'planned', plan });
  for (const leftOut of plan.leftOut) writer.notice(`left out ${describeLeftOut(leftOut)}`);
  warnOfWritable(writer, plan, mendByRsync(writer));
}

/** Passes rsync's progress on, as a share of what is planned. */
export function progressOf(
  { onEvent, lock }: Writer,
  { transferBytes, newFiles, changedFiles, linkedFiles }: PlanFigures,
) {
  const totalFiles = newFiles + changedFiles - linkedFiles;
  return ({ bytes, files }: TransferProgress): void => {
    onEvent({ kind: 'progress', bytes, totalBytes: transferBytes, files, totalFiles });
    const done = transferBytes === 0 ? 1 : Math.min(1, bytes / transferBytes);
    lock.report({ phase: 'transferring', done });
  };
}
