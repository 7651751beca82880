import { closeSync, fchmodSync, fstatSync, openSync } from 'node:fs';
import { MirrorlatchError } from '../errors.ts';
import { ifThere, lstatIfThere } from '../system/files.ts';
import { tryFlock } from '../system/flock.ts';
import type { Layout } from './layout.ts';

/** A hold on a snapshot: it is not removed while this process, or a child that inherits it, lives. */
export interface Lease {
  /** To be inherited by whoever shall hold the snapshot too. */
  readonly descriptor: number;
  release(): void;
}

/**
 * Takes the lease of a snapshot, which needs read permission only (I11); undefined when the
 * snapshot is being removed, or is gone.
 *
 * Who removes a snapshot takes its lease exclusively, moves the snapshot away and unlinks the
 * lease. So a shared lock on a file that is still the one of that name keeps the snapshot.
 *
 * @throws MirrorlatchError UNAVAILABLE where the filesystem has no flock.
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
        hint: 'Mount it with locks (NFS: without nolock), or read the mirror without a lease.',
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

/** Makes the file whose shared lock a reader holds: everybody can open it, nobody can write to it. */
export function makeLease(layout: Layout, id: string): void {
  if (lstatIfThere(layout.lease(id)) !== undefined) return;
  const descriptor = openSync(layout.lease(id), 'wx', 0o444);
  try {
    fchmodSync(descriptor, 0o444);
  } finally {
    closeSync(descriptor);
  }
}
