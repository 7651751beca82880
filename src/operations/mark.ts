import { MirrorlatchError } from '../errors.ts';
import { currentId, previousId } from '../mirror/current.ts';
import type { Layout } from '../mirror/layout.ts';
import { holdOpenLease, takeLease } from '../mirror/locks/lease.ts';
import { openMirrorWithSnapshots } from '../mirror/open.ts';
import { changeMark, type Mark } from '../mirror/retention/marks.ts';
import { checkTags } from '../mirror/settings/policy-rules.ts';
import { snapshotNamed } from '../mirror/snapshot-path.ts';
import { snapshotIds } from '../mirror/survey.ts';
import { lstatIfThere } from '../system/files.ts';
import { nearestNames } from '../system/nearest.ts';
import { processUser } from '../system/proc.ts';
import { quoteForSh } from '../system/quote.ts';

export interface MarkOptions {
  root: string;
  /** The snapshot, by its id or path, `current` or `previous`. */
  id: string;
}

/** A snapshot and what is said of it now. */
export interface Marked extends Mark {
  id: string;
}

export interface PinSnapshotOptions extends Omit<MarkOptions, 'id'> {
  /** By default `current`. */
  id?: string | undefined;
  /** Why it is to stay, for those who find it. */
  reason?: string | undefined;
}

export interface TagOptions extends MarkOptions {
  add?: readonly string[] | undefined;
  remove?: readonly string[] | undefined;
}

/**
 * Keeps a snapshot for ever, until it is unpinned. A new reason replaces that of an earlier pin.
 *
 * @throws MirrorlatchError NO_MIRROR when there is no such snapshot, naming some that there are; USAGE for an
 *   empty reason; BUSY when the marks stay locked; PERMISSION in another user's mirror; CONFIGURATION when the
 *   marks are damaged.
 */
export function pinSnapshot({ root, id = 'current', reason }: PinSnapshotOptions): Marked {
  if (reason?.trim() === '') {
    throw new MirrorlatchError('USAGE', 'the reason of --reason is empty', {
      hint: "Say why, for those who find the snapshot pinned: --reason 'of the release 2.1'",
    });
  }
  const by = processUser(process.pid) ?? '?';
  const since = new Date().toISOString();
  const pin = reason === undefined ? { by, since } : { by, since, reason };
  return mark({ root, id }, (before) => ({ ...before, pin }));
}

/** Lets the rules decide about a snapshot again. Throws as `pinSnapshot`. */
export function unpinSnapshot(options: MarkOptions): Marked {
  return mark(options, ({ tags }) => ({ tags }));
}

/**
 * Gives a snapshot tags, and takes others from it.
 *
 * @throws MirrorlatchError as `pinSnapshot`; USAGE for what is no tag, and for none at all.
 */
export function tagSnapshot({ add = [], remove = [], ...options }: TagOptions): Marked {
  checkTags('add', add);
  checkTags('remove', remove);
  if (add.length === 0 && remove.length === 0) {
    throw new MirrorlatchError('USAGE', 'no tag was given', {
      hint: 'Name the tags to give it after the snapshot, and those to take from it with --remove.',
    });
  }
  return mark(options, ({ tags, ...others }) => {
    const kept = [...tags, ...add].filter((tag) => !remove.includes(tag));
    return { ...others, tags: [...new Set(kept)] };
  });
}

/**
 * Changes a mark while the snapshot cannot be pruned. One that is being pruned cannot be held any more, and
 * one that is pruned before it is held is not there afterwards.
 */
function mark({ root, id: given }: MarkOptions, change: (before: Mark) => Mark): Marked {
  const { layout } = openMirrorWithSnapshots(root);
  const id = idOf(layout, snapshotNamed(layout, given));
  if (id === undefined || !isThere(layout, id)) throw noSnapshot(layout, id ?? given);
  const lease = takeLease(layout, id) ?? holdOpenLease(layout, id);
  try {
    // A crash may have left a snapshot without a lease. The next writer makes one before it prunes.
    const isGoing = lease === undefined && lstatIfThere(layout.lease(id)) !== undefined;
    if (isGoing || !isThere(layout, id)) throw noSnapshot(layout, id);
    const marked = { id, ...changeMark(layout, id, change) };
    if (!isThere(layout, id)) throw noSnapshot(layout, id);
    return marked;
  } finally {
    lease?.release();
  }
}

function idOf(layout: Layout, name: string): string | undefined {
  if (name === 'current') return currentId(layout);
  return name === 'previous' ? previousId(layout) : name;
}

function isThere(layout: Layout, id: string): boolean {
  return snapshotIds(layout).includes(id);
}

function noSnapshot(layout: Layout, name: string): MirrorlatchError {
  const near = nearestNames(name, snapshotIds(layout), 3);
  const some = near.length === 0 ? '' : `Near it are ${near.join(', ')}. `;
  return new MirrorlatchError(
    'NO_MIRROR',
    `${layout.root} has no snapshot named ${JSON.stringify(name)}`,
    { hint: `${some}See them all with: mirrorlatch list ${quoteForSh(layout.root)}` },
  );
}
