import { Agent, type IncomingMessage, type RequestOptions, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { errnoOf } from '../../errors.ts';
import { fromLatin1 } from '../latin1.ts';
import { percentEncoded } from '../percent.ts';
import { connectableAddress } from './front.ts';

/** A client as the web server in front sees it, and what it asks for. */
export interface Client {
  /** Of the mirror, or NAME/CHANNEL. */
  readonly name: string;
  readonly address: string;
  /** Its User-Agent; empty if it sends none. */
  readonly agent: string;
  /** The path of the URL, one character per byte (latin1), decoded. */
  readonly url: string;
}

/** Which snapshot a client reads. */
export interface Decision {
  /** The real path. */
  readonly tree: string;
  readonly snapshot: string;
}

/**
 * Why mirrorlatch does not answer. `down`: it has ended. `late`: it hangs, or has too much to do, and a run that went on
 * with what is current would be a mix.
 */
export type Silence = 'down' | 'late';

/** `closed`: the mirror is behind its gate, mirrorlatch has failed, or there is no such channel; it says so itself. */
type Answer = Kept | 'closed' | Silence;

interface Kept extends Decision {
  /** By `max-age` of the answer, on a monotonic clock; ms. */
  readonly freshUntil: number;
  /** The same while mirrorlatch is down, by `stale-if-error`. */
  readonly staleUntil: number;
  usedAt: number;
}

/** What mirrorlatch answers about a channel that is not there. */
const NO_CHANNEL = 410;

/** Beyond it, the oldest decision is forgotten, and asked for again. */
const MOST_DECISIONS = 50_000;

/**
 * All requests wait while one is asked for, so only few may wait for a mirrorlatch that hangs. One that has ended is
 * known at once, and may be back at any time.
 */
const PATIENCE_MS = 2000;
const PAUSE_AFTER_HANG_MS = 2000;

/** The decisions of `serve` about clients, kept for as long as it says, and as their clients ask for files. */
export class KeptDecisions {
  readonly #kept = new Map<string, Kept>();
  readonly #quietMs: number;
  readonly #server: RequestOptions;
  #silentUntil = 0;

  /**
   * @param listen where `serve` listens: `unix:PATH` or `ADDRESS:PORT`.
   * @param quietMs after which the decision about a client is forgotten that asks for nothing.
   */
  constructor(listen: string, quietMs: number) {
    this.#server = { ...connection(listen), agent: new Agent({ keepAlive: true }) };
    this.#quietMs = quietMs;
  }

  /** What is kept, or what mirrorlatch says now. */
  async about(client: Client): Promise<Decision | 'closed' | Silence> {
    const key = [client.name, client.address, client.agent].join('\n');
    const now = performance.now();
    const last = this.#kept.get(key);
    const kept = last !== undefined && now - last.usedAt < this.#quietMs ? last : undefined;
    if (kept !== undefined) kept.usedAt = now;
    if (kept !== undefined && now < kept.freshUntil) return kept;
    const answer = await this.#ask(client);
    if (isSilence(answer)) return kept !== undefined && now < kept.staleUntil ? kept : answer;
    this.#kept.delete(key);
    if (answer === 'closed') return 'closed';
    this.#kept.set(key, answer);
    if (this.#kept.size > MOST_DECISIONS) this.#kept.delete(this.#kept.keys().next().value ?? '');
    return answer;
  }

  /** Whether mirrorlatch does not answer now. */
  async silence(client: Client): Promise<Silence | undefined> {
    const answer = await this.#ask(client);
    return isSilence(answer) ? answer : undefined;
  }

  async #ask(client: Client): Promise<Answer> {
    if (performance.now() < this.#silentUntil) return 'late';
    const response = await this.#get(client);
    if (response === 'late') this.#silentUntil = performance.now() + PAUSE_AFTER_HANG_MS;
    if (isSilence(response)) return response;
    const { statusCode = 500 } = response;
    if (statusCode >= 500 || statusCode === NO_CHANNEL) return 'closed';
    const tree = response.headers['x-mirrorlatch-tree'];
    const snapshot = response.headers['x-mirrorlatch-snapshot'];
    // It does not trust this web server, or serves other mirrors.
    if (typeof tree !== 'string' || typeof snapshot !== 'string') return 'down';
    const control = response.headers['cache-control'] ?? '';
    const usedAt = performance.now();
    const freshUntil = usedAt + secondsIn(control, 'max-age') * 1000;
    const staleUntil = freshUntil + secondsIn(control, 'stale-if-error') * 1000;
    return {
      tree: fromLatin1(tree),
      snapshot,
      freshUntil,
      staleUntil,
      usedAt,
    };
  }

  /** A whole answer, if there is one. */
  #get(client: Client): Promise<IncomingMessage | Silence> {
    const { name, address, agent, url } = client;
    return new Promise((resolve) => {
      const asking = request({
        ...this.#server,
        path: `/-/decide/${encodeURIComponent(name)}`,
        headers: {
          'X-Forwarded-For': address,
          'X-Original-URI': percentEncoded(url, /[^A-Za-z0-9/._~-]/g),
          ...(agent === '' ? {} : { 'User-Agent': agent }),
        },
        timeout: PATIENCE_MS,
      });
      const failed = (error: unknown): void => {
        // It may have closed a connection that had long been idle.
        const isOld = asking.reusedSocket && errnoOf(error) === 'ECONNRESET';
        resolve(isOld ? this.#get(client) : silenceOf(error));
      };
      asking.on('timeout', () => {
        resolve('late');
        asking.destroy();
      });
      asking.on('error', failed);
      asking.on('response', (response) => {
        text(response).then(() => resolve(response), failed);
      });
      asking.end();
    });
  }
}

function isSilence<Other>(answer: Other | Silence): answer is Silence {
  return answer === 'down' || answer === 'late';
}

/** On the socket of a process that accepts no more, so many wait already that there is no room (EAGAIN of connect(2)). */
function silenceOf(error: unknown): Silence {
  return errnoOf(error) === 'EAGAIN' ? 'late' : 'down';
}

function connection(listen: string): RequestOptions {
  if (listen.startsWith('unix:')) return { socketPath: listen.slice('unix:'.length) };
  const { hostname, port } = new URL(`http://${connectableAddress(listen)}`);
  return { host: hostname.replace(/^\[(.*)\]$/, '$1'), port: port === '' ? 80 : Number(port) };
}

/** A directive of Cache-Control (RFC 9111, 5.2.2; RFC 5861); 0 if it is not there. */
function secondsIn(cacheControl: string, directive: string): number {
  return Number(new RegExp(`\\b${directive}=(\\d+)`).exec(cacheControl)?.[1] ?? 0);
}
