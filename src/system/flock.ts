import { spawnSync } from 'node:child_process';
import { MirrorlatchError } from '../errors.ts';
import { traceSync } from './debug.ts';

/** `unsupported`: the filesystem has no flock (some network and FUSE filesystems). */
export type FlockResult = 'locked' | 'held' | 'unsupported';

/**
 * Tries to put a flock(2) on the open file behind `descriptor`, without waiting.
 *
 * Node has no flock; flock(1) locks a descriptor that it inherits, and as the lock belongs to the
 * open file description it stays when flock(1) ends: with this process, and with every child that
 * inherits the descriptor, until the last of them has closed it, whatever killed them.
 *
 * @throws MirrorlatchError UNAVAILABLE when util-linux's flock is not installed.
 */
export function tryFlock(descriptor: number, kind: 'shared' | 'exclusive'): FlockResult {
  return flock(descriptor, [`--${kind}`, '--nonblock']);
}

/** The same, and waits for the lock; this process stands still meanwhile. */
export function waitForFlock(
  descriptor: number,
  kind: 'shared' | 'exclusive',
  seconds: number,
): FlockResult {
  return flock(descriptor, [`--${kind}`, '--timeout', String(seconds)]);
}

function flock(descriptor: number, options: readonly string[]): FlockResult {
  const args = [...options, '3'];
  const { status, error, stderr } = traceSync('flock', args, () =>
    spawnSync('flock', args, {
      stdio: ['ignore', 'ignore', 'pipe', descriptor],
      encoding: 'utf8',
    }),
  );
  if (error !== undefined) {
    throw new MirrorlatchError('UNAVAILABLE', 'the program flock cannot be started', {
      hint: 'Install it, for example with: apt-get install util-linux',
      cause: error,
    });
  }
  if (status === 0) return 'locked';
  if (status === 1) return 'held';
  if (/not supported|No locks available|not implemented/.test(stderr)) return 'unsupported';
  throw new MirrorlatchError('IO', `flock failed: ${stderr.trim() || `exit status ${status}`}`);
}
