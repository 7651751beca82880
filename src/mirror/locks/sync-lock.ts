import {
  chownSync,
  closeSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { MirrorlatchError } from '../../errors.ts';
import {
  ifThere,
  lstatIfThere,
  otherThing,
  syncDirectory,
  writeWhole,
} from '../../system/files.ts';
import type { LockDirectory } from '../../system/lock-directory.ts';
import { quoteForSh } from '../../system/quote.ts';
import type { Layout } from '../layout.ts';
import { withReserve } from '../reserve.ts';
import type { LockProgress } from '../settings/records.ts';

/**
 * The writer's lock of a mirror (I4), held on two levels.
 *
 * `sync.flock` is a kernel lock whose descriptor every child inherits. Within one host it is always
 * accurate, and an rsync that outlived its killed parent still holds it. `sync.lock` is
 * proper-lockfile's directory with a heartbeat, for filesystems that several hosts share but across
 * which flock does not work.
 */
export class SyncLock {
  /** Aborts with LOCK_LOST when another host has taken the lock over. */
  readonly lost: AbortSignal;
  /** Every child that writes to the mirror must inherit this. */
  readonly descriptor: number;
  readonly #layout: Layout;
  readonly #directory: LockDirectory;
  #reportedAt = Number.NEGATIVE_INFINITY;
  #reportedPhase = '';

  constructor(
    layout: Layout,
    parts: {
      descriptor: number;
      directory: LockDirectory;
      lost: AbortSignal;
    },
  ) {
    this.#layout = layout;
    this.#directory = parts.directory;
    this.descriptor = parts.descriptor;
    this.lost = parts.lost;
  }

  /** @throws MirrorlatchError LOCK_LOST when the lock is no longer ours. */
  assertHeld(): void {
    const loss = this.#loss();
    if (loss !== undefined) throw loss;
  }

  /** Whether the lock is still ours. */
  get isHeld(): boolean {
    return this.#loss() === undefined;
  }

  /**
   * The cause of a failure. A host that takes the lock over moves staging trees away, so a missing
   * file may only be a symptom of the lost lock.
   */
  causeOf(error: unknown): unknown {
    return this.#loss() ?? error;
  }

  /**
   * Makes `path` a symlink to `target` in one rename(2), replacing what is there.
   *
   * The new link is made inside our own part of the lock directory. A host that takes the lock over
   * renames that part away, so a holder that was suspended for too long has nothing left to rename:
   * the kernel itself refuses the flip, however late it comes.
   *
   * @throws MirrorlatchError LOCK_LOST when the lock is no longer ours; CONFIGURATION when a directory
   *   is in the way.
   */
  replaceLink(path: string, target: string): void {
    this.lost.throwIfAborted();
    if (lstatIfThere(path)?.isDirectory()) throw otherThing(path, 'a symlink');
    const fresh = join(this.#directory.inside, 'link');
    try {
      withReserve(this.#layout, () => {
        rmSync(fresh, { force: true });
        symlinkSync(target, fresh);
        renameSync(fresh, path);
      });
    } catch (error) {
      throw this.causeOf(error);
    }
  }

  /**
   * Gives a file other content in one rename(2), and keeps its owner and mode. A process that takes the lock
   * over keeps this from replacing what it has written itself, as for `replaceLink`.
   *
   * @throws MirrorlatchError LOCK_LOST when the lock is no longer ours.
   */
  replaceFile(path: string, content: Uint8Array): void {
    this.lost.throwIfAborted();
    const fresh = join(this.#directory.inside, basename(path));
    try {
      const { uid, gid, mode } = statSync(path);
      writeWhole(fresh, content, mode & 0o777);
      if (uid !== process.geteuid?.()) chownSync(fresh, uid, gid);
      renameSync(fresh, path);
      syncDirectory(dirname(path));
    } catch (error) {
      for (const remains of [fresh, `${fresh}.new`]) rmSync(remains, { force: true });
      throw this.causeOf(error);
    }
  }

  /**
   * Makes `path` a file that everybody may read, whatever the umask, in one rename(2). It is fenced like
   * `replaceLink`, and durable once the directory is.
   *
   * @throws MirrorlatchError LOCK_LOST when the lock is no longer ours.
   */
  placeFile(path: string, text: string): void {
    this.lost.throwIfAborted();
    const fresh = join(this.#directory.inside, basename(path));
    try {
      withReserve(this.#layout, () => writeWhole(fresh, text));
      renameSync(fresh, path);
    } catch (error) {
      for (const remains of [fresh, `${fresh}.new`]) rmSync(remains, { force: true });
      throw this.causeOf(error);
    }
  }

  /**
   * Removes a file, fenced like `replaceLink`.
   *
   * @throws MirrorlatchError LOCK_LOST when the lock is no longer ours.
   */
  removeFile(path: string): void {
    this.lost.throwIfAborted();
    const gone = join(this.#directory.inside, basename(path));
    try {
      renameSync(path, gone);
      rmSync(gone);
    } catch (error) {
      throw this.causeOf(error);
    }
  }

  /** Records progress for `status` and waiting writers, at most once a second within a phase. */
  report(progress: LockProgress): void {
    const isSamePhase = progress.phase === this.#reportedPhase;
    if (isSamePhase && performance.now() - this.#reportedAt < 1000) return;
    this.#reportedAt = performance.now();
    this.#reportedPhase = progress.phase;
    try {
      const file = join(this.#directory.inside, 'progress.json');
      rmSync(file, { force: true });
      writeFileSync(file, JSON.stringify(progress), { flag: 'wx' });
    } catch {
      // A full disk must not end a sync because of its progress report.
    }
  }

  async release(): Promise<void> {
    try {
      await this.#directory.release();
    } finally {
      closeSync(this.descriptor);
    }
  }

  /** Why nobody may rely on the lock any longer; undefined while it is ours. */
  #loss(): unknown {
    if (this.lost.aborted) return this.lost.reason;
    try {
      const ours = ifThere(() => statSync(this.#directory.inside));
      return ours === undefined ? lockLost(this.#layout) : undefined;
    } catch (failure) {
      return failure;
    }
  }
}

/** What those hear who relied on a lock that is no longer theirs. */
export function lockLost(layout: Layout): MirrorlatchError {
  if (lstatIfThere(layout.state) === undefined) {
    return new MirrorlatchError(
      'LOCK_LOST',
      `${layout.root} was removed or moved while it was locked: ${layout.state} is gone`,
      { hint: 'If it was moved, go on with the same command, and its new path.' },
    );
  }
  return new MirrorlatchError(
    'LOCK_LOST',
    `the lock of ${layout.root} was lost to another host while this one was suspended`,
    {
      hint: `See who holds it, and what is current, with: mirrorlatch status ${quoteForSh(layout.root)}`,
    },
  );
}
