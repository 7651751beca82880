import { MirrorlatchError } from '../errors.ts';
import type { PlanFigures } from './plan.ts';
import type { ShrinkPolicy } from './policy.ts';

/** What `current` holds. */
export interface TreeSize {
  files: number;
  /** Undefined where it was never counted. */
  bytes: number | undefined;
}

interface Shrinkage {
  /** Share of the regular files that would vanish, 0 to 1. */
  files: number;
  /** Share of the bytes that would vanish, 0 to 1. */
  bytes: number;
}

/** How much smaller the mirror would become. Bytes count when files go, and when they shrink. */
function shrinkageOf(plan: PlanFigures, before: TreeSize): Shrinkage {
  const bytesBefore = before.bytes ?? 0;
  const filesGone = Math.max(plan.deletedFiles, before.files - plan.source.files);
  const bytesGone = Math.max(plan.deletedBytes, bytesBefore - plan.source.bytes);
  return {
    files: share(filesGone, before.files),
    bytes: share(bytesGone, bytesBefore),
  };
}

/** For people: what it is that has shrunk, and the way out. */
export interface Shrinking {
  name: string;
  hint: string;
}

const SOURCE: Shrinking = {
  name: 'source',
  hint: 'See what would go with --dry-run. If that is right, publish it with --allow-shrink.',
};

/** Refuses a plan after which too much would have vanished. */
export type ShrinkGuard = (plan: PlanFigures) => void;

/**
 * The guard for a tree that takes the place of a published one.
 *
 * @param before the published tree's size, as far as its sync counted it; undefined when nothing is
 *   published yet.
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
 * Refuses a source that has lost much: an upstream that fails half-way, or an empty mount point,
 * looks just like one that deletes (I8).
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
