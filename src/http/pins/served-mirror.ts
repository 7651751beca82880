import { lstatSync, openSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { hasCode, MirrorlatchError } from '../../errors.ts';
import { channelAt, channelsOf } from '../../mirror/channels/channels.ts';
import { currentId, previousId } from '../../mirror/current.ts';
import { type HistoryEntry, publicationOf, readHistory } from '../../mirror/history/history.ts';
import { arrivalOf, inOrderOfPublication } from '../../mirror/history/snapshot-times.ts';
import { type Layout, LIVE } from '../../mirror/layout.ts';
import { isInPlace, recordIfSound } from '../../mirror/locks/gate.ts';
import { findMirror } from '../../mirror/open.ts';
import { isChannelName } from '../../mirror/settings/policy.ts';
import { isSnapshotId } from '../../mirror/snapshot-id.ts';
import { isOfPerson, snapshotIds } from '../../mirror/survey.ts';
import { current } from '../../reader/current.ts';
import { pin } from '../../reader/pin.ts';
import { ifThere, lstatIfThere, markOf } from '../../system/files.ts';
import { quoteForSh } from '../../system/quote.ts';
import { idOfTree, treeOfId } from '../tree-id.ts';
import { type Hold, Holds, holdCurrent, type Snapshot } from './holds.ts';

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

/**
 * Opens a mirror, or a tree with a symlink `current` that another program keeps.
 *
 * @throws MirrorlatchError NO_MIRROR when it is neither; as `openMirror`.
 */
export function serveMirror(served: ServedRoot): ServedMirror {
  const mirror = findMirror(served.root);
  if (mirror === undefined) return new ForeignTree(served);
  const { layout } = mirror;
  return isInPlace(layout) ? new InPlaceMirror(served, layout) : new SnapshotMirror(served, layout);
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
function refuseOtherKind({ root, kind }: Pick<ServedMirror, 'root' | 'kind'>): void {
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

/** What a mirror says of its snapshots in one state of it. */
interface Known {
  readonly state: string;
  readonly history: readonly HistoryEntry[];
  /** The newest first. */
  readonly ids: readonly string[];
  /** The real path of the directory in which they lie. */
  readonly home: string;
}

/** What history says of publications, as long as it has the same mark. */
interface Recorded {
  readonly mark: string;
  /** When each snapshot was published last, by its id; ISO 8601, UTC. */
  readonly times: ReadonlyMap<string, string>;
}

class SnapshotMirror implements ServedMirror {
  readonly kind = 'snapshots';
  readonly name: string;
  readonly prefix: string;
  readonly content: string;
  readonly root: string;
  readonly #layout: Layout;
  readonly #holds: Holds;
  #known: Known | undefined;
  #recorded: Recorded | undefined;
  /** The directory of the leases, see `findReaders`; open until this process ends. */
  #claim: number | undefined;

  constructor({ name, prefix, content }: ServedRoot, layout: Layout) {
    this.name = name;
    this.prefix = prefix;
    this.content = content;
    this.root = layout.root;
    this.#layout = layout;
    this.#holds = new Holds((id) => {
      this.#claimFiles();
      return take(layout, id);
    });
  }

  async holdCurrent(): Promise<Hold> {
    const held = await holdCurrent(
      () => this.currentId(),
      (id) => this.#holds.hold(id),
    );
    if (held !== undefined) return held;
    this.refuseOtherKind();
    // Says what is wrong.
    const { id } = current(this.root);
    throw new MirrorlatchError('IO', `the snapshot ${id} of ${this.root} has no lease to take`, {
      hint: `The next sync restores it: mirrorlatch sync ${quoteForSh(this.root)}`,
    });
  }

  async hold(id: string): Promise<Hold | undefined> {
    return isSnapshotId(id) ? await this.#holds.hold(id) : undefined;
  }

  async recall(id: string): Promise<Hold | undefined> {
    return await this.hold(id);
  }

  identities(): undefined {}

  find(id: string): Snapshot | undefined {
    const { ids, home } = this.#look();
    if (!ids.includes(id)) return undefined;
    this.#claimFiles();
    return { id, tree: join(home, id) };
  }

  writerWaitsMs(): undefined {}

  /** Says that leases are all that keeps snapshots for this process: a slow client's open file does not. */
  #claimFiles(): void {
    this.#claim ??= ifThere(() => openSync(this.#layout.leases, 'r'));
  }

  retained(): readonly string[] {
    return this.#look().ids;
  }

  treesBut(id: string): readonly string[] {
    const others = this.retained().filter((other) => other !== id);
    return others.map((other) => this.#layout.snapshot(other));
  }

  isGone(id: string): boolean {
    const { ids, history } = this.#look();
    return !ids.includes(id) && publicationOf(history, id) !== undefined;
  }

  /** Reads what it depends on again only when that has changed. */
  #look(): Known {
    const { snapshots, current: link } = this.#layout;
    // The snapshots may have been moved to another disk, with a symlink in their place.
    const changed = ifThere(() => statSync(snapshots, { bigint: true }))?.mtimeNs;
    const state = `${changed} ${ifThere(() => readlinkSync(link))}`;
    if (this.#known?.state === state) return this.#known;
    this.refuseOtherKind();
    const history = readHistory(this.#layout);
    const arrivedAt = (id: string) => arrivalOf(this.#layout, id);
    const isForeign = isOfPerson(this.#layout, history);
    const own = snapshotIds(this.#layout).filter((id) => !isForeign(id));
    const ids = inOrderOfPublication(history, own, arrivedAt).reverse();
    const home = ifThere(() => realpathSync(snapshots)) ?? snapshots;
    this.#known = { state, history, ids, home };
    return this.#known;
  }

  refuseOtherKind(): void {
    refuseOtherKind(this);
  }

  /** @throws MirrorlatchError CONFIGURATION when the mirror has been made one in place since. */
  currentId(): string | undefined {
    const id = currentId(this.#layout);
    if (id === LIVE) this.refuseOtherKind();
    return id;
  }

  channelId(name: string): string | undefined {
    const channel = isChannelName(name) ? channelAt(this.#layout, name) : undefined;
    return channel?.isWhole ? channel.id : undefined;
  }

  channels(): readonly string[] {
    return channelsOf(this.#layout).flatMap(({ name, isWhole }) => (isWhole ? [name] : []));
  }

  previousId(): string | undefined {
    return previousId(this.#layout);
  }

  publications(ids: readonly string[]): Publication[] {
    const { times } = this.#readRecorded();
    return ids.map((id) => {
      const at = times.get(id) ?? new Date(arrivalOf(this.#layout, id)).toISOString();
      return { id, publishedAt: at };
    });
  }

  /** Reads history again only when it has changed: anybody may ask for what it says, again and again. */
  #readRecorded(): Recorded {
    const mark = markOf(this.#layout.history);
    if (this.#recorded?.mark === mark) return this.#recorded;
    const times = new Map<string, string>();
    for (const entry of readHistory(this.#layout)) {
      if (entry.event === 'published') times.set(entry.id, entry.at);
    }
    this.#recorded = { mark, times };
    return this.#recorded;
  }
}

class InPlaceMirror implements ServedMirror {
  readonly kind = 'in-place';
  readonly name: string;
  readonly prefix: string;
  readonly content: string;
  readonly root: string;
  readonly #layout: Layout;

  constructor({ name, prefix, content }: ServedRoot, layout: Layout) {
    this.name = name;
    this.prefix = prefix;
    this.content = content;
    this.root = layout.root;
    this.#layout = layout;
  }

  /** Each answer has a lease of its own: a shared one would keep a writer from its turn. */
  async holdCurrent(): Promise<Hold> {
    const { id, path, release } = await pin({ root: this.root }).catch((error) => {
      this.refuseOtherKind();
      throw error;
    });
    if (id === LIVE) return { id, tree: path, release };
    release();
    this.refuseOtherKind();
    throw new MirrorlatchError('BUSY', `${this.root} is being replaced`);
  }

  refuseOtherKind(): void {
    refuseOtherKind(this);
  }

  async hold(): Promise<undefined> {}

  async recall(): Promise<undefined> {}

  identities(): undefined {}

  find(): undefined {}

  writerWaitsMs(): number | undefined {
    const gate = recordIfSound(this.#layout);
    return gate?.state === 'closing' ? Date.now() - Date.parse(gate.since) : undefined;
  }

  retained(): readonly string[] {
    return [];
  }

  treesBut(): readonly string[] {
    return [];
  }

  isGone(): boolean {
    return false;
  }

  currentId(): string | undefined {
    return currentId(this.#layout);
  }

  channelId(): undefined {}

  channels(): readonly string[] {
    return [];
  }

  previousId(): undefined {}

  publications(): Publication[] {
    return [];
  }
}

/** How many trees are remembered that `current` has named. */
const MAX_SEEN = 64;

/** Where a tree lies, and which of those it is that have lain there. */
interface SeenTree {
  readonly tree: string;
  readonly identity: string;
}

/** A tree of another program: no lease keeps what it removes. */
class ForeignTree implements ServedMirror {
  readonly kind = 'foreign';
  readonly name: string;
  readonly prefix: string;
  readonly content: string;
  readonly root: string;
  /** What `current` has named since the start, by its id; the newest last. */
  readonly #seen = new Map<string, SeenTree>();

  constructor({ name, prefix, content, root }: ServedRoot) {
    this.name = name;
    this.prefix = prefix;
    this.content = content;
    this.root = current(root).root;
    this.currentId();
  }

  async holdCurrent(): Promise<Hold> {
    this.refuseOtherKind();
    const { pathBytes } = current(this.root);
    const id = this.currentId();
    const held = id === undefined ? undefined : await this.hold(id);
    if (held !== undefined) return held;
    throw new MirrorlatchError('NO_MIRROR', `${this.root}/current leads to no directory`, {
      ...(pathBytes && { hint: 'Give its directory a path that is UTF-8.' }),
    });
  }

  async hold(id: string): Promise<Hold | undefined> {
    const found = this.find(id);
    return found && { ...found, release: () => {} };
  }

  find(id: string): Snapshot | undefined {
    const seen = this.#seen.get(id);
    if (seen === undefined) return undefined;
    const { tree, identity } = seen;
    const isReplaced = () => identityAt(tree) !== identity;
    return isReplaced() ? undefined : { id, tree, isReplaced };
  }

  async recall(id: string, identity: string | undefined): Promise<Hold | undefined> {
    const tree = treeOfId(this.root, id);
    const isSame = ifThere(() => realpathSync(tree)) === tree && identityAt(tree) === identity;
    if (!isSame || identity === undefined) return undefined;
    if (!this.#seen.has(id)) this.#seen.set(id, { tree, identity });
    this.currentId();
    return await this.hold(id);
  }

  identities(): Record<string, string> {
    return Object.fromEntries([...this.#seen].map(([id, { identity }]) => [id, identity]));
  }

  writerWaitsMs(): undefined {}

  refuseOtherKind(): void {
    refuseOtherKind(this);
  }

  retained(): readonly string[] {
    this.currentId();
    return [...this.#seen.keys()].filter((id) => this.find(id) !== undefined).reverse();
  }

  treesBut(id: string): readonly string[] {
    return [...this.#seen].flatMap(([other, { tree }]) => (other === id ? [] : [tree]));
  }

  isGone(): boolean {
    return false;
  }

  currentId(): string | undefined {
    const tree = ifThere(() => realpathSync(join(this.root, 'current')));
    const identity = tree && identityAt(tree);
    if (tree === undefined || identity === undefined) return undefined;
    const id = this.#idOf(tree, identity);
    this.#seen.delete(id);
    this.#seen.set(id, { tree, identity });
    const [oldest] = this.#seen.keys();
    if (this.#seen.size > MAX_SEEN && oldest !== undefined) this.#seen.delete(oldest);
    return id;
  }

  /** The one that it has, or another than all that have lain there. */
  #idOf(tree: string, identity: string): string {
    for (const [id, one] of this.#seen) {
      if (one.tree === tree && one.identity === identity) return id;
    }
    let turn = 1;
    while (this.#seen.has(idOfTree(this.root, tree, turn))) turn += 1;
    return idOfTree(this.root, tree, turn);
  }

  channelId(): undefined {}

  channels(): readonly string[] {
    return [];
  }

  previousId(): undefined {}

  /** When the directories were changed last. */
  publications(ids: readonly string[]): Publication[] {
    return ids.map((id) => {
      const seen = this.#seen.get(id);
      const changed = seen === undefined ? undefined : lstatIfThere(seen.tree)?.mtimeNs;
      return { id, publishedAt: new Date(Number(changed ?? 0n) / 1e6).toISOString() };
    });
  }
}

/** Which directory lies there: another one has another time of birth, should it get the same inode. */
function identityAt(tree: string): string | undefined {
  const status = ifThere(() => lstatSync(tree, { bigint: true }));
  if (!status?.isDirectory()) return undefined;
  return [status.dev, status.ino, status.birthtimeNs].join('.');
}

async function take(layout: Layout, id: string): Promise<Hold | undefined> {
  try {
    const { path, release } = await pin({ root: layout.root, id });
    // The snapshots may have been moved to another disk, with a symlink in their place.
    return { id, tree: realpathSync(path), release };
  } catch (error) {
    if (hasCode(error, 'NO_MIRROR')) return undefined;
    throw error;
  }
}
