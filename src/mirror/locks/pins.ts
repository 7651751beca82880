import { MirrorlatchError } from '../../errors.ts';
import { type Mount, mountsSeenBy } from '../../system/mounts.ts';
import { isOurAncestor } from '../../system/proc.ts';
import type { Layout } from '../layout.ts';

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

/**
 * Whether a guard around this process pins the mirror `root`, if only by the working directory: the
 * environment says so, and this process, one that has started it, or the one that holds for them is among the
 * `holders` of the lease. A lease of this program's own, by the library, is no guard.
 */
export function isPinnedAround(root: string, holders: readonly number[]): boolean {
  const { env } = process;
  const isTold = Object.entries(env).some(
    ([name, value]) =>
      /^MIRRORLATCH_ROOT(_\d+)?$/.test(name) &&
      value === root &&
      env[name.replace('ROOT', 'PIN')] !== undefined,
  );
  const held = Number(env['MIRRORLATCH_HOLDER']);
  return isTold && holders.some((pid) => pid === process.pid || pid === held || isOurAncestor(pid));
}
