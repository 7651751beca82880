import { MirrorlatchError } from '../errors.ts';
import { type Mount, mountsSeenBy } from '../system/mounts.ts';
import type { Layout } from './layout.ts';

/** What reader.sh calls the small filesystem by which it hides a mirror's other snapshots. */
const SOURCE = 'mirrorlatch';

/** Whether a process sees the mirror `root` through the guard, by a namespace pin. */
export function isPinnedTo(root: string, process: number | 'self'): boolean {
  return mountsOf(process).some(
    ({ mountPoint, source, type }) => mountPoint === root && source === SOURCE && type === 'tmpfs',
  );
}

function mountsOf(process: number | 'self'): Mount[] {
  try {
    return mountsSeenBy(process);
  } catch {
    // It has ended, or belongs to another user.
    return [];
  }
}

/**
 * Refuses to write to a mirror that this process sees through the guard, which shows it read-only.
 *
 * @throws MirrorlatchError PERMISSION
 */
export function refuseInsideGuard({ root }: Layout): void {
  if (!isPinnedTo(root, 'self')) return;
  throw new MirrorlatchError(
    'PERMISSION',
    `${root} is seen here through a guard, which shows one snapshot of it, read-only`,
    { hint: 'Run this outside of mirrorlatch run and of shells that it opened.' },
  );
}
