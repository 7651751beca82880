import { createHash } from 'node:crypto';
import type { Entry } from '../rsync/itemize.ts';

/**
 * A sum over the entries of a transfer that does not depend on their order, so that what was
 * planned can be compared with what was done, without keeping either. Directories do not count:
 * a transfer also touches those that only had to be passed through.
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
