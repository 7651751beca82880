import { closeSync, fchmodSync, fstatSync, openSync } from 'node:fs';
import { MirrorlatchError } from '../errors.ts';
import { ifThere, lstatIfThere } from '../system/files.ts';
import { tryFlock } from '../system/flock.ts';
import { refuseOtherThanFile } from '../system/own-files.ts';
import type { Layout } from './layout.ts';

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
 * Makes the file that readers lock, if it is missing. Every user can open it; none can write to it.
 *
 * @throws MirrorlatchError CONFIGURATION when something else has its name.
 */
export function makeLease(layout: Layout, id: string): void {
  refuseOtherThanFile(layout.lease(id));
  if (lstatIfThere(layout.lease(id)) !== undefined) return;
  const descriptor = openSync(layout.lease(id), 'wx', 0o444);
  try {
    fchmodSync(descriptor, 0o444);
  } finally {
    closeSync(descriptor);
  }
}
