import { createHash } from 'node:crypto';
import type { Entry } from '../../rsync/itemize.ts';

/**
 * A checksum of the differences that a look at the source found, independent of their order. It
 * compares two looks without keeping the list of either.
 */
export class Fingerprint {
  #sum = 0n;

  add({ name, type, size, modified, change }: Entry): void {
    const digest = createHash('sha256')
      .update(`${change} ${type} ${size} ${modified} ${name}`, 'latin1')
      .digest();
    this.#sum = BigInt.asUintN(64, this.#sum + digest.readBigUInt64LE());
  }

  equals(other: Fingerprint): boolean {
    return this.#sum === other.#sum;
  }
}
