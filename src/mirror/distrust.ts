import {
  type BigIntStats,
  chmodSync,
  readdirSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { errnoOf } from '../errors.ts';
import { ifThere, lstatIfThere, readTextIfThere } from '../system/files.ts';
import { thisHost } from '../system/host.ts';
import { bytePath } from './byte-path.ts';
import { isSubvolume } from './clone.ts';
import type { Layout } from './layout.ts';
import { findLeftovers, keepToCopyFrom } from './staging.ts';

/** So many entries between two turns of the event loop: the lock's heartbeat must go on. */
const BATCH = 500;

/** Longer than the kernel's clock stands still for timestamps: a tick, of 10 ms at most. */
const TICK_MS = 20;

/**
 * Takes from what lies in staging its claim to be up to date, where that was written before the
 * machine was restarted, by another host, or on a disk that was mounted anew since. After a power
 * cut a file can have its size and its times, and zeros for content: filesystems with delayed
 * allocation commit the one before they write the other. rsync's quick check cannot tell (I8).
 *
 * Every file that is not a published snapshot's own, which is durable, gets a size that its source
 * cannot have. So rsync looks into it, and still fetches nothing that it does hold (I7).
 *
 * `.boot` in staging tells for which kernel and disk all of this has been done. It need not be
 * durable: who finds it torn, or not at all, does it again, and that does no harm.
 *
 * @param base what `current` names.
 * @returns whether anything was distrusted.
 */
export async function distrustAfterRestart(
  layout: Layout,
  base: string | undefined,
  signal: AbortSignal,
): Promise<boolean> {
  const mark = `${trustMark(layout)}\n`;
  if (readTextIfThere(layout.bootMark) === mark) return false;
  const { trees, foreign } = findLeftovers(layout);
  for (const tree of foreign) await new Distrust(tree, base, signal).spread();
  // The newest last: the next sync goes on from the one that was changed last.
  for (const tree of trees.toReversed()) {
    const { shared, copies } = await new Distrust(tree, base, signal).spread();
    const found = lstatIfThere(tree);
    // A copy or a reflink of `current` has lost what that has: a new one is cheaper than rsync.
    if (copies > 0 && shared === 0) keepToCopyFrom(tree);
    else if (found) {
      await sleep(TICK_MS);
      // Sets its ctime.
      chmodSync(tree, modeOf(found));
    }
  }
  writeFileSync(layout.bootMark, mark, { mode: 0o600 });
  return trees.length + foreign.length > 0;
}

/** Tells the running kernel and the mounted disk: what was written since they came is trusted. */
export function trustMark(layout: Layout): string {
  return `${thisHost().bootId} ${lstatIfThere(layout.staging)?.dev}`;
}

/** A walk over one tree, which follows no link. */
class Distrust {
  /** Files that are the very ones of `base`. */
  shared = 0;
  /** Files that `base` has in the same way, but not the same. */
  copies = 0;
  readonly #tree: string;
  readonly #base: string | undefined;
  readonly #areSubvolumes: boolean;
  readonly #signal: AbortSignal;
  #count = 0;

  constructor(tree: string, base: string | undefined, signal: AbortSignal) {
    this.#tree = tree;
    this.#base = base;
    this.#areSubvolumes = base !== undefined && isSubvolume(tree) && isSubvolume(base);
    this.#signal = signal;
  }

  async spread(): Promise<this> {
    const found = lstatIfThere(this.#tree);
    if (found?.isDirectory()) await this.#visit('', found, this.#base !== undefined);
    return this;
  }

  /** @param isInBase whether the path leads through real directories of `base`, too. */
  async #visit(directory: string, status: BigIntStats, isInBase: boolean): Promise<void> {
    const path = bytePath(this.#tree, directory);
    // Only root can do without; rsync would not set it again where it keeps no modes.
    const mode = modeOf(status);
    const isOpen = (mode & 0o700) === 0o700;
    if (!isOpen) chmodSync(path, mode | 0o700);
    try {
      for (const entry of readdirSync(path, { encoding: 'latin1' })) {
        this.#count += 1;
        if (this.#count % BATCH === 0) {
          await nextTurn();
          this.#signal.throwIfAborted();
        }
        const name = directory === '' ? entry : `${directory}/${entry}`;
        const found = lstatIfThere(bytePath(this.#tree, name));
        const original =
          isInBase && this.#base !== undefined
            ? lstatIfThere(bytePath(this.#base, name))
            : undefined;
        if (found?.isDirectory()) {
          await this.#visit(name, found, original?.isDirectory() === true);
        } else if (found?.isFile()) {
          // On another host an rsync may still take files of its own away.
          ifThere(() => this.#judge(bytePath(this.#tree, name), found, original));
        }
      }
    } finally {
      if (!isOpen) chmodSync(path, mode);
    }
  }

  #judge(path: Buffer, found: BigIntStats, original: BigIntStats | undefined): void {
    if (original !== undefined && this.#isSame(found, original)) {
      this.shared += 1;
    } else if (
      original?.isFile() &&
      found.size === original.size &&
      found.mtimeNs === original.mtimeNs
    ) {
      // rsync takes it from there.
      this.copies += 1;
      unlinkSync(path);
    } else if (found.nlink > 1n) {
      // Another snapshot may share it (I2). Of names in staging alone the last one stays.
      unlinkSync(path);
    } else if (found.size > 0n) {
      lengthen(path, found);
    }
  }

  /** A snapshot of a subvolume keeps both number and ctime of what nobody has touched since. */
  #isSame(found: BigIntStats, original: BigIntStats): boolean {
    if (found.ino !== original.ino) return false;
    return (
      found.dev === original.dev || (this.#areSubvolumes && found.ctimeNs === original.ctimeNs)
    );
  }
}

/**
 * Adds a byte, which also sets the mtime. No time would do as well: any can be a source's, and
 * rsync may have been told not to look at times.
 */
function lengthen(path: Buffer, found: BigIntStats): void {
  const length = Number(found.size) + 1;
  try {
    truncateSync(path, length);
  } catch (error) {
    if (errnoOf(error) !== 'EACCES') throw error;
    chmodSync(path, modeOf(found) | 0o600);
    truncateSync(path, length);
    chmodSync(path, modeOf(found));
  }
}

function modeOf({ mode }: BigIntStats): number {
  return Number(mode & 0o7777n);
}
