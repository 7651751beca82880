import { MirrorlatchError } from '../../errors.ts';
import { failureOf, find } from '../../system/find.ts';
import { pause } from '../../system/pause.ts';
import type { Layout } from '../layout.ts';
import { ctimeNow } from '../staging.ts';

/** A filesystem whose clock does not move for so long has none; ms. FAT's moves every 2 s. */
const LONGEST_TICK_MS = 3_000;

/**
 * An instant after which a change of a tree can be found: an entry that is written, made or renamed, or whose mode
 * is set, gets the time of that as its ctime, and so does a directory that loses an entry (inode(7)).
 */
export class TreeWatch {
  readonly #since: bigint;

  private constructor(since: bigint) {
    this.#since = since;
  }

  /** Begins when the clock of the mirror's filesystem has moved on, so that what was changed before is not found. */
  static async begin(layout: Layout, signal: AbortSignal): Promise<TreeWatch> {
    const last = ctimeNow(layout);
    for (let waited = 0; waited < LONGEST_TICK_MS; waited += 1) {
      await pause(1, signal);
      if (ctimeNow(layout) > last) return new TreeWatch(last);
    }
    return new TreeWatch(last - 1n);
  }

  /**
   * Finds what has changed since.
   *
   * @param onName called with each name, one character per byte (latin1); `.` is the top directory.
   * @throws MirrorlatchError IO when the tree cannot be read.
   */
  async find(
    tree: string,
    options: { inherit: readonly number[]; signal: AbortSignal },
    onName: (name: string) => void,
  ): Promise<void> {
    const digits = String(this.#since).padStart(10, '0');
    const since = `@${digits.slice(0, -9)}.${digits.slice(-9)}`;
    const which = ['-xdev', '-newerct', since, '-printf', '%P\\0'];
    const ended = await find([tree, ...which], options, (name) => onName(name || '.'));
    options.signal.throwIfAborted();
    const failure = failureOf(ended);
    if (failure !== undefined)
      throw new MirrorlatchError('IO', `${tree} cannot be read: ${failure}`);
  }
}
