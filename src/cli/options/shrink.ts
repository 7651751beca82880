import { Option } from 'commander';
import { DEFAULT_SHRINK, type Given, type ShrinkPolicy } from '../../mirror/settings/policy.ts';
import { maxDeleteOf } from '../../rsync/max-delete.ts';
import { showFiles } from '../units.ts';
import { type Percentages, percentages } from '../values.ts';
import type { OptionGroup } from './group.ts';

export interface ShrinkFlags {
  maxShrink?: Percentages;
  allowShrink?: boolean;
}

export const MAX_SHRINK = new Option(
  '--max-shrink <[DIR=]percent>',
  `refuse to publish if more files or bytes than this would vanish, from DIR if that is given; repeatable (default: ${DEFAULT_SHRINK.maxPercent})`,
).argParser(percentages);

/**
 * What the shrink guard allows, for people.
 *
 * @param options those of rsync that the mirror remembers.
 */
export function describeShrink(
  { maxPercent, maxPercentIn }: Pick<ShrinkPolicy, 'maxPercent' | 'maxPercentIn'>,
  options: readonly string[],
): string {
  const maxFiles = maxDeleteOf(options);
  const files = maxFiles === undefined ? '' : `, and at most ${showFiles(maxFiles)} (--max-delete)`;
  const limits = Object.entries(maxPercentIn).map(
    ([directory, percent]) => `; in ${directory}, ${percent} %`,
  );
  return [`at most ${maxPercent} % of the files or bytes may vanish${files}`, ...limits].join('');
}

/** How much may vanish in one publication. */
export const SHRINK: OptionGroup<ShrinkFlags, Given<ShrinkPolicy>> = {
  options: [MAX_SHRINK, new Option('--allow-shrink', 'publish no matter how much vanishes')],
  read: ({ maxShrink, allowShrink }) => ({ ...maxShrink, isAllowed: allowShrink }),
};
