import { spawnSync } from 'node:child_process';
import { MirrorlatchError } from '../errors.ts';
import { cannotStart } from './child.ts';
import { traceSync } from './debug.ts';
import { ignoredSignals } from './ignored-signals.ts';

/** `unsupported`: the filesystem has no flock(2), as is the case for some network and FUSE ones. */
export type FlockResult = 'locked' | 'held' | 'unsupported';

/**
 * Tries to lock the open file behind `descriptor` with flock(2), without waiting.
 *
 * Node has no flock(), so flock(1) locks a descriptor that it inherits. The lock belongs to the open
 * file description: it outlives flock(1), and lasts until this process and every child that has
 * inherited the descriptor have closed it or died.
 *
 * @throws MirrorlatchError UNAVAILABLE if flock(1) cannot be started.
 */
export function tryFlock(descriptor: number, kind: 'shared' | 'exclusive'): FlockResult {
  return flock(descriptor, [`--${kind}`, '--nonblock']);
}

/** Locks it in the same way, but waits this long for the lock; this process is blocked meanwhile. */
export function waitForFlock(
  descriptor: number,
  kind: 'shared' | 'exclusive',
  seconds: number,
): FlockResult {
  return flock(descriptor, [`--${kind}`, '--timeout', String(seconds)]);
}

function flock(descriptor: number, options: readonly string[]): FlockResult {
  const args = [...options, '3'];
  const { status, signal, error, stderr } = traceSync('flock', args, () =>
    spawnSync('flock', args, {
      stdio: ['ignore', 'ignore', 'pipe', descriptor],
      encoding: 'utf8',
    }),
  );
  if (error !== undefined) throw cannotStart('flock', error);
  // A terminal sends its signals to flock, too, which Node starts without ignoring any.
  if (signal !== null && ignoredSignals.includes(signal)) return flock(descriptor, options);
  if (status === 0) return 'locked';
  if (status === 1) return 'held';
  if (/not supported|No locks available|not implemented/.test(stderr)) return 'unsupported';
  throw new MirrorlatchError('IO', `flock failed: ${stderr.trim() || `exit status ${status}`}`);
}
