import { Option } from 'commander';
import { DEFAULT_SHRINK, type Given, type ShrinkPolicy } from '../../mirror/policy.ts';
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

/** What the shrink guard allows, for people. */
export function describeShrink({
  maxPercent,
  maxPercentIn,
}: Pick<ShrinkPolicy, 'maxPercent' | 'maxPercentIn'>): string {
  const limits = Object.entries(maxPercentIn).map(
    ([directory, percent]) => `; in ${directory}, ${percent} %`,
  );
  return [`at most ${maxPercent} % of the files or bytes may vanish`, ...limits].join('');
}

/** How much may vanish in one publication. */
export const SHRINK: OptionGroup<ShrinkFlags, Given<ShrinkPolicy>> = {
  options: [MAX_SHRINK, new Option('--allow-shrink', 'publish no matter how much vanishes')],
  read: ({ maxShrink, allowShrink }) => ({ ...maxShrink, isAllowed: allowShrink }),
};
