import { printable } from '../mirror/names.ts';
import type { FindingKind } from './finding.ts';

/** How often a pattern of `--check-except` has matched. */
export interface Excepted {
  pattern: string;
  count: number;
}

/**
 * The findings that a person has excepted, by patterns on the names of entries. They are those of gitignore(5), and
 * much like those of rsync(1): `*` and `?` stop at a slash, `**` does not; a pattern with a slash in it begins at
 * the top of the tree, one without is a name in any directory; and what matches a directory matches all in it.
 */
export class Exceptions {
  readonly used: Excepted[];
  readonly #patterns: readonly Pattern[];

  constructor(patterns: readonly string[]) {
    this.used = patterns.map((pattern) => ({ pattern, count: 0 }));
    this.#patterns = patterns.map(parsePattern);
  }

  /**
   * Whether what was found of an entry is excepted. A signature is by the full name of its file alone, so that no
   * pattern that is meant for other files lets an unsigned one through.
   *
   * @param name one character per byte (latin1).
   */
  excepts(name: string, kind: FindingKind): boolean {
    // These are about no entry.
    if (kind === 'command' || name === '.') return false;
    let isExcepted = false;
    this.#patterns.forEach(({ expression, exact }, at) => {
      if (kind === 'signature' ? exact !== name : !expression.test(name)) return;
      isExcepted = true;
      const used = this.used[at];
      if (used !== undefined) used.count += 1;
    });
    return isExcepted;
  }
}

interface Pattern {
  expression: RegExp;
  /** The one name that it stands for; undefined for one with wildcards, or for names in any directory. */
  exact: string | undefined;
}

/** The parts of a pattern that are not to be taken as they are. */
const PART = /\\(.)|(^|\/)\*\*\/|\*\*+|\*|\?|\[(?:[!^]?\]?[^\]]*)\]|./gs;

function parsePattern(text: string): Pattern {
  const pattern = Buffer.from(text).toString('latin1');
  const body = pattern.replace(/^\//, '').replace(/\/$/, '');
  const isAnchored = pattern.replace(/\/$/, '').includes('/');
  const parts = [...body.matchAll(PART)].map(expressionOf);
  const start = isAnchored ? '^' : '(?:^|/)';
  const end = pattern.endsWith('/') ? '/' : '(?:/|$)';
  const isPlain = !/[*?[\\]/.test(pattern) && !pattern.endsWith('/');
  return {
    expression: new RegExp(start + parts.join('') + end, 's'),
    exact: isPlain ? body : undefined,
  };
}

function expressionOf([part, escaped, before]: RegExpMatchArray): string {
  if (escaped !== undefined) return quoted(escaped);
  if (before !== undefined) return `${before}(?:.*/)?`;
  if (part === '*') return '[^/]*';
  if (part === '?') return '[^/]';
  if (part.startsWith('**')) return '.*';
  return part.length > 1 ? classOf(part.slice(1, -1)) : quoted(part);
}

/** @param inner what is between the brackets. No class matches a slash. */
function classOf(inner: string): string {
  const isNegated = /^[!^]/.test(inner);
  const members = inner.slice(isNegated ? 1 : 0).replaceAll(/[\\\]^[]/g, '\\$&');
  try {
    return new RegExp(`(?!/)[${isNegated ? '^' : ''}${members}]`, 's').source;
  } catch {
    // A range that runs backwards matches nothing.
    return '(?!)';
  }
}

function quoted(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\/]/g, '\\$&');
}

/** `check-except pool/old/**: 3 findings refuse nothing` */
export function describeExcepted({ pattern, count }: Excepted): string {
  const what =
    count === 0
      ? 'nothing that is wrong has such a name; if it was not mistyped, it can go'
      : `${count === 1 ? '1 finding refuses' : `${count} findings refuse`} nothing`;
  return `check-except ${printable(pattern)}: ${what}`;
}
