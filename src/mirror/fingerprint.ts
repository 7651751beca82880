import { createHash } from 'node:crypto';
import type { Entry } from '../rsync/itemize.ts';

/**
 * A checksum of the entries of a transfer, independent of their order. It compares what was planned
 * with what was done without keeping either list. Directories do not count, because a transfer also
 * touches those that only lead to an entry.
 */
export class Fingerprint {
  #sum = 0n;

  add({ name, type, size, modified, change }: Entry): void {
    if (type === 'directory' || change === 'deleted') return;
    const digest = createHash('sha256')
      .update(`${type} ${size} ${modified} ${name}`, 'latin1')
      .digest();
    this.#sum = BigInt.asUintN(64, this.#sum + digest.readBigUInt64LE());
  }

  equals(other: Fingerprint): boolean {
    return this.#sum === other.#sum;
  }
}
