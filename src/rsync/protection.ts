import { readFileSync } from 'node:fs';
import { ifThere } from '../system/files.ts';
import { optionValue, parseRsyncOptions } from './options.ts';

export interface Protection {
  /** Filter rules of the receiving side. */
  rules: string[];
  /** Whether they protect all that the options exclude. */
  isComplete: boolean;
}

/**
 * The rules that make `rsync --delete-excluded` keep what options exclude, as `--delete` alone does, if they
 * come first: the same patterns in the same order, `protect` for `exclude` and `risk` for `include`
 * (rsync(1), FILTER RULES). Rules that are read while rsync runs have no such counterpart.
 */
export function protectionLike(options: readonly string[]): Protection {
  const found = parseRsyncOptions(options).named.map(({ name, words }) =>
    rulesLike(name, optionValue(words)),
  );
  return {
    rules: found.flatMap((rules) => rules ?? []),
    isComplete: !found.includes(undefined),
  };
}

/** @returns undefined if an option has rules that cannot be told from it. */
function rulesLike(name: string, value: string): string[] | undefined {
  switch (name) {
    case 'exclude':
      return hasPrefix(value) ? undefined : [`P ${value}`];
    case 'include':
      return hasPrefix(value) ? undefined : [`R ${value}`];
    case 'exclude-from':
      return hasPlainPatterns(value) ? [`merge,-r ${value}`] : undefined;
    case 'include-from':
      return hasPlainPatterns(value) ? [`merge,+r ${value}`] : undefined;
    case 'filter':
      return rulesLikeFilter(value);
    case 'F':
    case 'cvs-exclude':
      return undefined;
    default:
      return [];
  }
}

function rulesLikeFilter(rule: string): string[] | undefined {
  if (/^(?:[HS]|hide|show)[ _]/.test(rule)) return [];
  if (/^(?:[PR]|protect|risk)[ _]/.test(rule)) return [rule];
  const [, kind = '', pattern] = /^([-+]|exclude|include)[ _](.+)$/s.exec(rule) ?? [];
  if (pattern === undefined) return undefined;
  return [`${/^[-e]/.test(kind) ? 'P' : 'R'} ${pattern}`];
}

/** Only in the options that are older than filter rules these are no part of a pattern. */
function hasPrefix(pattern: string): boolean {
  return /^[-+] |^!$/.test(pattern);
}

function hasPlainPatterns(path: string): boolean {
  const lines = ifThere(() => readFileSync(path, 'latin1'))?.split(/[\n\r]/);
  return lines !== undefined && !lines.some(hasPrefix);
}
