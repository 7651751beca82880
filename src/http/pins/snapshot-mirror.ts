import { openSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { hasCode, MirrorlatchError } from '../../errors.ts';
import { channelAt, channelsOf } from '../../mirror/channels/channels.ts';
import { currentId, previousId } from '../../mirror/current.ts';
import { type HistoryEntry, publicationOf, readHistory } from '../../mirror/history/history.ts';
import { arrivalOf, inOrderOfPublication } from '../../mirror/history/snapshot-times.ts';
import { type Layout, LIVE } from '../../mirror/layout.ts';
import { isChannelName } from '../../mirror/settings/policy.ts';
import { isSnapshotId } from '../../mirror/snapshot-id.ts';
import { isOfPerson, snapshotIds } from '../../mirror/survey.ts';
import { current } from '../../reader/current.ts';
import { pin } from '../../reader/pin.ts';
import { ifThere, markOf } from '../../system/files.ts';
import { quoteForSh } from '../../system/quote.ts';
import { type Hold, Holds, holdCurrent, type Snapshot } from './holds.ts';
import {
  type Publication,
  refuseOtherKind,
  type ServedMirror,
  type ServedRoot,
} from './served-mirror.ts';

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

export class SnapshotMirror implements ServedMirror {
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
