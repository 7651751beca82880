import type { SyncFigures } from '../mirror/history/history.ts';
import type { LeftOutRecord } from '../mirror/history/history-line.ts';
import type { PlanFigures } from '../mirror/plan/plan.ts';
import type { Writer } from './writer.ts';

/** What history keeps of the making of a snapshot. */
export function figuresOf(
  { seconds }: Writer,
  plan: PlanFigures,
  how: Pick<SyncFigures, 'source' | 'strategy' | 'clone' | 'rsyncOptions' | 'without' | 'log'> & {
    /** By default what was planned. */
    newBytes?: number;
  },
): SyncFigures {
  const { source, newFiles, changedFiles, transferBytes, deletedFiles, leftOut } = plan;
  return {
    newBytes: transferBytes,
    ...how,
    files: source.files,
    bytes: source.bytes,
    newFiles: newFiles + changedFiles,
    deletedFiles,
    seconds,
    ...ifAny(leftOut),
  };
}

/** What was left out, if anything was. */
export function ifAny(leftOut: readonly LeftOutRecord[]): { leftOut?: LeftOutRecord[] } {
  return leftOut.length > 0 ? { leftOut: [...leftOut] } : {};
}
