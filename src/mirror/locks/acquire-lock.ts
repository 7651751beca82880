import { randomUUID } from 'node:crypto';
import { closeSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { asMirrorlatchError, MirrorlatchError } from '../../errors.ts';
import { ifThere, writeWhole } from '../../system/files.ts';
import { tryFlock } from '../../system/flock.ts';
import { HEARTBEAT_MS, setLockAside, takeLockDirectory } from '../../system/lock-directory.ts';
import { pause } from '../../system/pause.ts';
import { quoteForSh } from '../../system/quote.ts';
import type { Layout } from '../layout.ts';
import { spendReserve, withReserve } from '../reserve.ts';
import type { LockPolicy } from '../settings/policy.ts';
import { markForeign } from '../staging.ts';
import {
  describeLock,
  isSyncChild,
  type LockState,
  type NamedProcess,
  ourselves,
  refuseInsideLock,
  stateOfRecord,
  stateWhileKernelLockIsHeld,
} from './lock-state.ts';
import { openOwnersLock } from './owners-lock.ts';
import { lockLost, SyncLock } from './sync-lock.ts';

export interface SyncLockOptions extends LockPolicy {
  /** The command that takes the lock, as shown to others: `sync`, `prune`, … */
  command: string;
  signal?: AbortSignal | undefined;
  /** Called once, if the lock is held and the wait for it begins. */
  onWait?: ((busy: MirrorlatchError) => void) | undefined;
}

const POLL_MS = 250;
/** How often an attempt tries to take a lock that looks free, longer and longer apart. */
const TURNS = 20;
/** The time between SIGTERM and SIGKILL for an orphan. */
const ORPHAN_PATIENCE_MS = 10_000;

/**
 * Takes the writer's lock of a mirror, and takes it over from a holder that is dead or stale.
 *
 * @throws MirrorlatchError BUSY, naming the holder, when the lock is still held after `waitMs`, and at once
 *   inside the `lock` that holds it.
 */
export async function acquireSyncLock(layout: Layout, options: SyncLockOptions): Promise<SyncLock> {
  const { waitMs, signal, onWait } = options;
  const acquisition = new Acquisition(layout, options);
  let deadline: number | undefined;
  for (let isFirst = true; ; isFirst = false) {
    const outcome = await acquisition
      .attempt()
      .catch((error: unknown) => {
        if (spendReserve(layout, error)) return acquisition.attempt();
        throw error;
      })
      .catch((error: unknown) => {
        throw asMirrorlatchError(error, `the lock of ${layout.root} cannot be taken`);
      });
    if (outcome instanceof SyncLock) return outcome;
    refuseInsideLock(layout, 'is locked', outcome);
    const busy = busyError(layout, outcome, options.command);
    // The first look is no part of the wait: it may take a while on a busy machine, and the holder is named after it.
    deadline ??= performance.now() + waitMs;
    const left = deadline - performance.now();
    if (left <= 0) throw busy;
    if (isFirst) onWait?.(busy);
    if (outcome.kind === 'orphans') acquisition.endOrphans(outcome.processes);
    await pause(Math.min(POLL_MS, left), signal);
  }
}

/** One acquisition of the lock, which may take many attempts. */
class Acquisition {
  readonly #layout: Layout;
  readonly #options: SyncLockOptions;
  /** The last heartbeat of another host, and when we first saw it; monotonic ms. */
  #silence: { token: string; mtimeMs: number; since: number } | undefined;
  /** When the orphans got SIGTERM; monotonic ms. */
  #orphansTerminatedAt: number | undefined;

  constructor(layout: Layout, options: SyncLockOptions) {
    this.#layout = layout;
    this.#options = options;
  }

  /** The lock, or the state that keeps it from us. */
  async attempt(): Promise<SyncLock | LockState> {
    const descriptor = openKernelLock(this.#layout);
    let lock: SyncLock | undefined;
    try {
      let kernelLock = tryFlock(descriptor, 'exclusive');
      if (kernelLock === 'held') {
        const state = stateWhileKernelLockIsHeld(this.#layout);
        if (!('processes' in state) || state.processes.length > 0) return state;
        // No holder is visible: it belongs to another user, or has just released the lock.
        kernelLock = tryFlock(descriptor, 'exclusive');
        if (kernelLock === 'held') return state;
      }
      // Each turn takes the lock, sets a dead or stale lock aside, or finds a living holder. Others may get
      // there first, but not for ever.
      for (let turn = 1; ; turn += 1) {
        lock = await this.#take(descriptor);
        if (lock !== undefined) return lock;
        const state = stateOfRecord(this.#layout, kernelLock === 'unsupported');
        if (state.kind === 'dead') {
          // Somebody may have deleted the kernel lock's file under its holder, who has the lock still.
          const holder = stateWhileKernelLockIsHeld(this.#layout);
          if ('processes' in holder && holder.processes.length > 0) return holder;
          setLockAside(this.#layout.lockDirectory, state.token);
        } else if (state.kind === 'foreign') {
          if (!(await this.#hasFallenSilent(state.token))) return state;
          // First of all: any holder of the lock must know which trees another host may write to.
          markForeign(this.#layout);
          setLockAside(this.#layout.lockDirectory, state.token);
        } else if (state.kind === 'held') {
          return state;
        }
        if (turn === TURNS) return state;
        await pause(turn, this.#options.signal);
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
      (action) => withReserve(this.#layout, action),
    );
    if (directory === undefined) return undefined;
    return new SyncLock(this.#layout, { descriptor, directory, lost: lost.signal });
  }

  /**
   * Whether the heartbeat of another host's holder has stopped. Its times come from that host's
   * clock, so if the clocks differ, an age proves nothing. We also watch it for longer than a beat.
   */
  async #hasFallenSilent(token: string): Promise<boolean> {
    const { staleAfterMs, signal } = this.#options;
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
   * Ends the orphans of a killed sync. The tree that they write to will not be published as it is,
   * and what they have transferred stays in staging.
   */
  endOrphans(processes: readonly NamedProcess[]): void {
    const isFirst = this.#orphansTerminatedAt === undefined;
    this.#orphansTerminatedAt ??= performance.now();
    const isImpatient = performance.now() - this.#orphansTerminatedAt > ORPHAN_PATIENCE_MS;
    if (!isFirst && !isImpatient) return;
    for (const { pid } of processes.filter(isSyncChild)) {
      try {
        process.kill(pid, isImpatient ? 'SIGKILL' : 'SIGTERM');
        process.kill(pid, 'SIGCONT');
      } catch {
        // It has ended meanwhile, or belongs to another user; then we can only wait for it.
      }
    }
  }
}

function openKernelLock(layout: Layout): number {
  try {
    return openOwnersLock(layout.kernelLock, layout);
  } catch (error) {
    throw asMirrorlatchError(error, `cannot open the lock of ${layout.root}`);
  }
}

/** The verbs that do their work once they have ended the orphans. */
const WAITING: readonly string[] = ['sync', 'lock', 'prune', 'promote', 'rollback'];

function busyError(layout: Layout, state: LockState, command: string): MirrorlatchError {
  const orphansEnd = WAITING.includes(command)
    ? 'To end these processes, repeat this command with --wait 1m'
    : `End these processes with: mirrorlatch unlock ${quoteForSh(layout.root)} --wait 1m`;
  return new MirrorlatchError('BUSY', `${layout.root} is locked: ${describeLock(state)}`, {
    hint: state.kind === 'orphans' ? orphansEnd : (endOfLeft(state) ?? waysToWait(layout)),
    details: { lock: state },
  });
}

/** What a command of `lock` has left may be meant to go on, so no `--wait` ends it. */
function endOfLeft(state: LockState): string | undefined {
  if (state.kind !== 'held' || state.killed === undefined || state.processes.length === 0)
    return undefined;
  const pids = state.processes.map(({ pid }) => pid).join(' ');
  return `Wait for it with --wait 10m, or if it is not to go on, end it with: kill ${pids}`;
}

function waysToWait({ root }: Layout): string {
  return `See what it does with: mirrorlatch status ${quoteForSh(root)}. With --wait 10m, sync, lock, prune, promote, rollback and unlock wait for it.`;
}
