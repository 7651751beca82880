import { once } from 'node:events';
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { optimizeCode } from '../../system/heap.ts';
import { percentDecoded } from '../percent.ts';
import { createServerInTurn } from '../pipelining.ts';
import { below, isAmbiguous, isSameOrigin } from './mirror-url.ts';
import type { Outgoing } from './outgoing.ts';

/** A directory of a web server, the requests below which go to another one. */
interface Redirection {
  /** The directory as clients name it, with its slash. */
  readonly from: URL;
  /** Where its requests go; with its slash. It may change. */
  readonly to: URL;
  /** Called for each request below it. */
  onRequest(): void;
}

/** What is asked of the server behind. */
interface Target {
  /** The URL. */
  readonly sent: string;
  readonly redirection?: Redirection;
}

/** A file that the proxy answers by itself. */
interface OwnFile {
  readonly url: URL;
  readonly json: unknown;
}

/** What the proxy does with requests to the servers of mirrors. */
export interface Routes {
  readonly redirections: readonly Redirection[];
  readonly ownFiles: readonly OwnFile[];
  /** URLs of which the proxy says that they do not exist. */
  readonly hidden: readonly URL[];
}

interface ProxyOptions {
  /** URLs of the servers whose requests have routes. */
  readonly servers: readonly URL[];
  /** Called at the first request to one of the servers. All requests to them wait for it, and are refused if it fails. */
  findRoutes(): Promise<Routes>;
  readonly outgoing: Outgoing;
}

/** For requests to other servers. */
const WITHOUT_MIRRORS: Routes = { redirections: [], ownFiles: [], hidden: [] };

/** As long as a client may think before its next request. */
const KEEP_ALIVE_MS = 65_000;

/**
 * The server behind is asked for as many files at a time as apt sends requests in advance, so that they take as long as
 * one where it is far away: Acquire::http::Pipeline-Depth, apt-transport-http(1).
 */
const AT_ONCE = 10;

/** A command with fewer requests has ended before code that is optimized for them has saved what that takes. */
const MANY_REQUESTS = 1000;

/** How long connections in use may go on while another process takes over, in ms. */
const DRAIN_MS = 10_000;

/**
 * A forward proxy on a loopback address (RFC 9110, 7.6; RFC 9112, 3.2.2). All but the redirections passes through untouched,
 * tunnels included.
 */
export class LoopbackProxy {
  readonly #options: ProxyOptions;
  #routes: Routes | undefined;
  #finding: Promise<Routes> | undefined;
  readonly #server: Server;
  readonly #tunnels = new Set<Duplex>();
  /** The origin of what comes through a tunnel that ends here. */
  readonly #origins = new WeakMap<Socket, string>();
  #active = 0;
  #count = 0;

  constructor(options: ProxyOptions) {
    this.#options = options;
    const onRequest: RequestListener = (request, response) => this.#serve(request, response);
    // How long a request may take is for the server behind to decide.
    const limits = { keepAliveTimeout: KEEP_ALIVE_MS, requestTimeout: 0 };
    this.#server = createServerInTurn(limits, AT_ONCE, onRequest);
    this.#server.on('connect', (request, socket, head) => this.#tunnel(request, socket, head));
    this.#server.on('clientError', (_, socket) => {
      if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
    });
  }

  /** Its URL, once it listens. */
  get url(): string {
    const { port } = this.#server.address() as AddressInfo;
    return `http://127.0.0.1:${port}`;
  }

  /** What listens, for another process to take over. */
  get listener(): Server {
    return this.#server;
  }

  /** @param listener what another process has handed over; default: an address of our own. */
  async listen(listener?: Server): Promise<void> {
    if (listener === undefined) this.#server.listen(0, '127.0.0.1');
    else this.#server.listen(listener);
    await once(this.#server, 'listening');
  }

  /** Accepts no more connections, and lets those in use go on for a while. */
  async drain(): Promise<void> {
    this.#server.close();
    const end = Date.now() + DRAIN_MS;
    while (this.#active + this.#tunnels.size > 0 && Date.now() < end) {
      this.#server.closeIdleConnections();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    this.close();
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
    for (const tunnel of this.#tunnels) tunnel.destroy();
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    this.#active += 1;
    response.once('close', () => {
      this.#active -= 1;
    });
    this.#count += 1;
    if (this.#count === MANY_REQUESTS) optimizeCode();
    const { url: target = '' } = request;
    const origin = this.#origins.get(request.socket);
    const asked = origin !== undefined && target.startsWith('/') ? `${origin}${target}` : target;
    if (this.#routes !== undefined) this.#answer(request, response, asked, this.#routes);
    else if (!this.#isMirrors(asked)) this.#answer(request, response, asked, WITHOUT_MIRRORS);
    else {
      this.#finding ??= this.#options.findRoutes();
      this.#finding.then(
        (routes) => {
          this.#routes = routes;
          this.#answer(request, response, asked, routes);
        },
        (error) => refuse(response, 502, (error as Error).message),
      );
    }
  }

  #answer(
    request: IncomingMessage,
    response: ServerResponse,
    asked: string,
    { redirections, ownFiles, hidden }: Routes,
  ): void {
    if (isAmbiguous(asked) && this.#isMirrors(asked)) {
      refuse(response, 400, 'It depends on the server where this URL leads.');
      return;
    }
    for (const redirection of redirections) {
      const rest = below(redirection.from, asked);
      if (rest === undefined) continue;
      redirection.onRequest();
      this.#forward(request, response, { sent: `${redirection.to.href}${rest}`, redirection });
      return;
    }
    if (!/^https?:\/\//i.test(asked) || !URL.canParse(asked)) {
      refuse(response, 400, 'This is the proxy of a command that mirrorlatch runs.');
      return;
    }
    for (const { url, json } of ownFiles) {
      if (!isUrl(url, asked)) continue;
      const text = `${JSON.stringify(json)}\n`;
      const type = 'application/json';
      response.writeHead(200, { 'Content-Type': type, 'Content-Length': text.length });
      response.end(request.method === 'HEAD' ? undefined : text);
      return;
    }
    if (hidden.some((url) => isUrl(url, asked))) {
      refuse(response, 404, 'The mirror is pinned already.');
      return;
    }
    this.#forward(request, response, { sent: asked });
  }

  /** Whether a URL is of a server whose requests have routes. */
  #isMirrors(url: string): boolean {
    if (!URL.canParse(url)) return false;
    return this.#options.servers.some((server) => isSameOrigin(server, new URL(url)));
  }

  #forward(
    request: IncomingMessage,
    response: ServerResponse,
    target: Target,
    mayRepeat = true,
  ): void {
    const { sent, redirection } = target;
    const [, scheme = '', host = '', path = ''] =
      /^([a-z]+:\/\/)(?:[^/?#]*@)?([^/?#]*)([^#]*)/i.exec(sent) ?? [];
    const { method = 'GET' } = request;
    const hasBody =
      request.headers['transfer-encoding'] !== undefined ||
      Number(request.headers['content-length'] ?? 0) > 0;
    let abort: (() => void) | undefined;
    let isDone = false;
    const onClose = () => {
      if (!isDone) abort?.();
    };
    const end = () => {
      if (isDone) return;
      isDone = true;
      response.off('close', onClose);
    };
    response.on('close', onClose);
    try {
      this.#options.outgoing.send(
        {
          method,
          origin: `${scheme}${host}`,
          path: path.startsWith('/') ? path : `/${path}`,
          headers: requestHeaders(request.rawHeaders, host),
          ...(hasBody ? { body: request } : {}),
        },
        {
          onConnect: (stop) => {
            abort = () => stop();
            if (response.destroyed) stop();
          },
          onHeaders: (status, headers, resume, statusText) => {
            // Such as 100 Continue, which the client has from this server.
            if (status < 200) return true;
            response.sendDate = false;
            const fields = responseHeaders(headers, (place) =>
              redirection === undefined ? place : mappedBack(place, sent, redirection),
            );
            // Node also says `drain` while it takes what is written to a later answer of the connection, from within undici,
            // which cannot resume then.
            response.on('drain', () => queueMicrotask(resume));
            response.writeHead(status, statusText, fields);
            return true;
          },
          onData: (chunk) => response.write(chunk),
          onComplete: () => {
            end();
            response.end();
          },
          onError: (error) => {
            end();
            // A kept connection that the server closes at the moment of the next request (RFC 9110, 9.2.2).
            const isLost = (error as NodeJS.ErrnoException).code === 'UND_ERR_SOCKET';
            if (mayRepeat && isLost && !response.headersSent && /^(GET|HEAD)$/.test(method))
              this.#forward(request, response, target, false);
            // Cut off, so that what has arrived does not look whole.
            else if (response.headersSent) response.destroy();
            else refuse(response, 502, `${host} cannot be reached: ${error.message}`);
          },
        },
      );
    } catch (error) {
      end();
      refuse(response, 400, `This request cannot be passed on: ${(error as Error).message}`);
    }
  }

  #tunnel({ url = '' }: IncomingMessage, socket: Duplex, head: Buffer): void {
    // Node has let go of the socket: without this, a client that breaks it off would end this process.
    socket.on('error', () => socket.destroy());
    const target = URL.canParse(`http://${url}`) ? new URL(`http://${url}`) : undefined;
    if (target === undefined) {
      socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
      return;
    }
    // Some clients also tunnel http:, and would reach the mirror past its pin.
    if (this.#isMirrors(target.href)) {
      this.#origins.set(socket as Socket, target.origin);
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      if (head.length > 0) socket.unshift(head);
      this.#server.emit('connection', socket);
      return;
    }
    const proxy = this.#options.outgoing.proxyForTunnel(target);
    const { hostname, port } = proxy ?? target;
    const host = hostname.replace(/^\[|\]$/g, '');
    const far = connect({ host, port: Number(port || 80), allowHalfOpen: true });
    const both = [socket, far];
    for (const one of both) {
      this.#tunnels.add(one);
      one.on('error', () => {
        for (const each of both) each.destroy();
      });
      one.on('close', () => {
        this.#tunnels.delete(one);
        for (const each of both) if (each !== one) each.end();
      });
    }
    far.once('connect', () => {
      if (proxy === undefined) socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      else far.write(this.#options.outgoing.tunnelRequest(url, proxy));
      far.write(head);
      socket.pipe(far);
      far.pipe(socket);
    });
  }
}

function isUrl(url: URL, asked: string): boolean {
  const name = url.pathname.slice(url.pathname.lastIndexOf('/') + 1);
  const rest = below(new URL('.', url), asked);
  return rest !== undefined && percentDecoded(rest.replace(/\?.*/, '')) === percentDecoded(name);
}

function refuse(response: ServerResponse, status: number, text: string): void {
  if (response.destroyed) return;
  response.writeHead(status, { 'Content-Type': 'text/plain' });
  response.end(`mirrorlatch: ${text}\n`);
}

/** Fields that belong to one connection (RFC 9110, 7.6.1), and what undici makes by itself. */
const OF_ONE_CONNECTION = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

const NOT_SENT_ON = new Set([...OF_ONE_CONNECTION, 'expect', 'host']);

function requestHeaders(raw: readonly string[], host: string): string[] {
  const named = namedByConnection(raw);
  const fields = ['Host', host];
  for (let at = 0; at < raw.length; at += 2) {
    const [name, value] = [raw[at] ?? '', raw[at + 1] ?? ''];
    const lowercase = name.toLowerCase();
    if (NOT_SENT_ON.has(lowercase) || named.includes(lowercase)) continue;
    fields.push(name, value);
  }
  return fields;
}

/** @param map changes the place in a header that holds one. */
function responseHeaders(raw: readonly Buffer[], map: (place: string) => string): string[] {
  const texts = raw.map((field) => field.toString('latin1'));
  const named = namedByConnection(texts);
  const fields: string[] = [];
  for (let at = 0; at < texts.length; at += 2) {
    const [name, value] = [texts[at] ?? '', texts[at + 1] ?? ''];
    const lowercase = name.toLowerCase();
    if (OF_ONE_CONNECTION.has(lowercase) || named.includes(lowercase)) continue;
    const isPlace = lowercase === 'location' || lowercase === 'content-location';
    fields.push(name, isPlace ? map(value) : value);
  }
  return fields;
}

function namedByConnection(raw: readonly string[]): string[] {
  const named: string[] = [];
  for (let at = 0; at < raw.length; at += 2) {
    if (raw[at]?.toLowerCase() !== 'connection') continue;
    for (const name of raw[at + 1]?.split(',') ?? []) named.push(name.trim().toLowerCase());
  }
  return named;
}

/** A place below the pin, as the client knows it. A place that is relative to the request's stays so. */
function mappedBack(value: string, sent: string, { from, to }: Redirection): string {
  const isPath = value.startsWith('/') && !value.startsWith('//');
  if (!isPath && !/^(https?:)?\/\//i.test(value)) return value;
  if (!URL.canParse(value, sent)) return value;
  const place = isPath ? `${to.origin}${value}` : new URL(value, sent).href;
  const rest = below(to, place);
  if (rest === undefined) return value;
  return isPath ? `${from.pathname}${rest}` : `${from.href}${rest}`;
}
