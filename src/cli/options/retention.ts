import { Option } from 'commander';
import { showDuration } from '../../config/values.ts';
import { CALENDAR } from '../../mirror/retention/retention.ts';
import {
  DEFAULT_RETENTION,
  type Given,
  type RetentionPolicy,
  rulesIn,
  withDefaults,
} from '../../mirror/settings/policy.ts';
import { count, duration, tagsOf } from '../values.ts';
import type { OptionGroup } from './group.ts';

export interface RetentionFlags {
  keepLast?: number;
  keepHourly?: number;
  keepDaily?: number;
  keepWeekly?: number;
  keepMonthly?: number;
  keepYearly?: number;
  /** False for --no-keep-tag. */
  keepTag?: string[] | boolean;
  /** ms */
  keepWithin?: number;
  grace?: number;
}

/** The rules in words, to follow "keeps". */
export function describeRetention(rules: Given<RetentionPolicy>): string {
  const policy = withDefaults(DEFAULT_RETENTION, rules);
  const { keepLast, keepTags, keepWithinMs, graceMs } = policy;
  const kept = [
    keepLast === 1 ? 'the last snapshot' : `the last ${keepLast} snapshots`,
    ...CALENDAR.filter(({ rule }) => policy[rule] > 0).map(
      ({ rule, name }) => `${policy[rule]} ${name} ${policy[rule] === 1 ? 'one' : 'ones'}`,
    ),
    ...(keepTags.length > 0 ? [`those tagged ${keepTags.join(' or ')}`] : []),
    ...(keepWithinMs > 0 ? [`those published within ${showDuration(keepWithinMs)}`] : []),
    ...(graceMs > 0 ? [`those that were current within ${showDuration(graceMs)}`] : []),
  ];
  const last = kept.length > 1 ? ` and ${kept.pop()}` : '';
  return `${kept.join(', ')}${last}`;
}

const ADVERBS = {
  hour: 'hourly',
  day: 'daily',
  week: 'weekly',
  month: 'monthly',
  year: 'yearly',
} as const;

/** Which snapshots are kept. */
export const RETENTION: OptionGroup<RetentionFlags, Given<RetentionPolicy>> = {
  options: [
    new Option(
      '--keep-last <n>',
      `keep this many of the newest snapshots (default: ${DEFAULT_RETENTION.keepLast})`,
    ).argParser(count(1)),
    eachOf('hour'),
    eachOf('day'),
    eachOf('week', ', from Monday on'),
    eachOf('month'),
    eachOf('year'),
    new Option('--keep-tag <tag>', 'keep snapshots with this tag; repeatable').argParser(tagsOf),
    new Option('--no-keep-tag', 'keep none for a tag that the mirror remembers'),
    new Option(
      '--keep-within <duration>',
      `keep snapshots published less than this long ago (default: ${showDuration(DEFAULT_RETENTION.keepWithinMs)})`,
    ).argParser(duration),
    new Option(
      '--grace <duration>',
      `keep snapshots that were current less than this long ago (default: ${showDuration(DEFAULT_RETENTION.graceMs)})`,
    ).argParser(duration),
  ],
  read: ({ keepTag, keepWithin, grace, ...counts }) => {
    const keepTags = keepTag === false ? [] : Array.isArray(keepTag) ? keepTag : undefined;
    return rulesIn({ ...counts, keepTags, keepWithinMs: keepWithin, graceMs: grace });
  },
};

function eachOf(period: keyof typeof ADVERBS, begin = ''): Option {
  return new Option(
    `--keep-${ADVERBS[period]} <n>`,
    `keep the newest of each of the last n ${period}s (UTC${begin}) that have any (default: 0)`,
  ).argParser(count(0));
}
