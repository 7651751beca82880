import { closeSync, rmSync } from 'node:fs';
import type { Layout } from '../mirror/layout.ts';
import { openOwnersLock } from '../mirror/locks/owners-lock.ts';
import { refuseOtherOwner } from '../mirror/locks/ownership.ts';
import { lstatIfThere, writeWhole } from '../system/files.ts';
import { tryFlock } from '../system/flock.ts';

/** What became of a wish for a sync. */
export type TriggerOutcome =
  /** This process has synced, as often as was wished meanwhile. */
  | 'synced'
  /** Another is at it, and will sync once more. */
  | 'coalesced';

/**
 * Syncs a mirror because somebody wishes it. However many wish it while a sync is at work, one more follows
 * that began after all of them:
 *
 * ```
 *   wish ─► mark ─► lock ──held──► leave: its holder looks for the mark before it goes
 *                    │
 *                    ▼
 *        ┌──► unmark ─► sync ─┐
 *        └──── marked ◄───────┤
 *                             ▼
 *                          unlock ─► marked meanwhile? once more from the lock
 * ```
 *
 * A mark that a crash left is taken up by the next wish.
 *
 * @param sync if it throws, so does this; a wish that has come meanwhile stays.
 * @throws MirrorlatchError PERMISSION for another user than the owner of the mirror, IO.
 */
export async function coalesce(layout: Layout, sync: () => Promise<void>): Promise<TriggerOutcome> {
  refuseOtherOwner(layout);
  const { wish, wishLock } = layout;
  writeWhole(wish, '', 0o600);
  let outcome: TriggerOutcome = 'coalesced';
  while (lstatIfThere(wish) !== undefined) {
    const descriptor = openOwnersLock(wishLock, layout);
    try {
      if (tryFlock(descriptor, 'exclusive') === 'held') return outcome;
      while (lstatIfThere(wish) !== undefined) {
        rmSync(wish);
        outcome = 'synced';
        await sync();
      }
    } finally {
      closeSync(descriptor);
    }
  }
  return outcome;
}
