import { closeSync, fchmodSync, fstatSync, openSync, utimesSync } from 'node:fs';
import { MirrorlatchError } from '../../errors.ts';
import { ifThere, lstatIfThere } from '../../system/files.ts';
import { tryFlock } from '../../system/flock.ts';
import { refuseOtherThanFile } from '../../system/own-files.ts';
import { processesWithOpenFile } from '../../system/proc.ts';
import type { Layout } from '../layout.ts';

const MODE = 0o444;
/** The sticky bit of a lease, which means nothing else on a file: its snapshot is being removed. */
const MARK = 0o1000;

/** Keeps a snapshot from being pruned until this process and all that inherit `descriptor` end. */
export interface Lease {
  /** A child that inherits this descriptor holds the snapshot too. */
  readonly descriptor: number;
  release(): void;
}

/**
 * Takes the lease of a snapshot, which needs read permission only (I11).
 *
 * Prune locks the lease exclusively, moves the snapshot away, then unlinks the lease. So a shared
 * lock keeps the snapshot, provided that the path still names the locked file.
 *
 * @returns undefined when the snapshot is gone or being removed.
 * @throws MirrorlatchError UNAVAILABLE when the filesystem has no flock.
 */
export function takeLease(layout: Layout, id: string): Lease | undefined {
  const path = layout.lease(id);
  const descriptor = ifThere(() => openSync(path, 'r'));
  if (descriptor === undefined) return undefined;
  let isOurs = false;
  try {
    const locked = tryFlock(descriptor, 'shared');
    if (locked === 'unsupported') {
      throw new MirrorlatchError('UNAVAILABLE', `the filesystem of ${path} has no locks`, {
        hint: 'Mount it with locks (for NFS: without nolock), or read the mirror without a lease.',
      });
    }
    const named = lstatIfThere(path);
    const held = fstatSync(descriptor, { bigint: true });
    isOurs = locked === 'locked' && named?.ino === held.ino && named.dev === held.dev;
    return isOurs ? { descriptor, release: () => closeSync(descriptor) } : undefined;
  } finally {
    if (!isOurs) closeSync(descriptor);
  }
}

/**
 * Holds a snapshot whose lease a process keeps locked exclusively. Every user can do that, and it is no
 * removal: for that, `closeToReaders` marks the lease first, and then looks which processes have it
 * open. So an open lease without the mark is enough if the mirror's owner, who removes snapshots, sees
 * this process.
 *
 * @returns undefined when it is not, or the snapshot is gone or being removed.
 */
export function holdOpenLease(layout: Layout, id: string): Lease | undefined {
  const keeper = lstatIfThere(layout.state)?.uid;
  const isSeen = keeper === 0n || keeper === BigInt(process.geteuid?.() ?? -1);
  const descriptor = isSeen ? ifThere(() => openSync(layout.lease(id), 'r')) : undefined;
  if (descriptor === undefined) return undefined;
  const named = lstatIfThere(layout.lease(id));
  const held = fstatSync(descriptor, { bigint: true });
  const isMarked = (held.mode & BigInt(MARK)) !== 0n;
  if (!isMarked && named?.ino === held.ino && named.dev === held.dev) {
    return { descriptor, release: () => closeSync(descriptor) };
  }
  closeSync(descriptor);
  return undefined;
}

/** A snapshot that no reader can enter until `end` is called. */
export interface Closure {
  /** @param isGone the snapshot has been removed, and so has its lease, if only its name. */
  end(isGone: boolean): void;
}

/**
 * Keeps readers out of a snapshot if none holds it. A reader takes its lease shared before it enters,
 * and then checks that the lease still has its name. So once the lease is held exclusively, no reader
 * can have entered unseen.
 *
 * @returns undefined while a reader holds it.
 */
export function closeToReaders(layout: Layout, id: string): Closure | undefined {
  const path = layout.lease(id);
  const descriptor = ifThere(() => openSync(path, 'r'));
  if (descriptor === undefined) return { end: () => {} };
  const end = (isGone: boolean) => {
    if (!isGone) fchmodSync(descriptor, MODE);
    closeSync(descriptor);
  };
  try {
    // The mark comes first: see holdOpenLease().
    fchmodSync(descriptor, MODE | MARK);
    const isHeld =
      tryFlock(descriptor, 'exclusive') === 'held' ||
      processesWithOpenFile(path, descriptor).length > 0;
    if (!isHeld) return { end };
  } catch (error) {
    end(false);
    throw error;
  }
  end(false);
  return undefined;
}

/**
 * Makes the file that readers lock, if it is missing. Every user can open it; none can write to it.
 *
 * @throws MirrorlatchError CONFIGURATION when something else has its name.
 */
export function makeLease(layout: Layout, id: string): void {
  refuseOtherThanFile(layout.lease(id));
  if (lstatIfThere(layout.lease(id)) !== undefined) return;
  const descriptor = openSync(layout.lease(id), 'wx', MODE);
  try {
    fchmodSync(descriptor, MODE);
  } finally {
    closeSync(descriptor);
  }
}

/** Gives a lease the time at which its snapshot came to its place: no directory in it has a later ctime. */
export function dateLease(layout: Layout, id: string): void {
  const came = Number(lstatIfThere(layout.snapshot(id))?.ctimeNs ?? 0n) / 1e9;
  utimesSync(layout.lease(id), came, came);
}
