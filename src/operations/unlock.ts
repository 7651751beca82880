import { describeLock, inspectLock, type LockState } from '../mirror/locks/lock-state.ts';
import { openMirror } from '../mirror/open.ts';
import type { Given, LockPolicy } from '../mirror/settings/policy.ts';
import type { OnEvent } from '../writer/events.ts';
import { withLock } from '../writer/session.ts';

export interface UnlockOptions {
  root: string;
  lock?: Given<LockPolicy> | undefined;
  signal?: AbortSignal | undefined;
  onEvent?: OnEvent | undefined;
}

export interface UnlockResult {
  /** The lock that was there, whose holder is gone; `free` if there was none. */
  removed: LockState;
  message: string;
}

/**
 * Removes a lock that nobody holds any more.
 *
 * @throws MirrorlatchError BUSY, naming the holder, when a process still holds it.
 */
export async function unlock({
  root,
  lock,
  signal,
  onEvent,
}: UnlockOptions): Promise<UnlockResult> {
  const { layout } = openMirror(root);
  const found = inspectLock(layout);
  const failure = `the unlocking of ${layout.root} failed`;
  // To take the lock is to remove what a dead holder left of it.
  await withLock(layout, { command: 'unlock', failure, lock, signal, onEvent }, () => {});
  // A living holder has released it by itself, or it could not have been taken.
  const removed: LockState = found.kind === 'held' ? { kind: 'free' } : found;
  return { removed, message: describeLock(removed) };
}
