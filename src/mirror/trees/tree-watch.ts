import { MirrorlatchError } from '../../errors.ts';
import { failureOf, find } from '../../system/find.ts';
import { pause } from '../../system/pause.ts';
import type { Layout } from '../layout.ts';
import { ctimeNow } from '../staging.ts';
import { Instant } from './instant.ts';

/** A filesystem whose clock does not move for so long has none; ms. FAT's moves every 2 s. */
const LONGEST_TICK_MS = 3_000;

/**
 * An instant after which a change of a tree can be found: an entry that is written, made or renamed, or whose mode
 * is set, gets the time of that as its ctime, and so does a directory that loses an entry (inode(7)).
 */
export class TreeWatch {
  readonly #since: bigint;
  /** Undefined where the clock does not move. */
  readonly #instant: Instant | undefined;

  private constructor(since: bigint, instant?: Instant) {
    this.#since = since;
    this.#instant = instant;
  }

  /**
   * Begins when the clock of the mirror's filesystem has moved on, so that what was changed before is not found.
   *
   * @param clock see `Instant`.
   */
  static async begin(
    layout: Pick<Layout, 'staging'>,
    signal: AbortSignal,
    clock?: () => number,
  ): Promise<TreeWatch> {
    const last = ctimeNow(layout);
    for (let waited = 0; waited < LONGEST_TICK_MS; waited += 1) {
      await pause(1, signal);
      if (ctimeNow(layout) > last) return new TreeWatch(last, new Instant(layout, last, clock));
    }
    return new TreeWatch(last - 1n);
  }

  /** Whether the clock was set back, so that all of a tree may have changed. */
  isClockSetBack(): boolean {
    return this.#instant?.isClockSetBack() ?? false;
  }

  /**
   * Finds what has changed since, or may have.
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
    const changed = this.isClockSetBack() ? [] : ['-newerct', since];
    const args = [tree, '-xdev', ...changed, '-printf', '%P\\0'];
    const ended = await find(args, options, (name) => onName(name || '.'));
    options.signal.throwIfAborted();
    const failure = failureOf(ended);
    if (failure !== undefined)
      throw new MirrorlatchError('IO', `${tree} cannot be read: ${failure}`);
  }
}
