import { faultOfNamePattern } from '../mirror/settings/name-pattern.ts';
import { type ChannelRule, isChannelName, isPathWithin, isTag } from '../mirror/settings/policy.ts';

/**
 * How values are written, on the command line and in the configuration alike. Each reader throws an
 * `UnfitValue`, whose message says what to give.
 */
export class UnfitValue extends Error {
  override readonly name = 'UnfitValue';
}

/** The units of a duration; ms. */
const UNITS = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
} as const;

/**
 * Reads `90s`, `10m`, `24h`, `7d`, `2w` or `0`; ms. Any other number needs its unit: seconds are
 * usual for a wait, days for what is kept.
 */
export function readDuration(text: string): number {
  if (text === '0') return 0;
  const [, number, unit] = /^(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h|d|w)$/.exec(text) ?? [];
  if (unit !== undefined) return Math.round(Number(number) * UNITS[unit as keyof typeof UNITS]);
  if (/^\d{1,9}(\.\d+)?$/.test(text))
    throw new UnfitValue(`It has no unit: write ${text}s, ${text}m, ${text}h or ${text}d.`);
  throw new UnfitValue('Give a duration such as 90s, 10m, 24h, 7d or 2w.');
}

/** `90s`, `36h`, `2d`: exact, in the largest unit that makes a whole number; `0` for no time. */
export function showDuration(milliseconds: number): string {
  if (milliseconds === 0) return '0';
  const [unit, length] =
    (['d', 'h', 'm', 's'] as const)
      .map((name) => [name, UNITS[name]] as const)
      .find(([, length]) => milliseconds % length === 0) ?? (['ms', 1] as const);
  return `${milliseconds / length}${unit}`;
}

/** Reads a number from 0 to 100, with or without a percent sign. */
export function readPercentage(text: string): number {
  const number = /^\d+(\.\d+)? ?%?$/.test(text) ? Number.parseFloat(text) : Number.NaN;
  if (number >= 0 && number <= 100) return number;
  throw new UnfitValue('Give a percentage from 0 to 100.');
}

/** Reads the name of a directory in a tree, such as `pool`. */
export function readDirectory(text: string): string {
  const directory = text.replaceAll(/^\/+|\/+$/g, '');
  if (directory.split('/').some((part) => ['', '.', '..'].includes(part)))
    throw new UnfitValue('Give a directory as it is in the mirror, such as pool=10.');
  // JSON.parse() and what checks its result do not agree on this name.
  if (directory === '__proto__') throw new UnfitValue('This name cannot be remembered.');
  return directory;
}

/** Reads the path of one entry of the source, relative to it. */
export function readPathWithin(text: string): string {
  const path = text.replace(/\/+$/, '');
  if (path.startsWith('/'))
    throw new UnfitValue('Give a path as it is in the source, without the leading slash.');
  if (/[*?]/.test(path)) throw new UnfitValue('Wildcards match nothing here. Name each path.');
  if (!isPathWithin(path))
    throw new UnfitValue('Give the path of one entry of the source, such as lastupdate.');
  return path;
}

/** Reads the name of a file at the top of the source. */
export function readNameAtTop(text: string): string {
  const name = readPathWithin(text);
  if (name.includes('/'))
    throw new UnfitValue(
      'Give the name of a file at the top of the source: what it lists is relative to its own directory.',
    );
  return name;
}

/** Reads a pattern on names in a tree. */
export function readNamePattern(text: string): string {
  const fault = faultOfNamePattern(text);
  if (fault !== undefined) throw new UnfitValue(fault);
  return text;
}

/** Reads a tag of snapshots. */
export function readTag(text: string): string {
  if (isTag(text)) return text;
  throw new UnfitValue(
    'Give a tag of 1 to 64 letters, digits and . _ + - that begins with a letter or a digit.',
  );
}

/** Reads what a channel follows: `testing after 7d`, or `testing` for at once. */
export function readChannelRule(text: string): ChannelRule {
  const [, from = '', after = '0'] = /^\s*(\S+?)(?:\s+after\s+(\S+))?\s*$/.exec(text) ?? [];
  if (from !== 'current' && !isChannelName(from))
    throw new UnfitValue(
      'Give what the channel follows, such as "testing after 7d" or "current after 1d".',
    );
  return { from, afterMs: readDuration(after) };
}

/** Reads a whole number. */
export function readCount(text: string, atLeast: number): number {
  const number = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (number >= atLeast) return number;
  throw new UnfitValue(`Give a whole number of at least ${atLeast}.`);
}

/** Reads one of several words. */
export function readChoice<Value extends string>(text: string, allowed: readonly Value[]): Value {
  const value = allowed.find((one) => one === text);
  if (value === undefined) throw new UnfitValue(`Allowed values are ${allowed.join(', ')}.`);
  return value;
}

/** Whether a word can be the name of a mirror: one of a command line, and of the name of a systemd unit. */
export function isMirrorName(word: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(word);
}
