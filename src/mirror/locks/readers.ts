import { basename, relative } from 'node:path';
import { lstatIfThere } from '../../system/files.ts';
import { type ProcessUse, pathsInUse } from '../../system/paths-in-use.ts';
import { countLocksOf, processName, processUser } from '../../system/proc.ts';
import { type Layout, LIVE } from '../layout.ts';

/** A process that would lose files if the snapshot were removed. */
export interface Reader {
  pid: number;
  name: string;
  user: string;
  /** `lease` if it holds the snapshot's lease; otherwise how it uses the snapshot (proc(5)). */
  by: 'lease' | ProcessUse;
}

/**
 * The readers of each snapshot, by id: processes of this host that hold its lease, or that use it
 * without a lease, by their working directory or root, or by an open or mapped file, or a mount. A process
 * with an open descriptor of the directory of the leases, such as `serve`, takes one for each snapshot that it
 * will look something up in: a file that it has open stays what it is without its name, and does not count.
 * Only root sees the processes of other users.
 */
export function findReaders(layout: Layout): Map<string, Reader[]> {
  const readers = new Map<string, Map<number, Reader>>();
  const note = (id: string | undefined, pid: number, by: Reader['by']): void => {
    if (id === undefined || id === '') return;
    const ofSnapshot = readers.get(id) ?? new Map<number, Reader>();
    readers.set(id, ofSnapshot);
    if (ofSnapshot.has(pid)) return;
    ofSnapshot.set(pid, {
      pid,
      name: processName(pid) ?? '?',
      user: processUser(pid) ?? '?',
      by,
    });
  };
  if (!lstatIfThere(layout.snapshots) && !lstatIfThere(layout.gate)) return new Map();
  const uses = pathsInUse(layout.root);
  // The writer of an in-place mirror opens everything that a reader opens.
  const writers = new Set(
    uses.filter(({ path }) => path === layout.kernelLock).map(({ pid }) => pid),
  );
  for (const { pid, path } of uses) {
    const [first, second, id] = relative(layout.root, path).split('/');
    if (first === '.mirrorlatch' && second === basename(layout.leases)) note(id, pid, 'lease');
    if (path === layout.lease(LIVE) && !writers.has(pid)) note(LIVE, pid, 'lease');
  }
  // A working directory there is a person's, and the programs started from it read as all do.
  const takers = new Set(
    uses.filter(({ use, path }) => use === 'fd' && path === layout.leases).map(({ pid }) => pid),
  );
  for (const { pid, use, path, mayWrite } of uses) {
    const [first, id] = relative(layout.root, path).split('/');
    const isOpenFile = use === 'fd' && !mayWrite;
    if (isOpenFile && takers.has(pid)) continue;
    if (first === basename(layout.snapshots)) note(id, pid, use);
    if (first === basename(layout.gate) && !writers.has(pid)) note(id, pid, use);
  }
  return new Map([...readers].map(([id, ofSnapshot]) => [id, [...ofSnapshot.values()]]));
}

/** The number of locks on the lease of each snapshot, including those of holders invisible to this user. */
export function countLeases(layout: Layout, ids: readonly string[]): Map<string, number> {
  const counts = countLocksOf(ids.map(layout.lease), 'shared');
  return new Map(ids.map((id, at) => [id, counts[at] ?? 0]));
}
