import { type Facts, parseFacts, parseFound, type Sum } from './facts.ts';
import { joined, type Line, nameOfKey } from './lines.ts';

/** In what a tree is not as it was recorded. */
export type DamageKind =
  | 'missing'
  | 'added'
  | 'type'
  | 'mode'
  | 'size'
  | 'time'
  | 'target'
  | 'content'
  | 'unreadable';

/** How many are listed; all are counted. */
export const MOST_LISTED = 1000;

export interface Difference {
  /** One character per byte (latin1); `.` is the top directory. */
  name: string;
  kind: DamageKind;
  expected: string;
  found: string;
}

/** A file of the recorded size, of whose content nothing is known yet. */
export interface Unread {
  name: string;
  /** See `FoundFacts`. */
  inode: string;
  /** bytes */
  size: number;
  /** The one that was recorded; undefined if none was. */
  sum: Sum | undefined;
}

/**
 * Compares what is found of a tree with what was recorded of it, without reading a file.
 *
 * @param onFile called for each file that has the size that was recorded.
 * @returns the differences, and undefined for each entry that both have.
 */
export function* compareWithRecord(
  found: Iterable<Line>,
  recorded: Iterable<Line>,
  onFile: (file: Unread) => void,
): Generator<Difference | undefined, void> {
  for (const { key, said } of joined([found, recorded])) {
    const name = nameOfKey(key);
    const [[now] = [], [then] = []] = said;
    const expected = parseFacts(then);
    if (now === undefined) {
      yield { name, kind: 'missing', expected: describe(expected), found: 'nothing' };
      continue;
    }
    const { inode, ...facts } = parseFound(now);
    if (expected === undefined) {
      yield { name, kind: 'added', expected: 'nothing', found: describe(facts) };
      continue;
    }
    const kind = differenceBetween(expected, facts);
    if (kind !== undefined) yield { name, kind, ...valuesOf(kind, expected, facts) };
    if ((kind === undefined || leavesContentOpen(kind)) && facts.type === 'f')
      onFile({ name, inode, size: Number(facts.size), sum: sumOf(expected) });
    yield undefined;
  }
}

/** Whether the content of a file may be whole, or damaged besides. */
export function leavesContentOpen(kind: DamageKind): boolean {
  return kind === 'time' || kind === 'mode';
}

function sumOf({ sum }: Facts): Sum | undefined {
  return sum === 'as before' ? undefined : sum;
}

/** The first that says the most. */
function differenceBetween(expected: Facts, found: Facts) {
  const kinds = ['type', 'target', 'size', 'time', 'mode'] as const;
  return kinds.find((kind) => expected[kind] !== found[kind]);
}

function valuesOf(kind: 'type' | 'target' | 'size' | 'time' | 'mode', one: Facts, other: Facts) {
  if (kind === 'type') return { expected: describe(one), found: describe(other) };
  return { expected: one[kind], found: other[kind] };
}

const NAMES: Record<string, string> = {
  f: 'a file',
  d: 'a directory',
  l: 'a symlink',
  c: 'a device',
  b: 'a device',
  p: 'a fifo',
  s: 'a socket',
};

function describe(facts: Facts | undefined): string {
  return NAMES[facts?.type ?? ''] ?? 'an entry';
}
