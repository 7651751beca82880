import type { Line, SortOptions } from '../mirror/sums/lines.ts';
import { scanTree } from '../mirror/sums/scan.ts';
import type { FoundFile } from './tree-files.ts';

/**
 * What is seen of a regular file without reading it: `INODE SIZE MTIME CTIME`, sizes in bytes, times in s since the
 * epoch with ten decimals, the last of which is 0. So find(1) prints them.
 */
export type Seen = `${bigint} ${string}`;

/** What find(1) is to print of a file, after its name. */
const PRINTED = '%i %s %T@ %C@';

export function seenOf({ stats }: FoundFile): Seen {
  const { ino, size, mtimeNs, ctimeNs } = stats;
  return `${ino} ${size} ${printed(mtimeNs)} ${printed(ctimeNs)}`;
}

function printed(ns: bigint): string {
  // A time before 1970 counts its decimals upwards, as in find(1).
  const decimals = ((ns % BILLION) + BILLION) % BILLION;
  return `${(ns - decimals) / BILLION}.${String(decimals).padStart(9, '0')}0`;
}

const BILLION = 1_000_000_000n;

/** bytes */
export function sizeIn(seen: Seen): number {
  return Number(seen.split(' ', 2)[1]);
}

/** ns since the epoch */
export function ctimeIn(seen: Seen): bigint {
  const [seconds = '', decimals = ''] = seen.slice(seen.lastIndexOf(' ') + 1).split('.');
  return BigInt(seconds) * BILLION + BigInt(decimals.slice(0, 9).padEnd(9, '0'));
}

/** That of a file without the time of its last change of any kind. */
export function withoutCtime(seen: Seen): string {
  return seen.slice(0, seen.lastIndexOf(' '));
}

/**
 * The regular files of a tree by their names, with what is seen of them. What is behind a symlink, on another filesystem
 * or hidden from this user is not among them.
 *
 * @param work the path of the files that are made: this, and this and `.sorted`.
 * @throws MirrorlatchError IO when the tree cannot be read.
 */
export async function seenFiles(
  tree: string,
  work: string,
  options: SortOptions,
): Promise<Iterable<Line>> {
  const { lines } = await scanTree(tree, work, options, { print: PRINTED, only: ['-type', 'f'] });
  return lines;
}
