import { InvalidArgumentError } from 'commander';
import {
  readChannelRule,
  readChoice,
  readCount,
  readDirectory,
  readDuration,
  readNameAtTop,
  readNamePattern,
  readPathWithin,
  readPercentage,
  readTag,
  UnfitValue,
} from '../config/values.ts';
import { isChannelName } from '../mirror/settings/policy.ts';
import type { GivenRules } from '../mirror/settings/settings.ts';

/** A reader of values as commander calls it. */
function asArgument<Value>(read: (text: string) => Value): (text: string) => Value {
  return (text) => {
    try {
      return read(text);
    } catch (error) {
      throw error instanceof UnfitValue ? new InvalidArgumentError(error.message) : error;
    }
  };
}

/** Reads a duration; ms. */
export const duration = asArgument(readDuration);

/** For the reader, which waits for whole seconds only. */
export function wholeSeconds(milliseconds: number): number {
  return Math.ceil(milliseconds / 1000);
}

/** Reads `30`, or `pool=10` for a directory in the tree; repeatable. */
export function percentages(text: string, before: Percentages = {}): Percentages {
  const at = text.lastIndexOf('=');
  const percent = asArgument(readPercentage)(text.slice(at + 1));
  if (at === -1) return { ...before, maxPercent: percent };
  const directory = asArgument(readDirectory)(text.slice(0, at));
  return { ...before, maxPercentIn: { ...before.maxPercentIn, [directory]: percent } };
}

/** Reads the name of a channel. */
export function channelName(text: string): string {
  if (isChannelName(text)) return text;
  throw new InvalidArgumentError('Give the name of a channel, such as production.');
}

/** Reads `production=testing after 7d`, or `production=none`; repeatable. */
export function channelRules(text: string, before: GivenRules = {}): GivenRules {
  const [, name = '', given = ''] = /^\s*([^=\s]+)\s*=(.*)$/s.exec(text) ?? [];
  if (!isChannelName(name))
    throw new InvalidArgumentError(
      "Give a channel and what it follows, such as 'production=testing after 7d', or production=none to end its rule.",
    );
  const rule = given.trim() === 'none' ? null : asArgument(readChannelRule)(given);
  return { ...before, [name]: rule };
}

/** Collects the paths of a repeatable option, each of one entry of the source, relative to it. */
export function pathsWithin(text: string, before: readonly string[] | boolean = []): string[] {
  const path = asArgument(readPathWithin)(text);
  return [...(typeof before === 'boolean' ? [] : before), path];
}

/** Collects the patterns on names of a repeatable option. */
export function namePatterns(text: string, before: readonly string[] | boolean = []): string[] {
  return [...(typeof before === 'boolean' ? [] : before), asArgument(readNamePattern)(text)];
}

/** Collects the tags of a repeatable option. */
export function tagsOf(text: string, before: readonly string[] | boolean = []): string[] {
  return [...(typeof before === 'boolean' ? [] : before), asArgument(readTag)(text)];
}

/** Reads the name of a file at the top of the source. */
export const nameAtTop = asArgument(readNameAtTop);

export interface Percentages {
  maxPercent?: number;
  maxPercentIn?: Record<string, number>;
}

/** Reads a whole number. */
export function count(atLeast: number): (text: string) => number {
  return asArgument((text) => readCount(text, atLeast));
}

/** Reads `2026-11-22T03:00Z` (ISO 8601), or `03:00`, which means the next such time in UTC. */
export function pointInTime(text: string, now = new Date()): Date {
  const [, hours, minutes] = /^([01]\d|2[0-3]):([0-5]\d)$/.exec(text) ?? [];
  if (hours !== undefined && minutes !== undefined) {
    const today = new Date(now);
    today.setUTCHours(Number(hours), Number(minutes), 0, 0);
    if (today < now) today.setUTCDate(today.getUTCDate() + 1);
    return today;
  }
  const time = /^\d{4}-\d{2}-\d{2}T/.test(text) ? new Date(text) : new Date(Number.NaN);
  if (!Number.isNaN(time.getTime())) return time;
  throw new InvalidArgumentError('Give a time such as 2026-11-22T03:00Z, or 03:00 (UTC).');
}

/** Collects the values of a repeatable option, each one of `allowed`, also separated by commas. */
export function someOf<Value extends string>(allowed: readonly Value[]) {
  return (text: string, before: readonly Value[] = []): Value[] => {
    const read = asArgument((word: string) => readChoice(word, allowed));
    return [...before, ...text.split(',').map(read)];
  };
}
