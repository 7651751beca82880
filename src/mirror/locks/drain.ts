import { closeSync, openSync } from 'node:fs';
import { MirrorlatchError } from '../../errors.ts';
import { lstatIfThere } from '../../system/files.ts';
import { tryFlock } from '../../system/flock.ts';
import { pathsInUse } from '../../system/paths-in-use.ts';
import { pause } from '../../system/pause.ts';
import {
  countLocks,
  isOurAncestor,
  processesHoldingFlock,
  processesWithOpenFile,
  processName,
} from '../../system/proc.ts';
import { quoteForSh } from '../../system/quote.ts';
import { type Layout, LIVE } from '../layout.ts';
import { printable } from '../names.ts';
import type { DrainPolicy } from '../settings/policy.ts';
import { isPinnedAround, isPinnedTo } from './pins.ts';

export interface DrainOptions {
  drain: DrainPolicy;
  signal: AbortSignal;
  /** Called once, when readers are inside and the wait for them begins. */
  onWait?: ((message: string) => void) | undefined;
}

const POLL_MS = 250;

/**
 * The wait for those who are inside the tree of an in-place mirror, within one limit for both parts of
 * it: first for the guarded readers, which may still look paths up, then, once the mode of the gate is
 * closed, for all that use the tree as /proc shows it. The latter have no lease, or have closed its
 * descriptor.
 */
export class Drain {
  readonly #layout: Layout;
  readonly #options: DrainOptions;
  readonly #deadline: number;
  #hasSaidThatItWaits = false;

  constructor(layout: Layout, options: DrainOptions) {
    this.#layout = layout;
    this.#options = options;
    this.#deadline = performance.now() + options.drain.drainMs;
  }

  /**
   * @returns a descriptor whose lock keeps new readers out until it is closed, if the lock can be had.
   * @throws MirrorlatchError BUSY when readers are still inside at the end, and at once when the guard around
   *   this process is among them.
   */
  async guardedReaders(): Promise<number> {
    const path = this.#layout.lease(LIVE);
    const descriptor = openSync(path, 'r');
    try {
      await this.#until(() => {
        // Without flock there are no guarded readers: on such a filesystem they refuse to start.
        const lock = tryFlock(descriptor, 'exclusive');
        if (lock === 'unsupported') return undefined;
        // Readers hold it shared, and nobody does beside an exclusive lock. The state of the gate
        // keeps new ones out.
        const strangers = processesHoldingFlock(path, 'exclusive');
        const isExclusive =
          lock === 'locked' || (countLocks(path) > 0 && countLocks(path, 'shared') === 0);
        // While a stranger keeps it exclusively, an open lease is enough to enter: see holdOpenLease().
        const inside = processesWithOpenFile(path, descriptor).filter(
          (pid) => !strangers.includes(pid),
        );
        this.#refuseInsideGuard(inside);
        return isExclusive && inside.length === 0
          ? undefined
          : inside.flatMap((pid) => nameOf(pid));
      });
      return descriptor;
    } catch (error) {
      closeSync(descriptor);
      throw error;
    }
  }

  #refuseInsideGuard(inside: readonly number[]): void {
    const { root } = this.#layout;
    if (this.#options.drain.afterDrain === 'go-on' || !isPinnedAround(root, inside)) return;
    throw new MirrorlatchError(
      'BUSY',
      `${root} cannot be written: this runs inside a guard of that mirror, and would wait for itself`,
      { hint: 'Run it outside of mirrorlatch run and of shells that it opened.' },
    );
  }

  /** @throws MirrorlatchError BUSY when processes are still inside at the end. */
  bareReaders(): Promise<void> {
    return this.#until(() => {
      const inside = processesInside(this.#layout);
      const names = [...inside].flatMap(([pid, use]) => nameOf(pid, use));
      return names.length === 0 ? undefined : names;
    });
  }

  /** @param look the readers inside; undefined when there are none. */
  async #until(look: () => string[] | undefined): Promise<void> {
    const { drain, signal, onWait } = this.#options;
    for (let readers = look(); readers !== undefined; readers = look()) {
      const names = readers.length === 0 ? '' : `: ${readers.slice(0, 5).join(', ')}`;
      const inside = `readers are inside${names}`;
      if (performance.now() >= this.#deadline) {
        if (drain.afterDrain === 'go-on') return;
        const { root } = this.#layout;
        throw new MirrorlatchError('BUSY', `${root} cannot be written: ${inside}`, {
          hint: `Wait longer with --drain 1h, or write anyway with --after-drain go-on; the readers inside may then see a mix. See what they do with: mirrorlatch status ${quoteForSh(root)}`,
        });
      }
      if (!this.#hasSaidThatItWaits) onWait?.(`waiting: ${inside}`);
      this.#hasSaidThatItWaits = true;
      await pause(POLL_MS, signal);
    }
  }
}

/**
 * The processes that use the tree, as far as this user may see them, and how. A mount of the tree in
 * another place is no use of it, unless it is the guard's. Our own ancestors wait for us, not we for
 * them.
 */
function processesInside(layout: Layout): Map<number, string> {
  const tree = layout.snapshot(LIVE);
  if (lstatIfThere(tree) === undefined) return new Map();
  const inside = pathsInUse(tree).filter(
    ({ pid, use }) => !isOurAncestor(pid) && (use !== 'mount' || isPinnedTo(layout.root, pid)),
  );
  // Of several uses, the first is the most telling.
  return new Map(inside.reverse().map(({ pid, use }) => [pid, use]));
}

/** None if the process has ended meanwhile. */
function nameOf(pid: number, use?: string): string[] {
  const name = processName(pid);
  return name === undefined
    ? []
    : [`${printable(name)} (${pid}${use === undefined ? '' : `, ${use}`})`];
}
