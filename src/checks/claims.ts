import { posix } from 'node:path';
import { NameWriter } from '../mirror/name-list.ts';
import { keyOf } from '../mirror/sums/lines.ts';

/**
 * The digits of the checksums that repositories use, by the names that Node has for them; the best first, and those of
 * packages of apk.
 */
const DIGITS = {
  sha512: 128,
  sha256: 64,
  sha384: 96,
  sha224: 56,
  'sha3-512': 128,
  'sha3-384': 96,
  'sha3-256': 64,
  'sha3-224': 56,
  blake2b512: 128,
  blake2s256: 64,
  sha1: 40,
  md5: 32,
  'apk-sha1': 40,
  'apk-sha256': 64,
} as const;

type Algorithm = keyof typeof DIGITS;

const ALGORITHMS = Object.keys(DIGITS) as Algorithm[];

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
  const name = algorithm.toLowerCase();
  const known = ALGORITHMS.find((one) => one === (NAMES[name] ?? name.replace(/^sha-/, 'sha')));
  if (known === undefined || hex.length !== DIGITS[known]) return undefined;
  return /^[0-9a-fA-F]+$/.test(hex) ? { algorithm: known, hex: hex.toLowerCase() } : undefined;
}

/** What createrepo_c(8) and the hashlib of Python call them. */
const NAMES: Readonly<Record<string, string>> = {
  sha: 'sha1',
  sha3_512: 'sha3-512',
  sha3_384: 'sha3-384',
  sha3_256: 'sha3-256',
  sha3_224: 'sha3-224',
  blake2b: 'blake2b512',
  blake2s: 'blake2s256',
};

/** The best of some checksums of one file; undefined if none is known. @param sums by their algorithms, in hexadecimal. */
export function bestOf(
  sums: Iterable<readonly [algorithm: string, hex: string]>,
): Checksum | undefined {
  const known = [...sums].flatMap(([algorithm, hex]) => checksumOf(algorithm, hex) ?? []);
  const rank = ({ algorithm }: Checksum) => ALGORITHMS.indexOf(algorithm);
  return known.sort((left, right) => rank(left) - rank(right))[0];
}
