import type { FindingRecord } from '../mirror/history/history-line.ts';
import { readableName } from '../mirror/names.ts';

/** What can be wrong with an entry of a tree, in the word that reports have for it. */
export type FindingKind =
  | 'missing'
  /** It is a directory, a device, or a symlink that leads out of the tree. */
  | 'not-regular'
  | 'size'
  | 'hash'
  | 'unreadable'
  /** It cannot be understood, or names what lies outside of the tree. */
  | 'malformed'
  | 'signature'
  | 'expired'
  /** The command of `--check-command` says so. */
  | 'command';

/** One thing that is not as the tree itself says, or as a command says. */
export interface CheckFinding {
  /** Printable; `nameBytes` is the exact name in hexadecimal where that differs. */
  name: string;
  nameBytes?: string;
  kind: FindingKind;
  expected: string;
  found: string;
  /** The file that says what is expected, printable; empty if it is none. */
  by: string;
}

/** The most findings of which more than the count is kept. */
export const MOST_FINDINGS = 100;

/** Counts findings, and keeps the first. */
export class Findings {
  readonly list: CheckFinding[] = [];
  count = 0;

  /** @param name that of the entry, and `by`: one character per byte (latin1). */
  add(name: string, kind: FindingKind, expected: string, found: string, by = ''): void {
    this.count += 1;
    if (this.list.length >= MOST_FINDINGS) return;
    const { name: shown, bytes } = readableName(name);
    const exact = bytes === undefined ? {} : { nameBytes: bytes };
    const source = readableName(by).name;
    this.list.push({ name: shown, ...exact, kind, expected, found, by: source });
  }
}

/** What is expected where a file is missing that has a name. */
export const A_FILE = 'a file';

/** `pool/a.deb: size 12, expected 14 (dists/stable/main/binary-amd64/Packages)` */
export function describeFinding({ name, kind, expected, found, by }: FindingRecord): string {
  const source = by === '' || by === name ? '' : ` (${by})`;
  if (kind === 'missing') return `${expected === A_FILE ? name : expected} is missing${source}`;
  return `${name}: ${found}, expected ${expected}${source}`;
}
