import { MirrorlatchError } from '../errors.ts';
import type { PlanFigures } from './plan.ts';
import type { ShrinkPolicy } from './policy.ts';

/** The size of the published tree. */
export interface TreeSize {
  files: number;
  /** Undefined if they were never counted. */
  bytes: number | undefined;
}

interface Shrinkage {
  /** The share of the regular files that would vanish, 0 to 1. */
  files: number;
  /** The share of the bytes that would vanish, 0 to 1. */
  bytes: number;
}

/** How much smaller the mirror would become, by deleted files or by files that shrink. */
function shrinkageOf(plan: PlanFigures, before: TreeSize): Shrinkage {
  const bytesBefore = before.bytes ?? 0;
  const filesGone = Math.max(plan.deletedFiles, before.files - plan.source.files);
  const bytesGone = Math.max(plan.deletedBytes, bytesBefore - plan.source.bytes);
  return {
    files: share(filesGone, before.files),
    bytes: share(bytesGone, bytesBefore),
  };
}

/** What the error message calls the new tree, and its hint. */
export interface Shrinking {
  name: string;
  hint: string;
}

const SOURCE: Shrinking = {
  name: 'source',
  hint: 'See what would be deleted with --dry-run. If that is right, publish it with --allow-shrink.',
};

/** Throws SHRUNKEN_SOURCE for a plan by which too much would vanish. */
export type ShrinkGuard = (plan: PlanFigures) => void;

/**
 * The guard for a tree that is to replace the published one.
 *
 * @param before the size of the published tree, as far as its sync counted it; undefined before the
 *   first publication.
 */
export function shrinkGuard(
  before: Partial<TreeSize> | undefined,
  { isAllowed, maxPercent }: ShrinkPolicy,
  shrinking: Shrinking = SOURCE,
): ShrinkGuard {
  if (before === undefined || isAllowed) return () => {};
  return (plan) => {
    const { source, newFiles, deletedFiles } = plan;
    const files = before.files ?? source.files - newFiles + deletedFiles;
    guardAgainstShrinking(plan, { files, bytes: before.bytes }, maxPercent, shrinking);
  };
}

/**
 * Refuses a source that has lost much. An upstream that failed halfway, or an empty mount point,
 * looks just like one where files were deleted (I8).
 *
 * @throws MirrorlatchError SHRUNKEN_SOURCE.
 */
export function guardAgainstShrinking(
  plan: PlanFigures,
  before: TreeSize,
  maxShrinkPercent: number,
  { name, hint }: Shrinking = SOURCE,
): void {
  const isEmptied = plan.source.files === 0 && before.files > 0;
  const { files, bytes } = shrinkageOf(plan, before);
  if (!isEmptied && files * 100 <= maxShrinkPercent && bytes * 100 <= maxShrinkPercent) return;
  const lost = isEmptied
    ? `the ${name} has no file left, the mirror has ${before.files}`
    : `${percent(files)} of the files and ${percent(bytes)} of the bytes would vanish, more than the ${maxShrinkPercent} % allowed`;
  throw new MirrorlatchError('SHRUNKEN_SOURCE', `the ${name} has shrunk: ${lost}`, {
    hint,
    details: { shrinkage: { files, bytes } },
  });
}

function share(part: number, whole: number): number {
  return whole <= 0 ? 0 : Math.max(0, part / whole);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
