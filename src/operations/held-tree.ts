import { MirrorlatchError } from '../errors.ts';
import { channelAt } from '../mirror/channels/channels.ts';
import { currentId, previousId } from '../mirror/current.ts';
import { type Layout, LIVE } from '../mirror/layout.ts';
import { holdOpenLease, type Lease, takeLease } from '../mirror/locks/lease.ts';
import { obstacleAt } from '../mirror/locks/obstacle.ts';
import { isSnapshotId } from '../mirror/snapshot-id.ts';
import { snapshotNamed } from '../mirror/snapshot-path.ts';
import { lstatIfThere } from '../system/files.ts';
import { quoteForSh } from '../system/quote.ts';

/**
 * The id of what a person names: a snapshot by its id or path, `current` (default), `previous` or a channel.
 *
 * @throws MirrorlatchError NO_MIRROR when nothing is published.
 */
export function idNamed(layout: Layout, name: string | undefined): string {
  if (name === undefined || name === 'current') {
    const current = currentId(layout);
    if (current === undefined)
      throw new MirrorlatchError('NO_MIRROR', `${layout.root} has no snapshot yet`);
    return current;
  }
  if (name === 'previous') return previousId(layout) ?? name;
  return channelAt(layout, name)?.id ?? snapshotNamed(layout, name);
}

/** A tree that stays as it is until its lease is released. */
export interface HeldTree {
  id: string;
  lease: Lease;
}

/** @throws MirrorlatchError NO_MIRROR, BUSY */
export function holdTree(layout: Layout, id: string): HeldTree {
  refuseObstacle(layout);
  const isName = isSnapshotId(id) || id === LIVE;
  const lease = isName ? (takeLease(layout, id) ?? holdOpenLease(layout, id)) : undefined;
  try {
    // A writer first announces that it closes the gate, and then waits for all who hold this.
    refuseObstacle(layout);
    if (lease !== undefined && lstatIfThere(layout.snapshot(id))?.isDirectory())
      return { id, lease };
  } catch (error) {
    lease?.release();
    throw error;
  }
  lease?.release();
  const message = `${layout.root} has no snapshot named ${JSON.stringify(id)}`;
  throw new MirrorlatchError('NO_MIRROR', message, {
    hint: `See what there is with: mirrorlatch list ${quoteForSh(layout.root)}`,
  });
}

function refuseObstacle(layout: Layout): void {
  const why = obstacleAt(layout)?.why;
  if (why === undefined) return;
  throw new MirrorlatchError('BUSY', `${layout.root} ${why}`, {
    hint: `Wait until it can be read: mirrorlatch wait ${quoteForSh(layout.root)}`,
  });
}
