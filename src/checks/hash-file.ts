import { createHash } from 'node:crypto';
import { closeSync, constants, openSync, readSync } from 'node:fs';
import type { Checksum } from './claims.ts';

/** Neither through a symlink that has come meanwhile, nor waiting for the writer of a fifo. */
export const READ_ONLY = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** How much is read at once; bytes. */
export const PIECE = 512 * 1024;

/**
 * The checksums of a file, which is read once for all of them.
 *
 * @param buffer what it is read into.
 * @param onBytes called with the count of each piece.
 * @throws Error of Node with the errno of open(2) or read(2).
 */
export function hashFile(
  path: Uint8Array,
  algorithms: readonly Checksum['algorithm'][],
  buffer: Uint8Array,
  onBytes: (bytes: number) => void,
): Checksum[] {
  const hashes = algorithms.map((algorithm) => ({ algorithm, hash: createHash(algorithm) }));
  const descriptor = openSync(Buffer.from(path), READ_ONLY);
  try {
    for (;;) {
      const bytes = readSync(descriptor, buffer);
      if (bytes === 0) break;
      for (const { hash } of hashes) hash.update(buffer.subarray(0, bytes));
      onBytes(bytes);
    }
  } finally {
    closeSync(descriptor);
  }
  return hashes.map(({ algorithm, hash }) => ({ algorithm, hex: hash.digest('hex') }));
}
