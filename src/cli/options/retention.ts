import { Option } from 'commander';
import {
  DEFAULT_RETENTION,
  type Given,
  type RetentionPolicy,
  withDefaults,
} from '../../mirror/policy.ts';
import { showDuration } from '../units.ts';
import { count, duration } from '../values.ts';
import type { OptionGroup } from './group.ts';

export interface RetentionFlags {
  keepLast?: number;
  /** ms */
  keepWithin?: number;
  grace?: number;
}

/** The rules in words, to follow "keeps". */
export function describeRetention(rules: Given<RetentionPolicy>): string {
  const { keepLast, keepWithinMs, graceMs } = withDefaults(DEFAULT_RETENTION, rules);
  const kept = [
    keepLast === 1 ? 'the last snapshot' : `the last ${keepLast} snapshots`,
    ...(keepWithinMs > 0 ? [`those published within ${showDuration(keepWithinMs)}`] : []),
    ...(graceMs > 0 ? [`those that were current within ${showDuration(graceMs)}`] : []),
  ];
  const last = kept.length > 1 ? ` and ${kept.pop()}` : '';
  return `${kept.join(', ')}${last}`;
}

/** Which snapshots are kept. */
export const RETENTION: OptionGroup<RetentionFlags, Given<RetentionPolicy>> = {
  options: [
    new Option(
      '--keep-last <n>',
      `keep this many of the newest snapshots (default: ${DEFAULT_RETENTION.keepLast})`,
    ).argParser(count(1)),
    new Option(
      '--keep-within <duration>',
      `keep snapshots published less than this long ago (default: ${showDuration(DEFAULT_RETENTION.keepWithinMs)})`,
    ).argParser(duration),
    new Option(
      '--grace <duration>',
      `keep snapshots that were current less than this long ago (default: ${showDuration(DEFAULT_RETENTION.graceMs)})`,
    ).argParser(duration),
  ],
  read: ({ keepLast, keepWithin, grace }) => ({
    keepLast,
    keepWithinMs: keepWithin,
    graceMs: grace,
  }),
};
