import { MirrorlatchError, NOTHING_PUBLISHED } from '../../errors.ts';
import { quoteForSh } from '../../system/quote.ts';
import type { ShrinkPolicy } from '../settings/policy.ts';
import { hasDirectory, sizeBelow, type TreeSize, type TreeSizes } from '../trees/tree-size.ts';
import { showBytes } from '../units.ts';
import { type Loss, lossIn, lossSince } from './losses.ts';
import type { PlanFigures } from './plan.ts';

/** What the error message calls the new tree, why it may have shrunk, and its hint. */
export interface Shrinking {
  name: string;
  /** What else than a loss may be the cause, such as `, or …`; else empty. */
  otherCause: string;
  hint: string;
}

const SOURCE: Shrinking = {
  name: 'source',
  otherCause: '',
  hint: 'See what would be deleted with --dry-run. If that is right, publish it with --allow-shrink.',
};

/** When other options of rsync were given at the last publication. */
export const SELECTION: Shrinking = {
  name: 'source',
  otherCause: ', or other options of rsync leave more of it out',
  hint: 'The options differ from those of the last publication. See what would be deleted with --dry-run. If that is right, publish it with --allow-shrink.',
};

/** The published tree, which is to be replaced. */
export interface Published {
  /** Its size, as far as it is known. */
  size: Partial<TreeSize>;
  path: string;
  /** The sizes of directories in it, if they were measured already. */
  sizesWithin?: ReadonlyMap<string, TreeSize> | undefined;
}

/** How much may vanish. */
export interface ShrinkLimits extends ShrinkPolicy {
  /** How many files, whatever share of all that is; undefined: any number. */
  readonly maxFiles?: number | undefined;
}

/** Throws SHRUNKEN_SOURCE for a plan by which too much would vanish. */
export type ShrinkGuard = (plan: PlanFigures) => void;

/**
 * The guard for a tree that is to replace the published one.
 *
 * @param before undefined before the first publication, which may bring anything but nothing.
 */
export function shrinkGuard(
  before: Published | undefined,
  { isAllowed, maxPercent, maxPercentIn, maxFiles }: ShrinkLimits,
  shrinking: Shrinking = SOURCE,
): ShrinkGuard {
  if (isAllowed) return () => {};
  if (before === undefined) return ({ source }) => refuseEmpty(source.entries, shrinking);
  let size: TreeSize | undefined;
  // A command may have changed the tree itself, so what comes later must not be measured anew.
  const sizes = new Map(before.sizesWithin);
  return (plan) => {
    size ??= sizeOf(before);
    guardAgainstShrinking(plan, size, { maxPercent, maxFiles }, shrinking);
    for (const [directory, percent] of Object.entries(maxPercentIn)) {
      const loss = lossIn(plan.lost, directory);
      if (loss === undefined || (loss.files <= 0 && loss.bytes <= 0 && loss.growth >= 0)) continue;
      const within = sizes.get(directory) ?? sizeBelow(before.path, directory);
      sizes.set(directory, within);
      const inAll = lossSince(within, within, loss);
      guardDirectory(directory, inAll, within, percent, shrinking);
    }
  };
}

/** A tree that a sync writes in place. An earlier writer may have taken some of it away already. */
export interface LiveTree {
  /** What it had of its source while it was last whole; undefined if the first plan has to say it. */
  size: TreeSize | undefined;
  /** What it had and has in all, and in directories, then and for the first plan. */
  before: TreeSizes;
  now: TreeSizes;
  /** Its size at the last publication, as far as it is known. */
  published: Partial<TreeSize>;
}

/** The guard for such a tree, in which rules may keep what the source does not have. */
export function liveShrinkGuard(
  live: LiveTree,
  { isAllowed, maxPercent, maxPercentIn, maxFiles }: ShrinkLimits,
  shrinking: Shrinking = SOURCE,
): ShrinkGuard {
  if (isAllowed) return () => {};
  let { size } = live;
  return (plan) => {
    size ??= sizeOfSource(plan, live);
    guardAgainstShrinking(plan, size, { maxPercent, maxFiles }, shrinking);
    for (const [directory, percent] of Object.entries(maxPercentIn)) {
      const loss = lossIn(plan.lost, directory);
      const [within, left] = [live.before, live.now].map((sizes) => sizes.within.get(directory));
      if (loss === undefined || within === undefined || left === undefined) continue;
      guardDirectory(directory, lossSince(within, left, loss), within, percent, shrinking);
    }
  };
}

/** An adopted tree, and one whose line of history is lost, were never counted by a sync. */
function sizeOf({ size: { files, bytes }, path }: Published): TreeSize {
  return files !== undefined && bytes !== undefined ? { files, bytes } : sizeBelow(path, '');
}

/**
 * What a tree has of its source by the plan that is to change it. That counts what the source has and rsync
 * leaves out, if rsync does not tell its size, and not what rules keep.
 */
export function plannedSize({ source, newFiles, deletedFiles, lost }: PlanFigures): TreeSize {
  return {
    files: source.files - newFiles + deletedFiles,
    bytes: source.bytes - (lost['']?.growth ?? 0),
  };
}

/** What a tree had of its source, without what rules keep. */
export function sizeOfSource(
  plan: PlanFigures,
  { before, now, published }: Omit<LiveTree, 'size'>,
): TreeSize {
  const planned = plannedSize(plan);
  const had = (unit: keyof TreeSize): number => {
    const gone = Math.max(0, before.tree[unit] - now.tree[unit]);
    return Math.min(published[unit] ?? Infinity, Math.min(planned[unit], now.tree[unit]) + gone);
  };
  return { files: had('files'), bytes: had('bytes') };
}

/**
 * What is wrong with limits for directories that a published tree does not have, one sentence each: a
 * misspelt name would never guard anything.
 */
export function idleLimits(
  path: string,
  { maxPercentIn }: Pick<ShrinkPolicy, 'maxPercentIn'>,
): string[] {
  return Object.entries(maxPercentIn)
    .filter(([directory, percent]) => percent < 100 && !hasDirectory(path, directory))
    .map(
      ([directory, percent]) =>
        `--max-shrink ${quoteForSh(`${directory}=${percent}`)} guards nothing: there is no such directory in ${path}`,
    );
}

/**
 * Refuses a first tree without anything in it: that is what an empty mount point looks like.
 *
 * @param entries those of the tree, itself included.
 * @throws MirrorlatchError SHRUNKEN_SOURCE.
 */
function refuseEmpty(entries: number, { name }: Shrinking): void {
  if (entries > 1) return;
  throw new MirrorlatchError('SHRUNKEN_SOURCE', `the ${name} is empty${NOTHING_PUBLISHED}`, {
    hint: 'Is it mounted, and is its path right? If it is to be empty, publish it with --allow-shrink.',
  });
}

/**
 * Refuses a source that has lost much. An upstream that failed halfway, or an empty mount point,
 * looks just like one where files were deleted (I8). A file that has only moved is not lost.
 *
 * @throws MirrorlatchError SHRUNKEN_SOURCE.
 */
export function guardAgainstShrinking(
  { source, lost }: Pick<PlanFigures, 'source' | 'lost'>,
  before: TreeSize,
  { maxPercent, maxFiles = Infinity }: Pick<ShrinkLimits, 'maxPercent' | 'maxFiles'>,
  { name, otherCause, hint }: Shrinking = SOURCE,
): void {
  const isEmptied = source.files === 0 && before.files > 0;
  const filesLost = Math.max(lost['']?.files ?? 0, before.files - source.files);
  const files = share(filesLost, before.files);
  const bytes = share(Math.max(lost['']?.bytes ?? 0, before.bytes - source.bytes), before.bytes);
  const isTooMuch = files * 100 > maxPercent || bytes * 100 > maxPercent;
  if (!isEmptied && !isTooMuch && filesLost <= maxFiles) return;
  const vanish = isTooMuch
    ? `${percent(files)} of the files and ${percent(bytes)} of the bytes would vanish, more than the ${maxPercent} % allowed`
    : `${filesLost} of the files would vanish, more than the ${maxFiles} that --max-delete allows`;
  const what = isEmptied
    ? `has no file left${otherCause}, the mirror has ${before.files}`
    : `has shrunk${otherCause}: ${vanish}`;
  throw new MirrorlatchError('SHRUNKEN_SOURCE', `the ${name} ${what}`, {
    hint,
    details: { shrinkage: { files, bytes } },
  });
}

/** The same for a directory that is guarded on its own: one of several sources may have failed. */
function guardDirectory(
  directory: string,
  { files: filesLost, bytes: bytesLost }: Loss,
  before: TreeSize,
  maxPercent: number,
  { name, otherCause, hint }: Shrinking,
): void {
  const files = share(filesLost, before.files);
  const bytes = share(bytesLost, before.bytes);
  if (files * 100 <= maxPercent && bytes * 100 <= maxPercent) return;
  const lost = `${percent(files)} of its ${before.files} files and ${percent(bytes)} of its ${showBytes(before.bytes)}`;
  throw new MirrorlatchError(
    'SHRUNKEN_SOURCE',
    `${JSON.stringify(directory)} in the ${name} has shrunk${otherCause}: ${lost} would vanish, more than the ${maxPercent} % allowed there`,
    { hint, details: { shrinkage: { files, bytes, directory } } },
  );
}

function share(part: number, whole: number): number {
  // In place, the tree may hold files of somebody that the history does not count.
  return whole <= 0 ? 0 : Math.min(1, Math.max(0, part / whole));
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
