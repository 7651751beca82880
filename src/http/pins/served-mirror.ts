import { join } from 'node:path';
import { MirrorlatchError } from '../../errors.ts';
import { isInPlace } from '../../mirror/locks/gate.ts';
import { findMirror } from '../../mirror/open.ts';
import { lstatIfThere } from '../../system/files.ts';
import { type Hold, holdCurrent, type Snapshot } from './holds.ts';

/** A mirror as the server reads it. */
export interface ServedMirror extends ServedRoot {
  /** `foreign`: another program keeps `current`. */
  readonly kind: 'snapshots' | 'in-place' | 'foreign';
  /**
   * Holds what is current. For `in-place`, that is the tree behind the open gate.
   *
   * @throws MirrorlatchError BUSY behind a closed gate; NO_MIRROR when nothing has been published.
   */
  holdCurrent(): Promise<Hold>;
  /** Holds a snapshot; undefined when there is none of this name. */
  hold(id: string): Promise<Hold | undefined>;
  /** The same for a snapshot that a process before has held. @param identity as that process has known it. */
  recall(id: string, identity: string | undefined): Promise<Hold | undefined>;
  /** What tells trees that no lease keeps from others at their paths, by their ids. */
  identities(): Readonly<Record<string, string>> | undefined;
  /** A snapshot that is there, and not held. */
  find(id: string): Snapshot | undefined;
  /** The snapshots that are there, the newest first. */
  retained(): readonly string[];
  /** The paths of those but one. */
  treesBut(id: string): readonly string[];
  /** How long a writer has been waiting for those who hold a mirror in place; ms. Undefined if none waits. */
  writerWaitsMs(): number | undefined;
  /** Whether there was a snapshot of this name, which has been removed since. */
  isGone(id: string): boolean;
  /** @throws MirrorlatchError CONFIGURATION when something of another kind is in the place of the mirror. */
  refuseOtherKind(): void;
  currentId(): string | undefined;
  /** What a channel names; undefined if there is none of this name. */
  channelId(name: string): string | undefined;
  /** The names of the channels that name a snapshot. */
  channels(): readonly string[];
  previousId(): string | undefined;
  /** When snapshots were made and published. */
  publications(ids: readonly string[]): Publication[];
}

export interface Publication {
  readonly id: string;
  /** ISO 8601, UTC. */
  readonly publishedAt: string;
}

/** A mirror and its URLs. Each prefix is `/` or `/…/`. */
export interface ServedRoot {
  /** For people, and for web servers in front. */
  readonly name: string;
  /** Where its own URLs begin: pins, snapshots, `current.json`. */
  readonly prefix: string;
  /** Where what is current begins: `current/` below the prefix, or a place of its own. */
  readonly content: string;
  readonly root: string;
}

/** Whether nothing of what a mirror holds is ever written again. */
export function isFrozen({ kind }: Pick<ServedMirror, 'kind'>): boolean {
  return kind === 'snapshots';
}

/** What is at a root, if it can be read at all. */
function kindAt(root: string): ServedMirror['kind'] | undefined {
  const mirror = findMirror(root);
  if (mirror !== undefined) return isInPlace(mirror.layout) ? 'in-place' : 'snapshots';
  return lstatIfThere(join(root, 'current'))?.isSymbolicLink() ? 'foreign' : undefined;
}

/** Leases, gates and runs are not the same for mirrors of all kinds, so a server goes on only with what it was started with. */
export function refuseOtherKind({ root, kind }: Pick<ServedMirror, 'root' | 'kind'>): void {
  const now = kindAt(root);
  if (now === undefined || now === kind) return;
  throw new MirrorlatchError(
    'CONFIGURATION',
    `${root} is a mirror of another kind now; restart mirrorlatch serve`,
  );
}

/**
 * Holds what a channel names.
 *
 * @throws MirrorlatchError NO_MIRROR when there is no channel of this name.
 */
export async function holdChannel(mirror: ServedMirror, name: string): Promise<Hold> {
  const held = await holdCurrent(
    () => mirror.channelId(name),
    (id) => mirror.hold(id),
  );
  if (held !== undefined) return held;
  throw new MirrorlatchError('NO_MIRROR', `${mirror.root} has no channel ${name}`);
}

/** Whether a snapshot is not there any more. */
export function isLost(mirror: ServedMirror, { id, isReplaced }: Snapshot): boolean {
  return isReplaced?.() ?? mirror.find(id) === undefined;
}

/**
 * Why a run cannot go on. It fails so until it ends: its client may repeat a request of itself, and would then go on in
 * another snapshot.
 *
 * @throws MirrorlatchError as `refuseOtherKind`.
 */
export function lostSnapshot(mirror: ServedMirror, id: string): MirrorlatchError {
  mirror.refuseOtherKind();
  return new MirrorlatchError('BUSY', `${mirror.root} has lost the snapshot ${id}`);
}
