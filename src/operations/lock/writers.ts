import { setTimeout as sleep } from 'node:timers/promises';
import { MirrorlatchError } from '../../errors.ts';
import type { NamedProcess } from '../../mirror/lock-state.ts';
import {
  pathsInUse,
  processesHoldingFlock,
  processesWithVariables,
  processName,
  sessionOf,
} from '../../system/proc.ts';

/** The variable by which a command finds its tree, and we find what it has left running. */
export const STAGING = 'MIRRORLATCH_STAGING';
/** Tells what stays in the session of the command from what has left it (setsid(2)). */
export const SESSION = 'MIRRORLATCH_SESSION';

/** How long what a command started may take to end after it. */
const LINGER_MS = 5_000;
const POLL_MS = 100;

/** @throws MirrorlatchError BUSY when what an earlier command left running could write to `tree`. */
export function refuseWhileWritten(tree: string, shownAs: string, hint: string): void {
  const writers = writersOf(tree);
  if (writers.length === 0) return;
  throw new MirrorlatchError(
    'BUSY',
    `what an earlier command left running could still write to ${shownAs}: ${describe(writers)}`,
    { hint },
  );
}

/**
 * Waits a little until nothing of what a command has started could write to its tree.
 *
 * @param command its name, for people.
 * @param kernelLock what it was given to hold.
 * @throws MirrorlatchError UNAVAILABLE when something goes on without it.
 */
export async function waitForWriters(
  tree: string,
  command: string,
  kernelLock: string,
  signal: AbortSignal,
): Promise<void> {
  const deadline = performance.now() + LINGER_MS;
  let left = writersOf(tree, kernelLock);
  while (left.length > 0 && performance.now() < deadline) {
    await sleep(POLL_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
    left = writersOf(tree, kernelLock);
  }
  signal.throwIfAborted();
  if (left.length === 0) return;
  throw new MirrorlatchError(
    'UNAVAILABLE',
    `${command} left something running that could still write: ${describe(left)}; nothing was published`,
    {
      hint: 'Let the command wait for what it starts. Once that has ended, publish what is there with: mirrorlatch lock ROOT -- true',
      details: { processes: left },
    },
  );
}

/**
 * What was started by a command that was given that tree, and could still write to it: it holds the
 * lock, or has the tree in its environment. What has let go of the lock, gone into a session of its
 * own and has nothing of the tree open is a daemon that serves others too, such as gpg-agent.
 */
function writersOf(tree: string, kernelLock?: string): NamedProcess[] {
  const started = processesWithVariables({ [STAGING]: tree });
  const inside = new Set(started.length === 0 ? [] : pathsInUse(tree).map(({ pid }) => pid));
  const writers = started.filter((pid) => {
    const session = sessionOf(pid);
    if (session === undefined) return false;
    return inside.has(pid) || processesWithVariables({ [SESSION]: session }).includes(pid);
  });
  const holders = kernelLock === undefined ? [] : processesHoldingFlock(kernelLock);
  return [...new Set([...writers, ...holders])].map((pid) => ({
    pid,
    name: processName(pid) ?? '?',
  }));
}

function describe(processes: readonly NamedProcess[]): string {
  return processes.map(({ pid, name }) => `${name} (pid ${pid})`).join(', ');
}
