import { randomUUID } from 'node:crypto';
import {
  closeSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { asMirrorlatchError, MirrorlatchError } from '../errors.ts';
import { ifThere, writeWhole } from '../system/files.ts';
import { tryFlock } from '../system/flock.ts';
import {
  HEARTBEAT_MS,
  type LockDirectory,
  setLockAside,
  takeLockDirectory,
} from '../system/lock-directory.ts';
import type { Layout } from './layout.ts';
import {
  describeLock,
  isSyncChild,
  type LockState,
  type NamedProcess,
  ourselves,
  stateOfRecord,
  stateWhileKernelLockIsHeld,
} from './lock-state.ts';
import type { LockProgress } from './records.ts';
import { markForeign } from './staging.ts';

export interface SyncLockOptions {
  /** What the holder does, for whoever asks: `sync`, `prune`, … */
  command: string;
  /** How long to wait for another holder; ms. */
  waitMs?: number | undefined;
  /** After how long without a heartbeat another host's lock is taken over; ms. */
  staleAfterMs?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Told once when the lock has to be waited for. */
  onWait?: ((busy: MirrorlatchError) => void) | undefined;
}

const DEFAULT_STALE_AFTER_MS = 10 * 60 * 1000;
const POLL_MS = 250;
/** How long an orphan has between SIGTERM and SIGKILL. */
const ORPHAN_PATIENCE_MS = 10_000;

/**
 * Takes the writer's lock of a mirror.
 *
 * @throws MirrorlatchError BUSY, naming the holder, when it is still held after `waitMs`.
 */
export async function acquireSyncLock(layout: Layout, options: SyncLockOptions): Promise<SyncLock> {
  const { waitMs = 0, signal, onWait } = options;
  const deadline = performance.now() + waitMs;
  const acquisition = new Acquisition(layout, options);
  for (let told = false; ; told = true) {
    const outcome = await acquisition.attempt().catch((error: unknown) => {
      throw asMirrorlatchError(error, `the lock of ${layout.root} cannot be taken`);
    });
    if (outcome instanceof SyncLock) return outcome;
    const busy = busyError(layout, outcome);
    const left = deadline - performance.now();
    if (left <= 0) throw busy;
    if (!told) onWait?.(busy);
    if (outcome.kind === 'orphans') acquisition.endOrphans(outcome.processes);
    await pause(Math.min(POLL_MS, left), signal);
  }
}

/**
 * The writer's lock of a mirror (I4), held on two levels.
 *
 * `sync.flock` is a kernel lock whose descriptor every child inherits: on one host it tells the
 * truth at any moment, and an rsync that outlived its killed parent still holds it.
 * `sync.lock` is proper-lockfile's directory with a heartbeat, for filesystems that several hosts
 * write to and flock does not cross.
 */
export class SyncLock {
  /** Aborts with a LOCK_LOST error when another host has taken the lock. */
  readonly lost: AbortSignal;
  /** To be inherited by every child that writes to the mirror. */
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
    this.lost.throwIfAborted();
    if (ifThere(() => statSync(this.#directory.inside)) === undefined) throw lockLost(this.#layout);
  }

  /**
   * The cause of a failure: who has taken the lock has also moved away what was worked on, and a
   * file that is gone is only how that was noticed.
   */
  causeOf(error: unknown): unknown {
    try {
      this.assertHeld();
      return error;
    } catch (lost) {
      return lost;
    }
  }

  /**
   * Makes `path` a symlink to `target` in one rename(2), replacing what is there.
   *
   * The new link is made inside our own part of the lock directory. Who takes the lock over renames
   * that part away, so a holder that was stopped for too long has nothing left to rename: the
   * kernel itself refuses the flip, however late it comes.
   *
   * @throws MirrorlatchError LOCK_LOST when the lock is no longer ours.
   */
  replaceLink(path: string, target: string): void {
    this.lost.throwIfAborted();
    const fresh = join(this.#directory.inside, 'link');
    const flipped = ifThere(() => {
      rmSync(fresh, { force: true });
      symlinkSync(target, fresh);
      renameSync(fresh, path);
      return true;
    });
    if (flipped === undefined) throw lockLost(this.#layout);
  }

  /** Tells whoever asks what is being done; at most once a second of a phase, and never fatal. */
  report(progress: LockProgress): void {
    const isSamePhase = progress.phase === this.#reportedPhase;
    if (isSamePhase && performance.now() - this.#reportedAt < 1000) return;
    this.#reportedAt = performance.now();
    this.#reportedPhase = progress.phase;
    try {
      writeFileSync(join(this.#directory.inside, 'progress.json'), JSON.stringify(progress));
    } catch {
      // A full disk must not end a sync for the sake of its progress report.
    }
  }

  async release(): Promise<void> {
    try {
      await this.#directory.release();
    } finally {
      closeSync(this.descriptor);
    }
  }
}

/** One wish for the lock, which may take many attempts. */
class Acquisition {
  readonly #layout: Layout;
  readonly #options: SyncLockOptions;
  /** Since when (monotonic ms) another host's heartbeat has stood at this value. */
  #silence: { token: string; mtimeMs: number; since: number } | undefined;
  #orphansToldAt: number | undefined;

  constructor(layout: Layout, options: SyncLockOptions) {
    this.#layout = layout;
    this.#options = options;
  }

  /** The lock, or who keeps it from us. */
  async attempt(): Promise<SyncLock | LockState> {
    const descriptor = openKernelLock(this.#layout);
    let lock: SyncLock | undefined;
    try {
      let kernelLock = tryFlock(descriptor, 'exclusive');
      if (kernelLock === 'held') {
        const state = stateWhileKernelLockIsHeld(this.#layout);
        if (!('processes' in state) || state.processes.length > 0) return state;
        // Nobody is to be seen: it is another user's, or was given back while we looked.
        kernelLock = tryFlock(descriptor, 'exclusive');
        if (kernelLock === 'held') return state;
      }
      // Each turn takes the lock, sets a holder aside that is gone, or finds a living one.
      for (;;) {
        lock = await this.#take(descriptor);
        if (lock !== undefined) return lock;
        const state = stateOfRecord(this.#layout, kernelLock === 'unsupported');
        if (state.kind === 'dead') {
          setLockAside(this.#layout.lockDirectory, state.token);
        } else if (state.kind === 'foreign') {
          if (!(await this.#hasFallenSilent(state.token))) return state;
          // Before it is ours: whoever has the lock must know which trees another may write to.
          markForeign(this.#layout);
          setLockAside(this.#layout.lockDirectory, state.token);
        } else if (state.kind === 'held') {
          return state;
        }
      }
    } finally {
      if (lock === undefined) closeSync(descriptor);
    }
  }

  async #take(descriptor: number): Promise<SyncLock | undefined> {
    const lost = new AbortController();
    const directory = await takeLockDirectory(
      this.#layout.lockDirectory,
      randomUUID(),
      (inside) => {
        const owner = ourselves(this.#options.command);
        writeWhole(join(inside, 'owner.json'), `${JSON.stringify(owner)}\n`);
      },
      () => lost.abort(lockLost(this.#layout)),
    );
    if (directory === undefined) return undefined;
    return new SyncLock(this.#layout, { descriptor, directory, lost: lost.signal });
  }

  /**
   * Whether another host's holder gives no more sign of life. Its heartbeat carries its own clock,
   * so an age alone proves nothing when the clocks differ: we also watch it for longer than a beat.
   */
  async #hasFallenSilent(token: string): Promise<boolean> {
    const { staleAfterMs = DEFAULT_STALE_AFTER_MS, signal } = this.#options;
    const beat = () => ifThere(() => statSync(this.#layout.lockDirectory).mtimeMs);
    const mtimeMs = beat();
    if (mtimeMs === undefined) return false;
    if (this.#silence?.token !== token || this.#silence.mtimeMs !== mtimeMs) {
      this.#silence = { token, mtimeMs, since: performance.now() };
    }
    const watchedMs = performance.now() - this.#silence.since;
    if (watchedMs >= Math.max(staleAfterMs, 1.5 * HEARTBEAT_MS)) return true;
    if (Date.now() - mtimeMs <= staleAfterMs) return false;
    await pause(1.5 * HEARTBEAT_MS, signal);
    return beat() === mtimeMs;
  }

  /**
   * What a killed sync left running writes to a tree that nobody will publish as it is, and what it
   * has transferred stays in staging. So whoever is ready to wait may end it.
   */
  endOrphans(processes: readonly NamedProcess[]): void {
    const isFirst = this.#orphansToldAt === undefined;
    this.#orphansToldAt ??= performance.now();
    const isImpatient = performance.now() - this.#orphansToldAt > ORPHAN_PATIENCE_MS;
    if (!isFirst && !isImpatient) return;
    for (const { pid } of processes.filter(isSyncChild)) {
      try {
        process.kill(pid, isImpatient ? 'SIGKILL' : 'SIGTERM');
        process.kill(pid, 'SIGCONT');
      } catch {
        // It has ended meanwhile, or belongs to another user: then it is only waited for.
      }
    }
  }
}

function openKernelLock(layout: Layout): number {
  try {
    return openSync(layout.kernelLock, 'a', 0o644);
  } catch (error) {
    throw asMirrorlatchError(error, `cannot open the lock of ${layout.root}`);
  }
}

/** @throws the signal's reason, when it aborts meanwhile. */
async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await sleep(ms, undefined, { signal }).catch((error: unknown) => {
    signal?.throwIfAborted();
    throw error;
  });
}

function busyError(layout: Layout, state: LockState): MirrorlatchError {
  return new MirrorlatchError('BUSY', `${layout.root} is locked: ${describeLock(state)}`, {
    hint:
      state.kind === 'orphans'
        ? 'Wait for it, or let mirrorlatch end it: repeat the command with --wait 1m'
        : 'Wait for it with --wait 10m, or look with: mirrorlatch status ROOT',
    details: { lock: state },
  });
}

function lockLost(layout: Layout): MirrorlatchError {
  return new MirrorlatchError(
    'LOCK_LOST',
    `the lock of ${layout.root} was lost to another host while this one stood still`,
    { hint: 'See who holds it, and what is current, with: mirrorlatch status ROOT' },
  );
}
