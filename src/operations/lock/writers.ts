import { MirrorlatchError } from '../../errors.ts';
import { describeProcesses, type NamedProcess } from '../../mirror/lock-state.ts';
import { pause } from '../../system/pause.ts';
import {
  pathsInUse,
  processesHoldingFlock,
  processesWithVariables,
  processName,
  sessionOf,
} from '../../system/proc.ts';

/** By this variable a command finds its tree, and mirrorlatch what the command left running. */
export const STAGING = 'MIRRORLATCH_STAGING';
/** By this one, what stayed in the command's session is told from what left it (setsid(2)). */
export const SESSION = 'MIRRORLATCH_SESSION';

/** How long a command's children may outlive it; ms. */
const LINGER_MS = 5_000;
const POLL_MS = 100;

/** @throws MirrorlatchError BUSY when something an earlier command left running could write to `tree`. */
export function refuseWhileWritten(tree: string, shownAs: string, hint: string): void {
  const writers = writersOf(tree);
  if (writers.length === 0) return;
  throw new MirrorlatchError(
    'BUSY',
    `what an earlier command left running could still write to ${shownAs}: ${describeProcesses(writers)}`,
    { hint },
  );
}

/**
 * Waits a little until nothing that a command started could write to its tree.
 *
 * @param command its name, for people.
 * @param kernelLock the lock file whose lock the command inherited.
 * @throws MirrorlatchError UNAVAILABLE when something still could.
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
    await pause(POLL_MS, signal);
    left = writersOf(tree, kernelLock);
  }
  signal.throwIfAborted();
  if (left.length === 0) return;
  throw new MirrorlatchError(
    'UNAVAILABLE',
    `${command} left something running that could still write: ${describeProcesses(left)}; nothing was published`,
    {
      hint: 'Let the command wait for what it starts. Once that has ended, publish what is there with: mirrorlatch lock ROOT -- true',
      details: { processes: left },
    },
  );
}

/**
 * The processes that a command with this tree started and that could still write to it: they hold the
 * lock, or have the tree in their environment. A process that has released the lock, moved into a
 * session of its own and has nothing of the tree open is a daemon, such as gpg-agent.
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
