import type { Reader } from '../mirror/locks/readers.ts';

/** Locks on the lease whose holders this user may not see. */
export function unseenReaders(readers: readonly Reader[], leases: number): number {
  return Math.max(0, leases - readers.filter(({ by }) => by === 'lease').length);
}

/** The readers of a snapshot, the first three by name. */
export function describeReaders(readers: readonly Reader[], leases = 0): string {
  const named = readers
    .slice(0, 3)
    .map(({ name, pid, user, by }) => `${name} (pid ${pid}, ${user}, ${by})`);
  if (readers.length > 3) named.push(`${readers.length - 3} more`);
  const unseen = unseenReaders(readers, leases);
  if (unseen > 0) named.push(`${unseen} unseen`);
  return named.join(', ');
}
