import { statSync } from 'node:fs';
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { hasCode, MirrorlatchError } from '../../errors.ts';
import { currentJson } from '../../mirror/current-json.ts';
import { isTimestampId } from '../../mirror/snapshot-id.ts';
import { type Answer, RETRY_AFTER, send, text } from '../answers.ts';
import { BASE_HEADER } from '../base-header.ts';
import { plainAddress, type TrustedProxies, UNIX } from '../client-address.ts';
import { sendPlace } from '../files/files.ts';
import { validatorsOf } from '../files/validators.ts';
import { percentEncoded } from '../percent.ts';
import { documentKind } from '../pins/entry-documents.ts';
import { type Hold, holdCurrent } from '../pins/holds.ts';
import type { DecisionPolicy, Pins, Turn } from '../pins/pins.ts';
import type { Client } from '../pins/run-table.ts';
import type { ServedMirror } from '../pins/served-mirror.ts';
import { idInToken, type StrictPins } from '../pins/strict-pins.ts';
import { aptLocation, nearestSnapshot } from './apt-snapshots.ts';
import { changePin, makePin, noPin } from './pin-requests.ts';
import { type Route, routeOf } from './routes.ts';

export interface HandlerOptions {
  readonly mirrors: readonly ServedMirror[];
  readonly pinsOf: (mirror: ServedMirror) => Pins;
  readonly strictPins: StrictPins;
  readonly proxies: TrustedProxies;
  readonly decisions: DecisionPolicy;
  /** Answers what lies below `/-/`, but for the decisions. */
  readonly ownPage: (path: string) => Promise<Answer | undefined>;
  /** Told of a failure that is not the client's. */
  readonly onWarning: (message: string) => void;
}

const NO_CACHE = 'no-cache';
const IMMUTABLE = 'public, max-age=31536000, immutable';

/** Of a User-Agent, so many characters tell one client from another. */
const LONGEST_AGENT = 200;

const READS = ['GET', 'HEAD'];

/** Answers the requests of readers. Nothing that a client sends changes more than its own pins. */
export class Handler {
  readonly #options: HandlerOptions;
  #hasRefused = false;

  constructor(options: HandlerOptions) {
    this.#options = options;
  }

  /** The address of the client, behind the proxies that are trusted. */
  addressOf(request: IncomingMessage, isUnix: boolean): string {
    const forwarded = headerOf(request, 'x-forwarded-for');
    return this.#options.proxies.client(peerOf(request, isUnix), forwarded);
  }

  /** @param isUnix whether the request came by a unix socket. */
  async answer(request: IncomingMessage, response: ServerResponse, isUnix: boolean): Promise<void> {
    try {
      const answer = await this.#answerFor(request, response, isUnix);
      if (answer !== undefined) send(response, answer);
    } catch (error) {
      const isGone = request.socket === null || request.socket.destroyed;
      if (response.headersSent || isGone) {
        response.destroy();
        return;
      }
      for (const name of response.getHeaderNames()) response.removeHeader(name);
      send(response, this.#answerForError(error));
    }
  }

  #answerForError(error: unknown): Answer {
    const said = error instanceof Error ? error.message : String(error);
    if (hasCode(error, 'BUSY') || hasCode(error, 'NO_MIRROR')) {
      return text(503, `This mirror cannot be read now: ${withoutPaths(said)}`, RETRY_AFTER);
    }
    this.#options.onWarning(said);
    return text(500, 'The server has failed. Its log says why.');
  }

  /** @returns undefined when the answer has been sent. */
  async #answerFor(
    request: IncomingMessage,
    response: ServerResponse,
    isUnix: boolean,
  ): Promise<Answer | undefined> {
    const { mirrors, strictPins } = this.#options;
    const route = routeOf(request.url ?? '', mirrors);
    const isOfPins = route.kind === 'pins' || route.kind === 'pin';
    const allowed =
      route.kind === 'pins' ? ['POST'] : [...READS, ...(isOfPins ? ['PUT', 'DELETE'] : [])];
    if (!allowed.includes(request.method ?? '')) {
      const Allow = allowed.join(', ');
      return text(405, `This can be asked for by ${Allow} only.`, { Allow, Connection: 'close' });
    }
    switch (route.kind) {
      case 'invalid':
        return text(400, `This request is invalid: ${route.why}.`);
      case 'nothing':
        return nothingThere();
      case 'slash':
        return withSlash(request.url ?? '');
      case 'own':
        return await this.#own(route.path, request, isUnix);
      case 'pins':
        return await makePin(route.mirror, request, this.addressOf(request, isUnix), strictPins);
      case 'pin':
        return await changePin(route.mirror, route.token, request, strictPins);
      case 'pinned':
        return await this.#sendPinned(route, request, response);
      case 'current':
        return await this.#sendCurrent(route, request, response, isUnix);
      case 'snapshot':
        return await this.#sendSnapshot(route.mirror, route.id, route.name, request, response);
      case 'snapshots':
        return text(200, route.mirror.retained().join('\n'), { 'Cache-Control': NO_CACHE });
      case 'base':
        return text(200, ['current/', 'current.json', 'snapshots/'].join('\n'));
      case 'current.json':
        return currentOf(route.mirror, route.mirror.currentId());
    }
  }

  /**
   * Sends a path out of the snapshot of its client's run, or what that lacks out of the newest one that has it: a
   * client may still go by the lists of an earlier run. What begins a run, or has to fit what began it, comes from
   * the snapshot of the run alone.
   */
  async #sendCurrent(
    { mirror, name }: Extract<Route, { kind: 'current' }>,
    request: IncomingMessage,
    response: ServerResponse,
    isUnix: boolean,
  ): Promise<Answer | undefined> {
    if (!mirror.content.startsWith(mirror.prefix)) {
      response.setHeader(BASE_HEADER, mirror.prefix);
    }
    if (mirror.kind === 'in-place') return await this.#sendInPlace(mirror, name, request, response);
    const path = name.toString('latin1');
    const kind = documentKind(path);
    const { hold, end } =
      (await this.#decidedBefore(mirror, request, isUnix)) ??
      (await this.#options.pinsOf(mirror).enter(this.#clientOf(request, isUnix), { path, kind }));
    whenEnded(response, end);
    const isSent = await sendFrom(hold, name, NO_CACHE, request, response);
    if (isSent) return undefined;
    if (kind === 'content') {
      for (const id of mirror.retained()) {
        if (id === hold.id) continue;
        const other = await mirror.hold(id);
        if (other === undefined) continue;
        const isThere = await sendHeld(other, name, NO_CACHE, request, response);
        if (isThere) return undefined;
      }
    }
    return nothingThere();
  }

  /**
   * The snapshot that a web server in front has for the client. It asks for what it does not find there, and
   * goes on with it, so such a request begins no run.
   */
  async #decidedBefore(
    mirror: ServedMirror,
    request: IncomingMessage,
    isUnix: boolean,
  ): Promise<Turn | undefined> {
    const id = headerOf(request, 'x-mirrorlatch-snapshot');
    if (id === undefined || !this.#isTrusted(request, isUnix)) return undefined;
    const hold = await mirror.hold(Buffer.from(id, 'latin1').toString());
    return hold && { hold, end: hold.release };
  }

  #isTrusted(request: IncomingMessage, isUnix: boolean): boolean {
    return this.#options.proxies.trusts(peerOf(request, isUnix));
  }

  async #sendInPlace(
    mirror: ServedMirror,
    name: Buffer,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<Answer | undefined> {
    const hold = await mirror.holdCurrent();
    const isSent = await sendHeld(hold, name, NO_CACHE, request, response);
    return isSent ? undefined : nothingThere();
  }

  async #sendSnapshot(
    mirror: ServedMirror,
    id: string,
    name: Buffer,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<Answer | undefined> {
    const hold = await mirror.hold(id);
    if (hold === undefined) return await this.#leadToNearest(mirror, id, name, request, response);
    const isSent = await sendHeld(hold, name, cachingOf(id), request, response);
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
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<Answer> {
    const said = JSON.stringify(wanted);
    if (mirror.isGone(wanted)) return text(410, `The snapshot ${said} has been removed.`);
    const nearest = () => nearestSnapshot(mirror.retained(), wanted);
    if (nearest() === undefined) return text(404, `There is no snapshot ${said}.`);
    const path = name.toString('latin1');
    const { address, agent } = this.#clientOf(request, false);
    const { hold, end } = await this.#options
      .pinsOf(mirror)
      .enter(
        { address, agent: `${agent} ${wanted}` },
        { path, kind: documentKind(path) },
        async () => {
          const held = await holdCurrent(nearest, (id) => mirror.hold(id));
          if (held !== undefined) return held;
          throw new MirrorlatchError(
            'NO_MIRROR',
            `${mirror.root} has no snapshot before ${wanted}`,
          );
        },
      );
    whenEnded(response, end);
    const [, query = ''] = /^[^?#]*(.*)$/s.exec(request.url ?? '') ?? [];
    return redirect(`${mirror.prefix}snapshots/${hold.id}/${encodedPath(path)}${query}`);
  }

  async #sendPinned(
    { mirror, token, within }: Extract<Route, { kind: 'pinned' }>,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<Answer | undefined> {
    const pin = this.#options.strictPins.find(mirror, token);
    if (pin === 'ended') return noPin(pin);
    const hold = await mirror.hold(pin?.hold.id ?? idInToken(token));
    if (hold === undefined) return noPin(undefined);
    if (within.kind === 'current') {
      const isSent = await sendHeld(hold, within.name, NO_CACHE, request, response);
      return isSent ? undefined : nothingThere();
    }
    hold.release();
    switch (within.kind) {
      case 'snapshot':
        return await this.#sendSnapshot(mirror, within.id, within.name, request, response);
      case 'current.json':
        return currentOf(mirror, hold.id);
      case 'snapshots':
        return text(200, hold.id);
      case 'base':
        return text(200, ['current/', 'current.json', 'snapshots/'].join('\n'));
      case 'slash':
        return withSlash(request.url ?? '');
      case 'nothing':
        return nothingThere();
    }
  }

  async #own(path: string, request: IncomingMessage, isUnix: boolean): Promise<Answer> {
    const name = /^decide\/(.+)$/.exec(path)?.[1];
    if (name !== undefined) return await this.#decide(name, request, isUnix);
    if (path.startsWith('apt/')) return redirectApt(request.url ?? '', this.#options.mirrors);
    return (await this.#options.ownPage(path)) ?? nothingThere();
  }

  /** Tells a web server in front where the snapshot of its client lies. */
  async #decide(name: string, request: IncomingMessage, isUnix: boolean): Promise<Answer> {
    const { mirrors, decisions } = this.#options;
    if (!this.#isTrusted(request, isUnix)) return this.#refuseDecision(request);
    const mirror = mirrors.find((one) => one.name === Buffer.from(name, 'latin1').toString());
    if (mirror === undefined) return text(404, `There is no mirror ${JSON.stringify(name)}.`);
    const path = (headerOf(request, 'x-original-uri') ?? '').replace(/[?#].*/s, '');
    const asked = { path, kind: documentKind(path) };
    const hold =
      mirror.kind === 'in-place'
        ? await heldForAMoment(mirror)
        : await this.#options
            .pinsOf(mirror)
            .decide(this.#clientOf(request, isUnix), asked, decisions);
    const seconds = mirror.kind === 'in-place' ? 0 : Math.floor(decisions.keepMs / 1000);
    return text(204, '', {
      'X-Mirrorlatch-Tree': headerText(hold.tree),
      [SNAPSHOT]: headerText(hold.id),
      // RFC 5861: a web server may go on with it that long when this process has ended.
      'Cache-Control': `max-age=${seconds}, stale-if-error=${seconds}`,
      ...(mirror.kind === 'snapshots' ? { ETag: tagOf(hold) } : {}),
    });
  }

  /** A web server in front that is not trusted sends what is current, unpinned: that is said once. */
  #refuseDecision(request: IncomingMessage): Answer {
    const peer = plainAddress(request.socket.remoteAddress ?? '');
    if (!this.#hasRefused) {
      const way = 'If that is a web server of yours, start with --trust-proxy and this address.';
      this.#options.onWarning(`${peer} asked for a decision, and is not trusted. ${way}`);
    }
    this.#hasRefused = true;
    return text(403, 'Only trusted proxies may ask for this.');
  }

  #clientOf(request: IncomingMessage, isUnix: boolean): Client {
    const agent = headerOf(request, 'user-agent') ?? '';
    return { address: this.addressOf(request, isUnix), agent: agent.slice(0, LONGEST_AGENT) };
  }
}

/** In requests of a web server in front: the snapshot that it has for the client. */
const SNAPSHOT = 'X-Mirrorlatch-Snapshot';

/**
 * An ETag for all files of a snapshot, which never changes: a web server's own are often time and size. An id
 * may come again, but not the directory.
 */
function tagOf({ tree }: Hold): string {
  return validatorsOf(statSync(tree, { bigint: true })).etag;
}

/** A header's bytes are latin1 for Node. */
function headerText(text: string): string {
  return Buffer.from(text).toString('latin1');
}

function peerOf(request: IncomingMessage, isUnix: boolean): string {
  return isUnix ? UNIX : plainAddress(request.socket.remoteAddress ?? '');
}

/** A name that a user gave may come again, with other content, after its snapshot was removed. */
function cachingOf(id: string): string {
  return isTimestampId(id) ? IMMUTABLE : NO_CACHE;
}

/** Calls `end` when an answer has been sent or its client has gone, also if that has happened already. */
function whenEnded(response: ServerResponse, end: () => void): void {
  const { socket } = response.req;
  if (response.closed || socket.destroyed) {
    end();
    return;
  }
  // An answer that waits for an earlier one of its connection hears nothing of that connection's end.
  const endOnce = (): void => {
    response.off('close', endOnce);
    socket.off('close', endOnce);
    end();
  };
  response.once('close', endOnce);
  socket.once('close', endOnce);
}

function headerOf({ headers }: IncomingMessage, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join() : value;
}

/** Sends a path of a snapshot, and releases that when the answer has ended or there is no such path. */
async function sendHeld(
  hold: Hold,
  name: Buffer,
  cacheControl: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  let isSent = false;
  try {
    isSent = await sendFrom(hold, name, cacheControl, request, response);
  } finally {
    if (isSent) whenEnded(response, hold.release);
    else hold.release();
  }
  return isSent;
}

async function sendFrom(
  { id, tree }: Hold,
  name: Buffer,
  cacheControl: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  const url = (request.url ?? '').replace(/[?#].*/s, '');
  const place = { tree, name, url, cacheControl, snapshotId: id };
  return (await sendPlace(request, response, place)) === 'sent';
}

/** A web server in front sends an open tree in place as it would without us. */
async function heldForAMoment(mirror: ServedMirror): Promise<Hold> {
  const hold = await mirror.holdCurrent();
  hold.release();
  return hold;
}

function currentOf(mirror: ServedMirror, id: string | undefined): Answer {
  if (id === undefined || mirror.kind === 'in-place') return nothingThere();
  const previous = mirror.previousId() ?? null;
  return {
    status: 200,
    headers: { 'Content-Type': 'application/json', 'Cache-Control': NO_CACHE },
    body: currentJson({ id, previous, publishedAt: mirror.publishedAt(id) }),
  };
}

function redirectApt(url: string, mirrors: readonly ServedMirror[]): Answer {
  const location = aptLocation(url, mirrors);
  return location === undefined ? nothingThere() : redirect(location);
}

/** @param path one character per byte (latin1). */
function encodedPath(path: string): string {
  return percentEncoded(path, /[^A-Za-z0-9\-._~!$&'()*+,;=:@/]/g);
}

function redirect(location: string): Answer {
  return text(302, 'It is elsewhere.', { Location: location });
}

function nothingThere(): Answer {
  return text(404, 'There is nothing here.', { 'Cache-Control': NO_CACHE });
}

/** A path of several slashes at its beginning would name another host. */
function withSlash(target: string): Answer {
  const [, path = '', query = ''] = /^([^?#]*)(.*)$/s.exec(target) ?? [];
  const headers: OutgoingHttpHeaders = { Location: `${path.replace(/^\/+/, '/')}/${query}` };
  return text(301, 'The path needs a slash at its end.', headers);
}

/** Where a mirror lies is nobody's business. */
function withoutPaths(message: string): string {
  return message.replace(/^\S*\/\S* /, 'it ');
}
