import { Agent, type IncomingMessage, type RequestOptions, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { percentEncoded } from '../percent.ts';
import { connectableAddress } from './front.ts';

/** A client as the web server in front sees it, and what it asks for. */
export interface Client {
  /** The mirror's. */
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

/** `closed`: the mirror is behind its gate. `down`: mirrorlatch does not answer. */
type Answer = Kept | 'closed' | 'down';

interface Kept extends Decision {
  /** Milliseconds since 1970, by `max-age` of the answer. */
  readonly freshUntil: number;
  /** The same while mirrorlatch is down, by `stale-if-error`. */
  readonly staleUntil: number;
  usedAt: number;
}

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
  async about(client: Client): Promise<Decision | 'closed' | 'down'> {
    const key = [client.name, client.address, client.agent].join('\n');
    const now = Date.now();
    const last = this.#kept.get(key);
    const kept = last !== undefined && now - last.usedAt < this.#quietMs ? last : undefined;
    if (kept !== undefined) kept.usedAt = now;
    if (kept !== undefined && now < kept.freshUntil) return kept;
    const answer = await this.#ask(client);
    if (answer === 'down') return kept !== undefined && now < kept.staleUntil ? kept : 'down';
    this.#kept.delete(key);
    if (answer === 'closed') return 'closed';
    this.#kept.set(key, answer);
    if (this.#kept.size > MOST_DECISIONS) this.#kept.delete(this.#kept.keys().next().value ?? '');
    return answer;
  }

  async isServerDown(client: Client): Promise<boolean> {
    return (await this.#ask(client)) === 'down';
  }

  async #ask(client: Client): Promise<Answer> {
    if (Date.now() < this.#silentUntil) return 'down';
    const begun = Date.now();
    const response = await this.#get(client);
    if (response?.statusCode === 503) return 'closed';
    const tree = response?.headers['x-mirrorlatch-tree'];
    const snapshot = response?.headers['x-mirrorlatch-snapshot'];
    if (typeof tree === 'string' && typeof snapshot === 'string') {
      const control = response?.headers['cache-control'] ?? '';
      const usedAt = Date.now();
      const freshUntil = usedAt + secondsIn(control, 'max-age') * 1000;
      const staleUntil = freshUntil + secondsIn(control, 'stale-if-error') * 1000;
      return { tree: utf8(tree), snapshot: utf8(snapshot), freshUntil, staleUntil, usedAt };
    }
    if (Date.now() - begun >= PATIENCE_MS / 2) this.#silentUntil = Date.now() + PAUSE_AFTER_HANG_MS;
    return 'down';
  }

  /** A whole answer; undefined if there is none. */
  #get({ name, address, agent, url }: Client): Promise<IncomingMessage | undefined> {
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
      const none = () => resolve(undefined);
      asking.on('timeout', () => asking.destroy());
      asking.on('error', none);
      asking.on('response', (response) => {
        text(response).then(() => resolve(response), none);
      });
      asking.end();
    });
  }
}

function connection(listen: string): RequestOptions {
  if (listen.startsWith('unix:')) return { socketPath: listen.slice('unix:'.length) };
  const { hostname, port } = new URL(`http://${connectableAddress(listen)}`);
  return { host: hostname.replace(/^\[(.*)\]$/, '$1'), port: port === '' ? 80 : Number(port) };
}

/** A header's bytes are latin1 for Node. */
function utf8(text: string): string {
  return Buffer.from(text, 'latin1').toString();
}

/** A directive of Cache-Control (RFC 9111, 5.2.2; RFC 5861); 0 if it is not there. */
function secondsIn(cacheControl: string, directive: string): number {
  return Number(new RegExp(`\\b${directive}=(\\d+)`).exec(cacheControl)?.[1] ?? 0);
}
