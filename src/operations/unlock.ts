import { describeLock, inspectLock, type LockState } from '../mirror/lock-state.ts';
import { acquireSyncLock } from '../mirror/sync-lock.ts';
import { openMirror } from './mirror.ts';

export interface UnlockOptions {
  root: string;
  /** After how long without a heartbeat another host's lock counts as left; ms. */
  staleAfterMs?: number | undefined;
  signal?: AbortSignal | undefined;
}

export interface UnlockResult {
  /** The lock that was there, whose holder is gone. */
  removed: LockState;
  message: string;
}

/**
 * Removes a lock that nobody holds any more.
 *
 * @throws MirrorlatchError BUSY, naming the holder, when somebody does.
 */
export async function unlock({ root, staleAfterMs, signal }: UnlockOptions): Promise<UnlockResult> {
  const { layout } = openMirror(root);
  const found = inspectLock(layout);
  const lock = await acquireSyncLock(layout, { command: 'unlock', staleAfterMs, signal });
  await lock.release();
  return { removed: found, message: describeLock(found) };
}
