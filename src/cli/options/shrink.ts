import { Option } from 'commander';
import { DEFAULT_SHRINK, type Given, type ShrinkPolicy } from '../../mirror/policy.ts';
import { percentage } from '../values.ts';
import type { OptionGroup } from './group.ts';

export interface ShrinkFlags {
  maxShrink?: number;
  allowShrink?: boolean;
}

export const MAX_SHRINK = new Option(
  '--max-shrink <percent>',
  `refuse to publish if more files or bytes than this would vanish (default: ${DEFAULT_SHRINK.maxPercent})`,
).argParser(percentage);

/** How much may vanish in one publication. */
export const SHRINK: OptionGroup<ShrinkFlags, Given<ShrinkPolicy>> = {
  options: [MAX_SHRINK, new Option('--allow-shrink', 'publish no matter how much vanishes')],
  read: ({ maxShrink, allowShrink }) => ({ maxPercent: maxShrink, isAllowed: allowShrink }),
};
