import { posix } from 'node:path';
import { NameWriter } from '../mirror/name-list.ts';
import { keyOf } from '../mirror/sums/lines.ts';
import { PACKAGE_HASHES } from './alpine/package-hash.ts';

/** The checksums that repositories use, by the names that Node has for them, and those of packages of apk. */
const ALGORITHMS = [
  ...(['sha512', 'sha256', 'sha384', 'sha224', 'sha1', 'md5'] as const),
  ...PACKAGE_HASHES,
];

type Algorithm = (typeof ALGORITHMS)[number];

export interface Checksum {
  algorithm: Algorithm;
  /** In small letters. */
  hex: string;
}

/** What a file of a tree says of another. */
export interface Claim {
  /** bytes */
  size: number | undefined;
  sum: Checksum | undefined;
  /** The name of the file that says it, one character per byte (latin1). */
  by: string;
}

/** `SIZE ALGORITHM:HEX BY`, each of the first two `-` if that is not said. */
export function showClaim({ size, sum, by }: Claim): string {
  return `${size ?? '-'} ${showSum(sum)} ${by}`;
}

export function showSum(sum: Checksum | undefined): string {
  return sum === undefined ? '-' : `${sum.algorithm}:${sum.hex}`;
}

export function parseClaim(text: string): Claim {
  const [size = '-', sum = '-'] = text.split(' ', 2);
  const [algorithm, hex = ''] = sum.split(':');
  return {
    size: size === '-' ? undefined : Number(size),
    sum: sum === '-' ? undefined : { algorithm: algorithm as Algorithm, hex },
    by: text.slice(size.length + sum.length + 2),
  };
}

/** A list of claims in a file, because a repository has more of them than should be in memory. */
export class ClaimWriter {
  readonly #names: NameWriter;

  constructor(path: string) {
    this.#names = new NameWriter(path);
  }

  write(name: string, claim: Claim): void {
    this.#names.write(keyOf(name) + showClaim(claim));
  }

  close(): void {
    this.#names.close();
  }
}

/**
 * The name in the tree of what is called `path` in one of its directories.
 *
 * @param directory `.` for the top. Both are one character per byte (latin1).
 * @returns undefined if that is no name of an entry in the tree.
 */
export function nameIn(directory: string, path: string): string | undefined {
  if (path === '' || path.startsWith('/') || path.includes('\0')) return undefined;
  const name = posix.join(directory, path).replace(/\/$/, '');
  return name === '.' || name === '..' || name.startsWith('../') ? undefined : name;
}

/** A checksum as a repository writes it; undefined for what is none. */
export function checksumOf(algorithm: string, hex: string): Checksum | undefined {
  const name = algorithm.toLowerCase().replace(/^sha-/, 'sha').replace(/^sha$/, 'sha1');
  const known = ALGORITHMS.find((one) => one === name);
  if (known === undefined || hex.length !== DIGITS[known]) return undefined;
  return /^[0-9a-fA-F]+$/.test(hex) ? { algorithm: known, hex: hex.toLowerCase() } : undefined;
}

const DIGITS: Readonly<Record<Algorithm, number>> = {
  sha512: 128,
  sha256: 64,
  sha384: 96,
  sha224: 56,
  sha1: 40,
  md5: 32,
  'apk-sha1': 40,
  'apk-sha256': 64,
};
