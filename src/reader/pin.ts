import { MirrorlatchError } from '../errors.ts';
import { channelId } from '../mirror/channels/channels.ts';
import { currentId } from '../mirror/current.ts';
import { type Layout, LIVE } from '../mirror/layout.ts';
import { holdOpenLease, type Lease, takeLease } from '../mirror/locks/lease.ts';
import { obstacleAt } from '../mirror/locks/obstacle.ts';
import { openMirror } from '../mirror/open.ts';
import { isSnapshotId } from '../mirror/snapshot-id.ts';
import { lstatIfThere } from '../system/files.ts';
import { pause } from '../system/pause.ts';
import { quoteForSh } from '../system/quote.ts';

export interface PinOptions {
  root: string;
  /** Another snapshot than the current one. */
  id?: string | undefined;
  /** The channel that is resolved instead of `current`. */
  channel?: string | undefined;
  signal?: AbortSignal | undefined;
}

/** One snapshot that stays as long as it is held. */
export interface Pin {
  id: string;
  /** The snapshot's own path: read through this, never through `current`. */
  path: string;
  /** A descriptor for children to inherit, which then hold the snapshot too. */
  descriptor: number;
  release: () => void;
}

const PAUSE_MS = 10;
/** A removal that began after the snapshot stopped being current takes no longer than this. */
const PATIENCE_MS = 5_000;

/**
 * Resolves `current`, or a channel, once and holds what it names.
 *
 * @throws MirrorlatchError NO_MIRROR when nothing has been published yet, no snapshot has `id`, or there is no
 *   such channel;
 *   IO when what `current` names has lost its lease; BUSY behind the gate of an in-place mirror.
 */
export async function pin({ root, id: wanted, channel, signal }: PinOptions): Promise<Pin> {
  const { layout } = openMirror(root);
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    signal?.throwIfAborted();
    const id = wanted ?? (channel === undefined ? currentId(layout) : channelId(layout, channel));
    refuseBehindGate(layout);
    const isLate = performance.now() > deadline;
    const hold = isLate ? holdOpenLease : takeLease;
    // Another text could lead to a file that is no lease.
    const isName = id !== undefined && (isSnapshotId(id) || id === LIVE);
    const lease = isName ? hold(layout, id) : undefined;
    if (id !== undefined && lease !== undefined) {
      // A writer first announces that it closes the gate, and then waits for every holder of this.
      refuseBehindGate(layout, lease);
      if (isThere(layout, id, lease)) {
        return {
          id,
          path: layout.snapshot(id),
          descriptor: lease.descriptor,
          release: lease.release,
        };
      }
    }
    if (wanted !== undefined || id === undefined) {
      const what =
        wanted === undefined ? 'no snapshot yet' : `no snapshot named ${JSON.stringify(wanted)}`;
      throw new MirrorlatchError('NO_MIRROR', `${layout.root} has ${what}`, {
        hint: `See what there is with: mirrorlatch list ${quoteForSh(layout.root)}`,
      });
    }
    // Since `current` was read it was flipped, and its old snapshot was removed: look again.
    if (isLate) {
      throw new MirrorlatchError(
        'IO',
        `the snapshot ${id} of ${layout.root} has no lease that can be taken`,
        {
          hint: `The next sync restores it: mirrorlatch sync ${quoteForSh(layout.root)}`,
        },
      );
    }
    await pause(PAUSE_MS, signal);
  }
}

/** A mirror that is written in place can be read only while its gate is open. */
function refuseBehindGate(layout: Layout, lease?: Lease): void {
  const why = obstacleOf(layout, lease);
  if (why === undefined) return;
  throw new MirrorlatchError('BUSY', `${layout.root} ${why}`, {
    hint: `Wait until it can be read: wait() of the library, or mirrorlatch wait ${quoteForSh(layout.root)}`,
  });
}

/** Why the gate keeps readers out. If it does, or cannot be read, the lease is released. */
function obstacleOf(layout: Layout, lease: Lease | undefined): string | undefined {
  let isOpen = false;
  try {
    const why = obstacleAt(layout)?.why;
    isOpen = why === undefined;
    return why;
  } finally {
    if (!isOpen) lease?.release();
  }
}

/** A lease may outlive its snapshot after a crash. If it did, it is released. */
function isThere(layout: Layout, id: string, lease: Lease): boolean {
  let found = false;
  try {
    found = lstatIfThere(layout.snapshot(id))?.isDirectory() === true;
    return found;
  } finally {
    if (!found) lease.release();
  }
}
