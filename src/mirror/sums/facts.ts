import { type BigIntStats, readlinkSync } from 'node:fs';

/** What is recorded of an entry, each as text. */
export interface Facts {
  /** As `%y` of find(1): `f`, `d`, `l`, … */
  type: string;
  /** Permission bits, in octal. */
  mode: string;
  /** bytes; `-` for a directory, whose size and time are not its content. */
  size: string;
  /** The modification time; s since the epoch, with nine decimals. */
  time: string;
  /** `as before`: that of the layer below, if it is of a file of this size and time; undefined: unknown. */
  sum: Sum | 'as before' | undefined;
  /** Of a symlink, one character per byte (latin1). */
  target: string;
}

/** The checksum of a file. */
export interface Sum {
  /** As `--checksum-choice` of rsync names it. */
  algorithm: string;
  hex: string;
  /** It is that of what was read later, and not at publication. */
  isLate: boolean;
}

/** Says that a name is not there any more. */
export const GONE = '-';

/** `TYPE MODE SIZE TIME SUM TARGET`; see `Facts`. */
export function showFacts({ type, mode, size, time, sum, target }: Facts): string {
  return `${type} ${mode} ${size} ${time} ${showSum(sum)} ${target}`;
}

/** @returns undefined for an entry that is gone, or what says nothing intelligible. */
export function parseFacts(text: string | undefined): Facts | undefined {
  const parts = /^(\S) (\d+) (\S+) (\S+) (\S+) (.*)$/s.exec(text ?? '');
  if (parts === null) return undefined;
  const [, type = '', mode = '', size = '', time = '', sum = '', target = ''] = parts;
  const known = sum === AS_BEFORE ? 'as before' : parseSum(sum);
  return { type, mode, size, time, sum: known, target };
}

const AS_BEFORE = '^';

export function showSum(sum: Facts['sum']): string {
  if (sum === undefined) return '-';
  if (sum === 'as before') return AS_BEFORE;
  return `${sum.algorithm}${sum.isLate ? '+' : ':'}${sum.hex}`;
}

/** @param text as rsync's entries have it, `ALGORITHM:HEX`; with a `+` for a late one. */
export function parseSum(text: string): Sum | undefined {
  const [, algorithm, mark, hex] = /^(\w+)([:+])([0-9a-f]+)$/.exec(text) ?? [];
  if (algorithm === undefined || hex === undefined) return undefined;
  return { algorithm, hex, isLate: mark === '+' };
}

/** What is said of a name where two layers say something of it. */
export function overlaidFacts(above: string, below: string | undefined): string {
  if (below === undefined || !above.includes(` ${AS_BEFORE} `)) return above;
  const [upper, lower] = [parseFacts(above), parseFacts(below)];
  if (upper?.sum !== 'as before') return above;
  const isSame = lower?.size === upper.size && lower.time === upper.time;
  return showFacts({ ...upper, sum: isSame ? lower.sum : undefined });
}

const TYPES: readonly [string, (found: BigIntStats) => boolean][] = [
  ['f', (found) => found.isFile()],
  ['d', (found) => found.isDirectory()],
  ['l', (found) => found.isSymbolicLink()],
  ['c', (found) => found.isCharacterDevice()],
  ['b', (found) => found.isBlockDevice()],
  ['p', (found) => found.isFIFO()],
  ['s', (found) => found.isSocket()],
];

const BILLION = 1_000_000_000n;

/** @param path where that was found. */
export function factsOf(found: BigIntStats, path: Buffer): Facts {
  const type = TYPES.find(([, is]) => is(found))?.[0] ?? '?';
  // A time before 1970 counts its decimals upwards, as in find(1).
  const decimals = ((found.mtimeNs % BILLION) + BILLION) % BILLION;
  const seconds = (found.mtimeNs - decimals) / BILLION;
  return withoutIdle({
    type,
    mode: (found.mode & 0o7777n).toString(8),
    size: String(found.size),
    time: `${seconds}.${String(decimals).padStart(9, '0')}`,
    sum: undefined,
    target: type === 'l' ? readlinkSync(path, 'latin1') : '',
  });
}

/** What find(1) is to print of an entry, after its name. */
export const FIND_FACTS = '%y %m %s %T@ %i %l';

/** The same, and when the inode has last changed: `%C@ ` and `FIND_FACTS`. */
export const FIND_FACTS_AND_CTIME = `%C@ ${FIND_FACTS}`;

/** @param text as `FIND_FACTS_AND_CTIME`. @returns what is as `FIND_FACTS`, and when its inode has changed; ms since the epoch. */
export function parseCtime(text: string): { found: string; changedAt: number } {
  const end = text.indexOf(' ');
  return { found: text.slice(end + 1), changedAt: Number(text.slice(0, end)) * 1000 };
}

/** An entry as find(1) has found it. */
export interface FoundFacts extends Facts {
  /** Its number, which other names of the same file have, too. */
  inode: string;
}

/** @throws Error for what is not as `FIND_FACTS`. */
export function parseFound(text: string): FoundFacts {
  const parts = /^(\S) (\d+) (\d+) (-?\d+)\.(\d+) (\d+) (.*)$/s.exec(text);
  if (parts === null) throw new Error(`find(1) says: ${text}`);
  const [, type = '', mode = '', size = '', seconds, decimals = '', inode = '', target = ''] =
    parts;
  const time = `${seconds}.${decimals.padEnd(9, '0').slice(0, 9)}`;
  return { ...withoutIdle({ type, mode, size, time, sum: undefined, target }), inode };
}

function withoutIdle(facts: Facts): Facts {
  return facts.type === 'd' ? { ...facts, size: '-', time: '-' } : facts;
}
