import { type BigIntStats, chmodSync, readdirSync, truncateSync, unlinkSync } from 'node:fs';
import { errnoOf } from '../errors.ts';
import { Turns } from '../system/event-loop.ts';
import { ifThere, lstatIfThere, readTextIfThere, writeWhole } from '../system/files.ts';
import { thisHost } from '../system/host.ts';
import { pause } from '../system/pause.ts';
import { bytePath } from './byte-path.ts';
import { isSubvolume } from './clone.ts';
import type { Layout } from './layout.ts';
import { findLeftovers, keepToCopyFrom } from './staging.ts';

/** Longer than the kernel's timestamps stand still, which is one clock tick, at most 10 ms. */
const TICK_MS = 20;

/**
 * Makes rsync compare the content of everything in staging, if that was written before a restart,
 * by another host, or before the disk was last mounted. After a power cut a file can have the right
 * size and times but zeros for content, because filesystems with delayed allocation commit metadata
 * before data. rsync's quick check cannot tell the difference (I8).
 *
 * Each file that is not shared with the published snapshot, whose files are durable, gets a size
 * that its source cannot have. So rsync compares its content, and transfers only what differs (I7).
 *
 * `.boot` in staging records the kernel and the disk for which this has been done. It need not be
 * durable: if it is torn or missing, the work is repeated, which does no harm.
 *
 * @param base the path of the snapshot that `current` names.
 * @returns whether there was any tree to distrust.
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
  // The newest last: the next sync continues with the tree that was changed last.
  for (const tree of trees.toReversed()) {
    const { shared, copies } = await new Distrust(tree, base, signal).spread();
    const found = lstatIfThere(tree);
    // A copy or reflink of `current` has lost all files that `current` has: a new clone is cheaper.
    if (copies > 0 && shared === 0) keepToCopyFrom(tree);
    else if (found) {
      await pause(TICK_MS, signal);
      // This sets the ctime, by which `findLeftovers` sorts.
      chmodSync(tree, modeOf(found));
    }
  }
  writeWhole(layout.bootMark, mark, 0o600);
  return trees.length + foreign.length > 0;
}

/** Names the running kernel and the mounted disk; what was written under the same is trusted. */
export function trustMark(layout: Layout): string {
  return `${thisHost().bootId} ${lstatIfThere(layout.staging)?.dev}`;
}

/** A walk over one tree. It follows no symlink. */
class Distrust {
  /** Files that are the same inode in `base`. */
  shared = 0;
  /** Files of the same size and time as in `base`, but with an inode of their own. */
  copies = 0;
  readonly #tree: string;
  readonly #base: string | undefined;
  readonly #areSubvolumes: boolean;
  readonly #turns: Turns;

  constructor(tree: string, base: string | undefined, signal: AbortSignal) {
    this.#tree = tree;
    this.#base = base;
    this.#areSubvolumes = base !== undefined && isSubvolume(tree) && isSubvolume(base);
    this.#turns = new Turns(signal);
  }

  async spread(): Promise<this> {
    const found = lstatIfThere(this.#tree);
    if (found?.isDirectory()) await this.#visit('', found, this.#base !== undefined);
    return this;
  }

  /** @param isInBase whether the path leads through real directories in `base` too. */
  async #visit(directory: string, status: BigIntStats, isInBase: boolean): Promise<void> {
    const path = bytePath(this.#tree, directory);
    // Only root can do without write permission. The mode is restored below, because rsync does not
    // set it if it was told to keep no modes.
    const mode = modeOf(status);
    const isOpen = (mode & 0o700) === 0o700;
    if (!isOpen) chmodSync(path, mode | 0o700);
    try {
      for (const entry of readdirSync(path, { encoding: 'latin1' })) {
        await this.#turns.step();
        const name = directory === '' ? entry : `${directory}/${entry}`;
        const found = lstatIfThere(bytePath(this.#tree, name));
        const original =
          isInBase && this.#base !== undefined
            ? lstatIfThere(bytePath(this.#base, name))
            : undefined;
        if (found?.isDirectory()) {
          await this.#visit(name, found, original?.isDirectory() === true);
        } else if (found?.isFile()) {
          // An rsync on another host may still remove its own files.
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
      // rsync links or copies it from `base` again.
      this.copies += 1;
      unlinkSync(path);
    } else if (found.nlink > 1n) {
      // Another snapshot may share it (I2). If all its names are in staging, the last one stays.
      unlinkSync(path);
    } else if (found.size > 0n) {
      lengthen(path, found);
    }
  }

  /** In a btrfs snapshot, untouched files keep their inode number and ctime, but not the device. */
  #isSame(found: BigIntStats, original: BigIntStats): boolean {
    if (found.ino !== original.ino) return false;
    return (
      found.dev === original.dev || (this.#areSubvolumes && found.ctimeNs === original.ctimeNs)
    );
  }
}

/**
 * Adds a byte. Changing only the mtime would not do: the source may have any time, and rsync may
 * have been told to ignore times.
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
