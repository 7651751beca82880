import { type Answer, text } from '../answers.ts';
import { tagOfTree } from '../files/hand-over.ts';
import { fromLatin1, inLatin1 } from '../latin1.ts';
import { documentKind } from '../pins/entry-documents.ts';
import type { Hold, Snapshot } from '../pins/holds.ts';
import type { Pins } from '../pins/pins.ts';
import type { DecisionPolicy } from '../pins/run-rules.ts';
import {
  holdChannel,
  isFrozen,
  isLost,
  lostSnapshot,
  type ServedMirror,
} from '../pins/served-mirror.ts';
import { type Exchange, headerOf } from './exchange.ts';
import { type Peers, peerOf } from './peers.ts';

export interface DecisionOptions {
  readonly mirrors: readonly ServedMirror[];
  readonly pinsOf: (mirror: ServedMirror) => Pins;
  /** Of clients that read what is not current. */
  readonly timedPinsOf: (mirror: ServedMirror) => Pins;
  readonly peers: Peers;
  readonly policy: DecisionPolicy;
  readonly onWarning: (message: string) => void;
}

/** In requests of a web server in front: the snapshot that it has for the client. */
const SNAPSHOT = 'X-Mirrorlatch-Snapshot';

/** What web servers in front are told: from which snapshot to send to their client. */
export class Decisions {
  readonly #options: DecisionOptions;
  #hasRefused = false;
  #hasMissed = false;

  constructor(options: DecisionOptions) {
    this.#options = options;
  }

  /**
   * Where the snapshot of the client lies.
   *
   * @param place the name of a mirror, or NAME/CHANNEL, one character per byte (latin1).
   */
  async answer(place: string, exchange: Exchange): Promise<Answer> {
    const { mirrors, peers, policy } = this.#options;
    if (!peers.isTrusted(exchange)) return this.#refuse(exchange);
    const [name = '', channel] = place.split('/');
    const mirror = mirrors.find((one) => one.name === fromLatin1(name));
    if (mirror === undefined) return this.#miss(name);
    if (channel !== undefined && mirror.channelId(channel) === undefined)
      return text(410, `There is no channel ${JSON.stringify(channel)}.`);
    const hold =
      mirror.kind === 'in-place'
        ? await heldForAMoment(mirror)
        : await this.#decide(mirror, channel, exchange);
    if (mirror.kind !== 'in-place' && isLost(mirror, hold)) {
      throw lostSnapshot(mirror, hold.id);
    }
    const seconds = mirror.kind === 'in-place' ? 0 : Math.floor(policy.keepMs / 1000);
    return text(204, '', {
      'X-Mirrorlatch-Tree': inLatin1(hold.tree),
      [SNAPSHOT]: hold.id,
      // RFC 5861: a web server may go on with it that long when this process has ended.
      'Cache-Control': `max-age=${seconds}, stale-if-error=${seconds}`,
      ...(isFrozen(mirror) ? { ETag: tagOfTree(hold.tree) } : {}),
    });
  }

  #decide(mirror: ServedMirror, channel: string | undefined, exchange: Exchange): Promise<Hold> {
    const { pinsOf, timedPinsOf, peers, policy } = this.#options;
    const path = (headerOf(exchange, 'x-original-uri') ?? '').replace(/[?#].*/s, '');
    const asked = { path, kind: documentKind(path) };
    if (channel === undefined)
      return pinsOf(mirror).decide(peers.clientOf(exchange), asked, policy);
    const client = peers.clientOfChannel(exchange, channel);
    return timedPinsOf(mirror).decide(client, asked, policy, () => holdChannel(mirror, channel));
  }

  /**
   * The snapshot that a web server in front has for the client. It asks for what it does not find there, and
   * goes on with it, so such a request begins no run.
   *
   * @throws MirrorlatchError BUSY when that snapshot is gone: another one would be mixed with what the client has of it.
   */
  before(mirror: ServedMirror, exchange: Exchange): Snapshot | undefined {
    const id = headerOf(exchange, SNAPSHOT.toLowerCase());
    if (id === undefined || !this.#options.peers.isTrusted(exchange)) return undefined;
    const found = mirror.find(id);
    if (found === undefined) throw lostSnapshot(mirror, id);
    return found;
  }

  /** A web server in front whose configuration is that of other mirrors sends what is current, unpinned: that is said once. */
  #miss(name: string): Answer {
    const shown = JSON.stringify(name);
    if (!this.#hasMissed) {
      this.#options.onWarning(
        `a web server asks for the mirror ${shown}, which is not served here: print its configuration again, with the same mirrors`,
      );
    }
    this.#hasMissed = true;
    return text(404, `There is no mirror ${shown}.`);
  }

  /** A web server in front that is not trusted sends what is current, unpinned: that is said once. */
  #refuse(exchange: Exchange): Answer {
    if (!this.#hasRefused) {
      const way = 'If that is a web server of yours, start with --trust-proxy and this address.';
      this.#options.onWarning(
        `${peerOf(exchange)} asked for a decision, and is not trusted. ${way}`,
      );
    }
    this.#hasRefused = true;
    return text(403, 'Only trusted proxies may ask for this.');
  }
}

/** A web server in front sends an open tree in place as it would without us. */
async function heldForAMoment(mirror: ServedMirror): Promise<Hold> {
  const hold = await mirror.holdCurrent();
  hold.release();
  return hold;
}
