import { readFileSync } from 'node:fs';
import type { Dispatcher } from 'undici';
import Agent from 'undici/lib/dispatcher/agent.js';
import { MirrorlatchError } from '../../errors.ts';
import { basicAuthorization } from './basic-authorization.ts';
import { type UsedProxy, unreachable } from './unreachable.ts';
import { isExcepted, type UpstreamProxies } from './upstream-proxy.ts';

/** A request as it is sent on. */
export interface OutgoingRequest {
  readonly method: string;
  /** Such as `http://host:8080`. */
  readonly origin: string;
  /** With the query, as it goes out byte for byte. */
  readonly path: string;
  /** Names and values in turn. */
  readonly headers: string[];
  readonly body?: Dispatcher.DispatchOptions['body'];
}

export interface Answer {
  readonly status: number;
  /** By lowercase names. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

/** An answer to ourselves is a few lines of JSON. */
const LONGEST_ANSWER = 64 * 1024;

/** How requests to an origin go out: to whom, with what before their paths, and with what header. */
interface Way {
  readonly origin: string;
  readonly prefix: string;
  readonly authorization: readonly string[];
}

/** A command that asks more servers than this gets by with less speed. */
const MANY_ORIGINS = 1000;

/** Requests that leave this process, by the proxies of the caller. Connections are kept open and used again. */
export class Outgoing {
  readonly #proxies: UpstreamProxies;
  // How long an answer may take is the client's to decide.
  readonly #agent = new Agent({ headersTimeout: 0, bodyTimeout: 0, connect: { timeout: 30_000 } });
  readonly #ways = new Map<string, Way>();
  /** For https:, which only this process asks for; by the proxy. */
  readonly #secure = new Map<string, Dispatcher>();

  /** @throws MirrorlatchError CONFIGURATION if a proxy of the caller is no URL, or of a kind that is not supported. */
  constructor(proxies: UpstreamProxies) {
    refuseProxy(proxies.http, proxies.httpFrom);
    refuseProxy(proxies.https, proxies.httpsFrom);
    this.#proxies = proxies;
  }

  /** The proxy that a URL is reached by; undefined for none. */
  proxyFor(url: URL): URL | undefined {
    return this.#proxy(url.protocol === 'https:' ? this.#proxies.https : this.#proxies.http, url);
  }

  /** The same, with what names the proxy. */
  usedProxyFor(url: URL): UsedProxy | undefined {
    const proxy = this.proxyFor(url);
    const { httpFrom, httpsFrom } = this.#proxies;
    const from = url.protocol === 'https:' ? httpsFrom : httpFrom;
    return proxy && { url: proxy, from: from || 'a configuration' };
  }

  /** The same for a tunnel to `host:port`. */
  proxyForTunnel(url: URL): URL | undefined {
    return this.#proxy(this.#proxies.https ?? this.#proxies.http, url);
  }

  /** Sends a request on. */
  send(request: OutgoingRequest, handler: Dispatcher.DispatchHandler) {
    const { origin, prefix, authorization } = this.#wayTo(request.origin);
    this.#agent.dispatch(
      {
        origin,
        method: request.method,
        path: `${prefix}${request.path}`,
        headers:
          authorization.length === 0 ? request.headers : [...request.headers, ...authorization],
        body: request.body ?? null,
      },
      handler,
    );
  }

  /**
   * Asks for something ourselves, without following redirects.
   *
   * @throws MirrorlatchError UNAVAILABLE if there is no answer within `timeoutMs`.
   */
  async ask(
    method: string,
    url: URL,
    { headers = [], body, timeoutMs = 30_000 }: AskOptions = {},
  ): Promise<Answer> {
    const proxy = this.proxyFor(url);
    const isPlain = url.protocol === 'http:';
    const dispatcher = isPlain ? this.#agent : await this.#secureBy(proxy);
    const text = body === undefined ? undefined : JSON.stringify(body);
    const request = {
      origin: isPlain ? (proxy?.origin ?? url.origin) : url.origin,
      path: isPlain && proxy !== undefined ? url.href : `${url.pathname}${url.search}`,
      method,
      headers: [
        ...['Host', url.host, 'Cache-Control', 'no-cache'],
        ...(text === undefined ? [] : ['Content-Type', 'application/json']),
        ...(isPlain ? authorizationFor(proxy) : []),
        ...headers,
      ],
      body: text ?? null,
    };
    try {
      return await answerOf(dispatcher, request, timeoutMs);
    } catch (cause) {
      throw unreachable(url, this.usedProxyFor(url), cause);
    }
  }

  /** What a proxy has to be sent before it tunnels to `target`, a host and a port (RFC 9110, 9.3.6). */
  tunnelRequest(target: string, proxy: URL): string {
    const fields = [`Host: ${target}`];
    const [name, value] = authorizationFor(proxy);
    if (name !== undefined) fields.push(`${name}: ${value}`);
    return `CONNECT ${target} HTTP/1.1\r\n${fields.join('\r\n')}\r\n\r\n`;
  }

  /** Ends all connections. */
  async close(): Promise<void> {
    const all = [this.#agent, ...this.#secure.values()];
    await Promise.all(all.map((dispatcher) => dispatcher.destroy()));
  }

  #wayTo(origin: string): Way {
    const known = this.#ways.get(origin);
    if (known !== undefined) return known;
    const proxy = this.proxyFor(new URL(origin));
    const way =
      proxy === undefined
        ? { origin, prefix: '', authorization: [] }
        : { origin: proxy.origin, prefix: origin, authorization: authorizationFor(proxy) };
    if (this.#ways.size < MANY_ORIGINS) this.#ways.set(origin, way);
    return way;
  }

  #proxy(proxy: string | undefined, url: URL): URL | undefined {
    if (proxy === undefined || isExcepted(this.#proxies.except, url)) return undefined;
    return new URL(asUrl(proxy));
  }

  async #secureBy(proxy: URL | undefined): Promise<Dispatcher> {
    const known = this.#secure.get(proxy?.href ?? '');
    if (known !== undefined) return known;
    const dispatcher = await secureBy(proxy);
    this.#secure.set(proxy?.href ?? '', dispatcher);
    return dispatcher;
  }
}

async function secureBy(proxy: URL | undefined): Promise<Dispatcher> {
  const ca = trustedByThisHost();
  const tls = ca === undefined ? {} : { ca };
  if (proxy === undefined) return new Agent({ connect: tls });
  const [{ default: ProxyAgent }, { default: Pool }, { default: connect }] = await Promise.all([
    import('undici/lib/dispatcher/proxy-agent.js'),
    import('undici/lib/dispatcher/pool.js'),
    import('undici/lib/api/api-connect.js'),
  ]);
  const token = basicAuthorization(proxy);
  return new ProxyAgent({
    uri: proxy.href,
    requestTls: tls,
    ...(token === undefined ? {} : { token }),
    // Only the whole of undici gives all dispatchers the method by which a tunnel is asked for.
    clientFactory: (origin, options) => Object.assign(new Pool(origin, options), { connect }),
  });
}

/** @param from what names the proxy, in words. */
function refuseProxy(proxy: string | undefined, from: string | undefined): void {
  if (proxy === undefined) return;
  const [, kind = 'http'] = /^([a-z\d]+):\/\//i.exec(proxy) ?? [];
  const isUrl = URL.canParse(asUrl(proxy));
  if (isUrl && kind === 'http') return;
  const what = isUrl
    ? `a proxy of the kind ${kind} is not supported`
    : `the proxy ${JSON.stringify(proxy)} is no URL`;
  throw new MirrorlatchError('CONFIGURATION', what, {
    hint: `It is named by ${from || 'a configuration'}. Name a proxy for HTTP in the variables http_proxy and https_proxy, or empty them.`,
  });
}

/** A proxy may be named by its host and port alone. */
function asUrl(proxy: string): string {
  return proxy.includes('://') ? proxy : `http://${proxy}`;
}

interface AskOptions {
  /** Names and values in turn. */
  headers?: readonly string[];
  /** Sent as JSON. */
  body?: unknown;
  timeoutMs?: number;
}

function answerOf(
  dispatcher: Dispatcher,
  request: Dispatcher.DispatchOptions,
  timeoutMs: number,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let abort: (() => void) | undefined;
    const timer = setTimeout(() => {
      // Before the abort, which would be taken for the reason.
      reject(new Error(`no answer within ${timeoutMs / 1000} s`));
      abort?.();
    }, timeoutMs);
    let status = 0;
    let headers: Answer['headers'] = {};
    let text = '';
    const end = () => {
      clearTimeout(timer);
      resolve({ status, headers, text });
    };
    dispatcher.dispatch(request, {
      onRequestStart: (controller) => {
        abort = () => controller.abort(new Error('too late'));
      },
      onResponseStart: (_, code, fields) => {
        status = code;
        headers = fields;
      },
      onResponseData: (controller, chunk) => {
        text += chunk.toString();
        if (text.length <= LONGEST_ANSWER) return;
        end();
        controller.abort(new Error('too long'));
      },
      onResponseEnd: end,
      onResponseError: (_, error) => {
        clearTimeout(timer);
        reject(error);
      },
    });
  });
}

function authorizationFor(proxy: URL | undefined): [string, string] | [] {
  const authorization = proxy && basicAuthorization(proxy);
  return authorization === undefined ? [] : ['proxy-authorization', authorization];
}

/** The certificates that other programs of this host trust: a mirror may have one of its own site. Node has a list of its own. */
function trustedByThisHost(): string | undefined {
  const files = [
    process.env['SSL_CERT_FILE'],
    '/etc/ssl/certs/ca-certificates.crt',
    '/etc/pki/tls/certs/ca-bundle.crt',
    '/etc/ssl/ca-bundle.pem',
  ];
  for (const file of files) {
    try {
      if (file) return readFileSync(file, 'latin1');
    } catch {
      // Another distribution keeps them elsewhere.
    }
  }
  return undefined;
}
