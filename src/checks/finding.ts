import type { FindingRecord } from '../mirror/history/history-line.ts';
import { NameWriter } from '../mirror/name-list.ts';
import { readableName } from '../mirror/names.ts';
import type { Exceptions } from './exceptions.ts';

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

/** Counts findings, and keeps the first; of all others the names, in a file. */
export class Findings {
  readonly list: CheckFinding[] = [];
  count = 0;
  readonly #path: string;
  readonly #exceptions: Exceptions;
  #names: NameWriter | undefined;

  /** @param path of a new file for the names of entries that are wrong; none is made if there are none. */
  constructor(path: string, exceptions: Exceptions) {
    this.#path = path;
    this.#exceptions = exceptions;
  }

  /** @param name that of the entry, and `by`: one character per byte (latin1). */
  add(name: string, kind: FindingKind, expected: string, found: string, by = ''): void {
    if (this.#exceptions.excepts(name, kind)) return;
    this.count += 1;
    if (kind !== 'command' && name !== '.') {
      this.#names ??= new NameWriter(this.#path);
      this.#names.write(name);
    }
    if (this.list.length >= MOST_FINDINGS) return;
    const { name: shown, bytes } = readableName(name);
    const exact = bytes === undefined ? {} : { nameBytes: bytes };
    const source = readableName(by).name;
    this.list.push({ name: shown, ...exact, kind, expected, found, by: source });
  }

  /** Ends the names. @returns the path of their file; undefined if there are none. */
  close(): string | undefined {
    const wrong = this.#names && this.#path;
    this.#names?.close();
    this.#names = undefined;
    return wrong;
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
