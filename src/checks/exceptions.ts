import ignore from 'ignore';
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
    this.#patterns.forEach(({ matches, exact }, at) => {
      if (kind === 'signature' ? exact !== name : !matches(name)) return;
      isExcepted = true;
      const used = this.used[at];
      if (used !== undefined) used.count += 1;
    });
    return isExcepted;
  }
}

/** The most bytes in a path. */
const LONGEST_PATH = 4095;

interface Pattern {
  matches: (name: string) => boolean;
  /** The one name that it stands for; undefined for one with wildcards, or for names in any directory. */
  exact: string | undefined;
}

function parsePattern(text: string): Pattern {
  const pattern = Buffer.from(text).toString('latin1');
  const matcher = ignore({ ignorecase: false, allowRelativePaths: true }).add({ pattern });
  const isPlain = !/[*?[\\]/.test(pattern) && !pattern.endsWith('/');
  return {
    // It goes through the directories of a name one by one, and keeps what it knows of each until a rule is added.
    matches: (name) => matcher.add(NO_RULES).ignores(name.slice(0, LONGEST_PATH)),
    exact: isPlain ? pattern.replace(/^\//, '') : undefined,
  };
}

const NO_RULES = ignore();

/** `check-except pool/old/**: 3 findings refuse nothing` */
export function describeExcepted({ pattern, count }: Excepted): string {
  const what =
    count === 0
      ? 'nothing that is wrong has such a name; if it was not mistyped, it can go'
      : `${count === 1 ? '1 finding refuses' : `${count} findings refuse`} nothing`;
  return `check-except ${printable(pattern)}: ${what}`;
}
