import { type Mount, mountsSeenBy } from '../system/mounts.ts';

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
