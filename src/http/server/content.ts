import { MirrorlatchError } from '../../errors.ts';
import { isTimestampId } from '../../mirror/snapshot-id.ts';
import { type Answer, NO_CACHE, nothingThere, redirect, text, withSlash } from '../answers.ts';
import { BASE_HEADER, CHANNEL_HEADER } from '../base-header.ts';
import { networkOf } from '../client-address.ts';
import { sendPlace } from '../files/files.ts';
import type { WebServer } from '../files/hand-over.ts';
import { SENT_BY_NGINX } from '../nginx-places.ts';
import { percentEncoded } from '../percent.ts';
import { type DocumentKind, documentKind } from '../pins/entry-documents.ts';
import { holdCurrent, type Snapshot } from '../pins/holds.ts';
import type { Pins, Turn } from '../pins/pins.ts';
import {
  holdChannel,
  isFrozen,
  isLost,
  lostSnapshot,
  type ServedMirror,
} from '../pins/served-mirror.ts';
import { idInToken, type StrictPins } from '../pins/strict-pins.ts';
import { nearestSnapshot, noSnapshotNear } from './apt-snapshots.ts';
import type { Decisions } from './decisions.ts';
import { type Exchange, whenEnded } from './exchange.ts';
import { hasBaseElsewhere } from './mirror-bases.ts';
import { basePage, currentJsonPage, noSnapshotsInPlace, snapshotsPage } from './mirror-pages.ts';
import type { Peers } from './peers.ts';
import { noPin } from './pin-requests.ts';
import type { Route } from './routes.ts';
import type { Transfers } from './transfers.ts';

/** A turn of a run, whoever holds its snapshot. */
type RunTurn = Omit<Turn, 'hold'> & { readonly hold: Snapshot };

export interface ContentOptions {
  readonly pinsOf: (mirror: ServedMirror) => Pins;
  /** Of clients that read what was current at a time. They may name any snapshot, so they count apart. */
  readonly timedPinsOf: (mirror: ServedMirror) => Pins;
  readonly strictPins: StrictPins;
  readonly peers: Peers;
  readonly decisions: Decisions;
  readonly transfers: Transfers;
  /** Told of a path that this user may not read. */
  readonly onUnreadable: (path: Buffer) => void;
}

/** How long a writer of a mirror in place waits for answers before they are cut off; ms. */
const WRITERS_PATIENCE_MS = 60_000;

const IMMUTABLE = 'public, max-age=31536000, immutable';

/** So long after an answer, a web server in front may open the file that it names. */
const OPENING_MS = 60_000;

/** Sends the files of snapshots. Each method returns undefined when the answer has been sent. */
export class Content {
  readonly #options: ContentOptions;

  constructor(options: ContentOptions) {
    this.#options = options;
  }

  /**
   * Sends a path out of the snapshot of its client's run, or what that lacks out of the newest one that has it: a
   * client may still go by the lists of an earlier run. What begins a run, or has to fit what began it, comes from
   * the snapshot of the run alone.
   */
  async ofCurrent(
    { mirror, name }: Extract<Route, { kind: 'current' }>,
    exchange: Exchange,
  ): Promise<Answer | undefined> {
    const { pinsOf, peers, decisions } = this.#options;
    if (hasBaseElsewhere(mirror)) exchange.response.setHeader(BASE_HEADER, mirror.prefix);
    if (mirror.kind === 'in-place') return await this.#sendInPlace(mirror, name, exchange);
    const path = name.toString('latin1');
    const kind = documentKind(path);
    const decided = decisions.before(mirror, exchange);
    const turn = decided
      ? turnOf(decided)
      : await pinsOf(mirror).enter(peers.clientOf(exchange), { path, kind });
    return await this.#sendOfRun(mirror, name, kind, turn, exchange);
  }

  /** The same for a channel. */
  async ofChannel(
    { mirror, channel, name }: Extract<Route, { kind: 'channel' }>,
    exchange: Exchange,
  ): Promise<Answer | undefined> {
    const { timedPinsOf, peers, decisions } = this.#options;
    if (mirror.channelId(channel) === undefined) return nothingThere();
    exchange.response.setHeader(BASE_HEADER, mirror.prefix);
    exchange.response.setHeader(CHANNEL_HEADER, channel);
    const path = name.toString('latin1');
    const kind = documentKind(path);
    const decided = decisions.before(mirror, exchange);
    const turn = decided
      ? turnOf(decided)
      : await timedPinsOf(mirror).enter(
          peers.clientOfChannel(exchange, channel),
          { path, kind },
          () => holdChannel(mirror, channel),
        );
    return await this.#sendOfRun(mirror, name, kind, turn, exchange);
  }

  async #sendOfRun(
    mirror: ServedMirror,
    name: Buffer,
    kind: DocumentKind,
    { hold, isOver, end }: RunTurn,
    exchange: Exchange,
  ): Promise<Answer | undefined> {
    const { transfers } = this.#options;
    const sendOutOf = (snapshot: Snapshot): Promise<boolean> => {
      const isInTheWay = () => isOver() || isLost(mirror, snapshot);
      transfers.note(exchange, { isInTheWay }, end);
      return this.#sendFrom(mirror, snapshot, name, NO_CACHE, exchange);
    };
    if (await sendOutOf(hold)) return undefined;
    if (isLost(mirror, hold)) throw lostSnapshot(mirror, hold.id);
    if (kind === 'content') {
      for (const id of mirror.retained()) {
        const other = id === hold.id ? undefined : mirror.find(id);
        if (other !== undefined && (await sendOutOf(other))) return undefined;
      }
    }
    return nothingThere();
  }

  /** Sends a path of one snapshot. @param name raw bytes below it. */
  async ofSnapshot(
    mirror: ServedMirror,
    id: string,
    name: Buffer,
    exchange: Exchange,
  ): Promise<Answer | undefined> {
    const snapshot = mirror.find(id);
    if (snapshot === undefined) return await this.#leadToNearest(mirror, id, name, exchange);
    const isSent = await this.#sendUnheld(mirror, snapshot, name, cachingOf(mirror, id), exchange);
    if (isSent) return undefined;
    // It may have been removed just now.
    if (mirror.find(id) === undefined) {
      return await this.#leadToNearest(mirror, id, name, exchange);
    }
    return nothingThere();
  }

  /** Sends what lies below a strict pin. */
  async ofPin(
    { mirror, token, within }: Extract<Route, { kind: 'pinned' }>,
    exchange: Exchange,
  ): Promise<Answer | undefined> {
    const pin = this.#options.strictPins.find(mirror, token);
    if (pin === 'ended') return noPin(pin);
    const snapshot = pin?.hold ?? mirror.find(idInToken(token));
    if (snapshot === undefined) return noPin(undefined);
    switch (within.kind) {
      case 'current':
        if (await this.#sendUnheld(mirror, snapshot, within.name, NO_CACHE, exchange)) {
          return undefined;
        }
        return isLost(mirror, snapshot) ? noPin('ended') : nothingThere();
      case 'snapshot':
        return await this.ofSnapshot(mirror, within.id, within.name, exchange);
      case 'current.json':
        return currentJsonPage(mirror, snapshot.id);
      case 'snapshots':
        return snapshotsPage(mirror.publications([snapshot.id]), snapshot.id, exchange);
      case 'base':
        return basePage(mirror, snapshot.id, exchange);
      case 'slash':
        return withSlash(exchange.request.url ?? '');
      case 'nothing':
        return nothingThere();
    }
  }

  /**
   * Sends a path of a snapshot without a lease of its own: once a file is open, nothing that becomes of its name
   * changes it. Only the room on the disk of a removed one is in the way.
   */
  async #sendUnheld(
    mirror: ServedMirror,
    snapshot: Snapshot,
    name: Buffer,
    cacheControl: string,
    exchange: Exchange,
  ): Promise<boolean> {
    const isInTheWay = () => isLost(mirror, snapshot);
    this.#options.transfers.note(exchange, { isInTheWay });
    return await this.#sendFrom(mirror, snapshot, name, cacheControl, exchange);
  }

  /** Each answer holds the tree, which is written where it is: a writer waits for all of them. */
  async #sendInPlace(
    mirror: ServedMirror,
    name: Buffer,
    exchange: Exchange,
  ): Promise<Answer | undefined> {
    const hold = await mirror.holdCurrent();
    const isInTheWay = () => mirror.writerWaitsMs() !== undefined;
    const isPressing = () => (mirror.writerWaitsMs() ?? 0) >= WRITERS_PATIENCE_MS;
    this.#options.transfers.note(exchange, { isInTheWay, isPressing }, hold.release);
    const isSent = await this.#sendFrom(mirror, hold, name, NO_CACHE, exchange);
    return isSent ? undefined : nothingThere();
  }

  /**
   * Leads to the last snapshot before a time, as apt asks for one, and holds that for the client's run: when it goes,
   * or there is a nearer one, the run would go on in another.
   */
  async #leadToNearest(
    mirror: ServedMirror,
    wanted: string,
    name: Buffer,
    exchange: Exchange,
  ): Promise<Answer> {
    const { timedPinsOf, peers } = this.#options;
    const said = JSON.stringify(wanted);
    if (mirror.kind === 'in-place') return noSnapshotsInPlace();
    if (mirror.isGone(wanted)) return text(410, `The snapshot ${said} has been removed.`);
    const nearest = () => nearestSnapshot(mirror.retained(), wanted);
    if (nearest() === undefined) {
      const place = `${mirror.prefix}snapshots/`;
      return text(404, noSnapshotNear(mirror.retained(), wanted, place));
    }
    const path = name.toString('latin1');
    const { address, agent } = peers.clientOf(exchange);
    const { hold, end } = await timedPinsOf(mirror).enter(
      { address, agent: `${agent} ${wanted}` },
      { path, kind: documentKind(path) },
      async () => {
        const held = await holdCurrent(nearest, (id) => mirror.hold(id));
        if (held !== undefined) return held;
        throw new MirrorlatchError('NO_MIRROR', `${mirror.root} has no snapshot before ${wanted}`);
      },
    );
    whenEnded(exchange, end);
    const [, query = ''] = /^[^?#]*(.*)$/s.exec(exchange.request.url ?? '') ?? [];
    return redirect(`${mirror.prefix}snapshots/${hold.id}/${encodedPath(path)}${query}`);
  }

  async #sendFrom(
    mirror: ServedMirror,
    { id, tree, isReplaced }: Snapshot,
    name: Buffer,
    cacheControl: string,
    exchange: Exchange,
  ): Promise<boolean> {
    const { request, response } = exchange;
    const url = (request.url ?? '').replace(/[?#].*/s, '');
    const otherTrees = () => mirror.treesBut(id);
    const webServer = this.#webServer(mirror, exchange);
    const { onUnreadable, peers } = this.#options;
    const place = {
      tree,
      name,
      url,
      cacheControl,
      snapshotId: id,
      isFrozen: isFrozen(mirror),
      isReplaced,
      otherTrees,
      webServer,
      client: () => networkOf(peers.addressOf(exchange)),
      onUnreadable,
    };
    const isSent = (await sendPlace(request, response, place)) === 'sent';
    if (isSent && webServer !== undefined) await this.#keepForOpening(mirror, id);
    return isSent;
  }

  /**
   * The web server in front that asks where a file is, to send it itself. A tree in place is sent by us: no writer may
   * enter until the answer has ended.
   */
  #webServer({ kind }: ServedMirror, exchange: Exchange): WebServer | undefined {
    if (exchange.isForNginx !== true || kind === 'in-place') return undefined;
    return { place: SENT_BY_NGINX };
  }

  /**
   * A web server opens a file as soon as it is told which, and may then go on sending it after the snapshot was
   * removed: what is published is never written to, only unlinked. So a lease is needed until then, not until the
   * client has the file. A web server that comes too late finds nothing, and asks once more, for the bytes.
   */
  async #keepForOpening(mirror: ServedMirror, id: string): Promise<void> {
    const hold = await mirror.hold(id);
    if (hold !== undefined) this.#options.pinsOf(mirror).keep(hold, OPENING_MS);
  }
}

/** A web server in front has begun the run, and ends it. */
function turnOf(decided: Snapshot): RunTurn {
  return { hold: decided, isOver: () => false, end: () => {} };
}

/** A name that a user or another program gave may come again, with other content. */
function cachingOf(mirror: ServedMirror, id: string): string {
  return isFrozen(mirror) && isTimestampId(id) ? IMMUTABLE : NO_CACHE;
}

/** @param path one character per byte (latin1). */
function encodedPath(path: string): string {
  return percentEncoded(path, /[^A-Za-z0-9\-._~!$&'()*+,;=:@/]/g);
}
