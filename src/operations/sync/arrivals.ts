import { Fingerprint } from '../../mirror/plan/fingerprint.ts';
import type { Entry } from '../../rsync/itemize.ts';

/**
 * What comes of the entries that are not directories: compares what a transfer brings with what was planned,
 * without a list of either.
 */
export class Arrivals {
  readonly #sum = new Fingerprint();

  /** What is taken out does not come, and of a plan it makes no difference how an entry differs. */
  add(entry: Entry): void {
    if (entry.change === 'deleted' || entry.type === 'directory') return;
    this.#sum.add({ ...entry, change: 'new' });
  }

  equals(other: Arrivals): boolean {
    return this.#sum.equals(other.#sum);
  }
}
