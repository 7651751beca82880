import type { FindingRecord } from '../mirror/history/history-line.ts';
import { NameWriter } from '../mirror/name-list.ts';
import { nameInLine, readableName } from '../mirror/names.ts';
import type { Exceptions } from './exceptions.ts';
import { Places } from './places.ts';

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

/** How many findings there are, in all, of each kind, and in which directories, printable. */
export interface FindingCounts {
  kinds: { kind: FindingKind; count: number }[];
  directories: { directory: string; count: number }[];
}

/** How many directories a report tells apart. */
const MOST_PLACES = 6;

/** The most findings of which more than the count is kept. */
export const MOST_FINDINGS = 100;

/** So many are remembered by their names. */
const MOST_BLAMED = 10_000;

/** Counts findings, and keeps the first; of all others the names, in a file. */
export class Findings {
  readonly list: CheckFinding[] = [];
  count = 0;
  readonly #path: string;
  readonly #exceptions: Exceptions;
  readonly #only: readonly FindingKind[] | undefined;
  readonly #kinds = new Map<FindingKind, number>();
  readonly #places = new Places();
  /** Why lists cannot be understood whose size or hash may turn out to be wrong, by their names. */
  readonly #doubts = new Map<string, string>();
  /** Some of the entries that are wrong. */
  readonly #blamed = new Set<string>();
  #names: NameWriter | undefined;

  /**
   * @param path of a new file for the names of entries that are wrong; none is made if there are none.
   * @param only the kinds that are of interest; undefined: all.
   */
  constructor(path: string, exceptions: Exceptions, only?: readonly FindingKind[]) {
    this.#path = path;
    this.#exceptions = exceptions;
    this.#only = only;
  }

  /** @param name that of the entry, and `by`: one character per byte (latin1). */
  add(name: string, kind: FindingKind, expected: string, found: string, by = ''): void {
    if (OF_CONTENT.includes(kind)) this.#doubts.delete(name);
    if (this.#only?.includes(kind) === false) return;
    if (this.#exceptions.excepts(name, kind)) return;
    this.count += 1;
    if (this.#blamed.size < MOST_BLAMED) this.#blamed.add(name);
    this.#kinds.set(kind, (this.#kinds.get(kind) ?? 0) + 1);
    if (kind !== 'command') this.#places.add(readableName(name).name);
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

  /**
   * Adds that a list cannot be understood, but only once `settle` is called, and not if its size or its hash is
   * wrong by then: that explains whatever its reader stumbles over. The first fault of a list counts.
   */
  doubt(name: string, found: string): void {
    if (this.#doubts.has(name)) return;
    if (this.#doubts.size < MOST_FINDINGS) this.#doubts.set(name, found);
    else this.add(name, 'malformed', UNDERSTANDABLE, found, name);
  }

  /** Whether an entry was found to be wrong already; of very many, false for the last. */
  blames(name: string): boolean {
    return this.#blamed.has(name) || this.#doubts.has(name);
  }

  /** Adds the faults that nothing else explains. */
  settle(): void {
    for (const [name, found] of this.#doubts)
      this.add(name, 'malformed', UNDERSTANDABLE, found, name);
    this.#doubts.clear();
  }

  get counts(): FindingCounts {
    const kinds = [...this.#kinds].map(([kind, count]) => ({ kind, count }));
    return { kinds, directories: this.#places.within(MOST_PLACES) };
  }

  /** Ends the names. @returns the path of their file; undefined if there are none. */
  close(): string | undefined {
    const wrong = this.#names && this.#path;
    this.#names?.close();
    this.#names = undefined;
    return wrong;
  }
}

/** What is wrong with a file whose content is not the one that was meant. */
export const OF_CONTENT: readonly FindingKind[] = ['size', 'hash', 'unreadable'];

/** What is expected of a malformed file. */
export const UNDERSTANDABLE = 'what can be understood';

/** What is expected where a file is missing that has a name. */
export const A_FILE = 'a file';

/**
 * `pool/a.deb: size 12, expected 14 (dists/stable/main/binary-amd64/Packages)`; of the digits of a checksum the first
 * are enough for a sentence.
 */
export function describeFinding({ name, kind, expected, found, by }: FindingRecord): string {
  const source = by === '' || by === name ? '' : ` (${by})`;
  if (kind === 'missing') return `${expected === A_FILE ? name : expected} is missing${source}`;
  return `${name}: ${shortened(found)}, expected ${shortened(expected)}${source}`;
}

function shortened(text: string): string {
  return text.replace(/^(\S+ [0-9a-f]{12})[0-9a-f]{20,}$/, '$1…');
}

/** `72 hash, 70 missing; 140 in dists, 2 in pool/x` */
export function describeCounts({ kinds, directories }: FindingCounts): string {
  const byKind = kinds.map(({ kind, count }) => `${count} ${kind}`).join(', ');
  const places = directories.map(({ directory, count }) => {
    return `${count} ${directory === '.' ? 'at the top' : `in ${nameInLine(directory)}`}`;
  });
  return [byKind, places.join(', ')].filter((part) => part !== '').join('; ');
}
