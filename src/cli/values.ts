import { InvalidArgumentError } from 'commander';
import { isPathWithin } from '../mirror/policy.ts';
import { readDuration } from './units.ts';

/**
 * Reads `90s`, `10m`, `24h`, `7d`, `2w` or `0`; ms. Any other number needs its unit: seconds are
 * usual for a wait, days for what is kept.
 */
export function duration(text: string): number {
  const parsed = readDuration(text);
  if (parsed !== undefined) return Math.round(parsed);
  if (/^\d{1,9}(\.\d+)?$/.test(text))
    throw new InvalidArgumentError(
      `It has no unit: write ${text}s, ${text}m, ${text}h or ${text}d.`,
    );
  throw new InvalidArgumentError('Give a duration such as 90s, 10m, 24h, 7d or 2w.');
}

/** For the reader, which waits for whole seconds only. */
export function wholeSeconds(milliseconds: number): number {
  return Math.ceil(milliseconds / 1000);
}

/** Reads a number from 0 to 100, with or without a percent sign. */
export function percentage(text: string): number {
  const number = /^\d+(\.\d+)? ?%?$/.test(text) ? Number.parseFloat(text) : Number.NaN;
  if (number >= 0 && number <= 100) return number;
  throw new InvalidArgumentError('Give a percentage from 0 to 100.');
}

/** Reads `30`, or `pool=10` for a directory in the tree; repeatable. */
export function percentages(text: string, before: Percentages = {}): Percentages {
  const at = text.lastIndexOf('=');
  if (at === -1) return { ...before, maxPercent: percentage(text) };
  const directory = text.slice(0, at).replaceAll(/^\/+|\/+$/g, '');
  if (directory.split('/').some((part) => ['', '.', '..'].includes(part)))
    throw new InvalidArgumentError('Give a directory as it is in the mirror, such as pool=10.');
  // JSON.parse() and what checks its result do not agree on this name.
  if (directory === '__proto__') throw new InvalidArgumentError('This name cannot be remembered.');
  const maxPercentIn = { ...before.maxPercentIn, [directory]: percentage(text.slice(at + 1)) };
  return { ...before, maxPercentIn };
}

/** Collects the paths of a repeatable option, each of one entry of the source, relative to it. */
export function pathsWithin(text: string, before: readonly string[] | boolean = []): string[] {
  const path = text.replace(/\/+$/, '');
  if (path.startsWith('/'))
    throw new InvalidArgumentError(
      'Give a path as it is in the source, without the leading slash.',
    );
  if (/[*?]/.test(path))
    throw new InvalidArgumentError('Wildcards match nothing here. Name each path.');
  if (!isPathWithin(path))
    throw new InvalidArgumentError('Give the path of one entry of the source, such as lastupdate.');
  return [...(typeof before === 'boolean' ? [] : before), path];
}

/** Reads the name of a file at the top of the source. */
export function nameAtTop(text: string): string {
  const [name, ...others] = pathsWithin(text);
  if (name === undefined || others.length > 0 || name.includes('/'))
    throw new InvalidArgumentError(
      'Give the name of a file at the top of the source: what it lists is relative to its own directory.',
    );
  return name;
}

export interface Percentages {
  maxPercent?: number;
  maxPercentIn?: Record<string, number>;
}

/** Reads a whole number. */
export function count(atLeast: number): (text: string) => number {
  return (text) => {
    const number = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (number >= atLeast) return number;
    throw new InvalidArgumentError(`Give a whole number of at least ${atLeast}.`);
  };
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
    const values = text.split(',').map((word) => {
      const value = allowed.find((one) => one === word);
      if (value === undefined)
        throw new InvalidArgumentError(`Allowed values are ${allowed.join(', ')}.`);
      return value;
    });
    return [...before, ...values];
  };
}
