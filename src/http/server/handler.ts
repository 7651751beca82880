import { hasCode } from '../../errors.ts';
import {
  type Answer,
  nothingThere,
  RETRY_AFTER,
  redirect,
  send,
  text,
  withSlash,
} from '../answers.ts';
import { FOR_NGINX } from '../nginx-places.ts';
import type { ServedMirror } from '../pins/served-mirror.ts';
import type { StrictPins } from '../pins/strict-pins.ts';
import { aptLocation } from './apt-snapshots.ts';
import type { Content } from './content.ts';
import type { Decisions } from './decisions.ts';
import type { Exchange } from './exchange.ts';
import { withWayToBase } from './mirror-bases.ts';
import {
  basePage,
  channelJsonPage,
  currentJsonPage,
  noSnapshotsInPlace,
  snapshotsPage,
} from './mirror-pages.ts';
import type { Peers } from './peers.ts';
import { changePin, makePin } from './pin-requests.ts';
import { type Route, routeOf } from './routes.ts';
import { whyForbidden } from './unreadable.ts';

export interface HandlerOptions {
  readonly mirrors: readonly ServedMirror[];
  readonly peers: Peers;
  readonly content: Content;
  readonly decisions: Decisions;
  readonly strictPins: StrictPins;
  /** Answers what lies below `/-/`, but for the decisions. */
  readonly ownPage: (path: string) => Promise<Answer | undefined>;
  /** Told of a failure that is not the client's. */
  readonly onWarning: (message: string) => void;
}

/** The same warning is given again after this time; ms. */
const SAME_WARNING_MS = 60_000;

const READS = ['GET', 'HEAD'];

/** Answers the requests of readers. Nothing that a client sends changes more than its own pins. */
export class Handler {
  readonly #options: HandlerOptions;
  #warned = { at: 0, message: '' };

  constructor(options: HandlerOptions) {
    this.#options = options;
  }

  async answer(exchange: Exchange): Promise<void> {
    const { request, response } = exchange;
    try {
      const answer = await this.#answerFor(this.#asNginxMeansIt(exchange));
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
    const forbidden = whyForbidden(error, this.#options.mirrors);
    this.#warn(forbidden ?? said);
    // A person, or the next sync, mends it.
    if (forbidden !== undefined || hasCode(error, 'CONFIGURATION')) {
      return text(
        503,
        'This mirror cannot be read now. The log of the server says why.',
        RETRY_AFTER,
      );
    }
    return text(500, 'The server has failed. Its log says why.');
  }

  /** Many clients meet the same failure at a time. */
  #warn(message: string): void {
    const now = performance.now();
    const { at, message: last } = this.#warned;
    if (message === last && now - at < SAME_WARNING_MS) return;
    this.#warned = { at: now, message };
    this.#options.onWarning(message);
  }

  #asNginxMeansIt(exchange: Exchange): Exchange {
    const { request } = exchange;
    const isForNginx = request.url?.startsWith(`${FOR_NGINX}/`) === true;
    if (!isForNginx || !this.#options.peers.isTrusted(exchange)) return exchange;
    request.url = request.url?.slice(FOR_NGINX.length);
    return { ...exchange, isForNginx };
  }

  /** @returns undefined when the answer has been sent. */
  async #answerFor(exchange: Exchange): Promise<Answer | undefined> {
    const { mirrors } = this.#options;
    const route = routeOf(exchange.request.url ?? '', mirrors);
    const answer = await this.#answerTo(route, exchange);
    return answer && withWayToBase(answer, route, mirrors);
  }

  async #answerTo(route: Route, exchange: Exchange): Promise<Answer | undefined> {
    const { content, strictPins, peers } = this.#options;
    const { request } = exchange;
    const allowed = methodsOf(route);
    if (!allowed.includes(request.method ?? '')) {
      if (await this.#isNothing(route)) return nothingThere({ Connection: 'close' });
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
        return await this.#own(route.path, exchange);
      case 'pins':
        return await makePin(route.mirror, request, peers.addressOf(exchange), strictPins);
      case 'pin':
        return await changePin(route.mirror, route.token, request, strictPins);
      case 'pinned':
        return await content.ofPin(route, exchange);
      case 'current':
        return await content.ofCurrent(route, exchange);
      case 'channel':
        return await content.ofChannel(route, exchange);
      case 'channel without slash':
        if (route.mirror.channelId(route.channel) === undefined) return nothingThere();
        return withSlash(request.url ?? '');
      case 'channel.json': {
        const id = route.mirror.channelId(route.channel);
        return id === undefined ? nothingThere() : channelJsonPage(route.mirror, id);
      }
      case 'snapshot':
        return await content.ofSnapshot(route.mirror, route.id, route.name, exchange);
      case 'snapshots':
        return snapshotsOf(route.mirror, exchange);
      case 'base':
        return basePage(route.mirror, route.mirror.currentId(), exchange);
      case 'current.json':
        return currentJsonPage(route.mirror, route.mirror.currentId());
    }
  }

  /** Whether there would be nothing by another method, either: a typing error in a URL is not one in the method. */
  async #isNothing(route: Route): Promise<boolean> {
    if ('channel' in route) return route.mirror.channelId(route.channel) === undefined;
    if (route.kind !== 'own') return route.kind === 'nothing';
    const isElsewhere = /^(decide|apt)\//.test(route.path);
    return !isElsewhere && (await this.#options.ownPage(route.path)) === undefined;
  }

  async #own(path: string, exchange: Exchange): Promise<Answer> {
    const { mirrors, decisions, ownPage } = this.#options;
    const name = /^decide\/(.+)$/.exec(path)?.[1];
    if (name !== undefined) return await decisions.answer(name, exchange);
    if (path.startsWith('apt/')) return redirectApt(exchange.request.url ?? '', mirrors);
    return (await ownPage(path)) ?? nothingThere();
  }
}

function snapshotsOf(mirror: ServedMirror, exchange: Exchange): Answer {
  if (mirror.kind === 'in-place') return noSnapshotsInPlace();
  return snapshotsPage(mirror.publications(mirror.retained()), mirror.currentId(), exchange);
}

function methodsOf({ kind }: Route): string[] {
  if (kind === 'pins') return ['POST'];
  return kind === 'pin' ? [...READS, 'PUT', 'DELETE'] : READS;
}

function redirectApt(url: string, mirrors: readonly ServedMirror[]): Answer {
  const location = aptLocation(url, mirrors);
  return location === undefined ? nothingThere() : redirect(location);
}

/** Where a mirror lies is nobody's business. */
function withoutPaths(message: string): string {
  return message.replace(/^\S*\/\S* /, 'it ');
}
