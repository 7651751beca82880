import type { Server, ServerResponse } from 'node:http';
import { optimizeCode } from '../../system/heap.ts';
import { msSinceBoot } from '../../system/host.ts';
import { accountOf, becomeUser } from '../../system/privileges.ts';
import { TrustedProxies } from '../client-address.ts';
import { Pins } from '../pins/pins.ts';
import { DEFAULT_PINS, type DecisionPolicy, type PinPolicy } from '../pins/run-rules.ts';
import { serveMirror } from '../pins/serve-mirror.ts';
import type { ServedMirror, ServedRoot } from '../pins/served-mirror.ts';
import { DEFAULT_STRICT_PINS, type StrictPinPolicy, StrictPins } from '../pins/strict-pins.ts';
import { createServerInTurn } from '../pipelining.ts';
import { StatusReporter } from '../status/reporter.ts';
import { RequestCounts } from '../status/request-counts.ts';
import type { PinFigures } from '../status/status-report.ts';
import { logLine } from './access-log.ts';
import { AccessLogFile } from './access-log-file.ts';
import { Content } from './content.ts';
import { Decisions } from './decisions.ts';
import { Handler } from './handler.ts';
import { keepPins } from './kept-pins.ts';
import { type Endpoint, isUnixServer, listen } from './listen.ts';
import { placeOf } from './mirror-bases.ts';
import { Peers } from './peers.ts';
import { stateDirectory } from './state-directory.ts';
import type { StateFile } from './state-file.ts';
import { StatusPages } from './status-routes.ts';
import { Transfers } from './transfers.ts';
import { refuseUnreadable, unreadableWarner } from './unreadable.ts';

export interface ServeOptions {
  readonly roots: readonly ServedRoot[];
  readonly endpoints: readonly Endpoint[];
  /** Addresses of proxies that say truly whose requests they forward. */
  readonly trustedProxies?: readonly string[] | undefined;
  readonly pins?: Partial<PinPolicy> | undefined;
  readonly strictPins?: Partial<StrictPinPolicy> | undefined;
  readonly decisions?: Partial<DecisionPolicy> | undefined;
  /** The user to become, once it listens. */
  readonly user?: string | undefined;
  /** A directory where servers write down which client reads which snapshot, for those that follow them. */
  readonly stateBase?: string | undefined;
  /** A file to append a line a request to, or a descriptor. */
  readonly accessLog?: string | number | undefined;
  /** A mirror whose last success is older is not healthy; ms. */
  readonly maxAgeMs?: number | undefined;
  /** How long an answer may be in the way of others; ms. */
  readonly longestTransferMs?: number | undefined;
  /** How long answers may take to end after `signal`; ms. */
  readonly drainMs?: number | undefined;
  /** Ends the server. */
  readonly signal: AbortSignal;
  /** Called once, with a URL without a path, or `unix:PATH`, for each endpoint. */
  readonly onListening: (addresses: string[], mirrors: readonly ServedMirror[]) => void;
  readonly onWarning: (message: string) => void;
}

export const DEFAULT_DECISIONS: DecisionPolicy = {
  keepMs: 10 * 60_000,
  quietMs: 60_000,
  transferMs: 60 * 60_000,
};

const DEFAULT_DRAIN_MS = 30_000;

const SWEEP_MS = 5_000;

/** Limits of a connection: a slow client costs little, and a silent one is given up. Durations in ms. */
const LIMITS = {
  maxHeaderSize: 16 * 1024,
  headersTimeout: 20_000,
  requestTimeout: 60_000,
  keepAliveTimeout: 65_000,
  connectionsCheckingInterval: 5_000,
};

/** A client that takes no byte this long is given up; ms. */
const STALL_MS = 120_000;

/** More are closed as soon as they are opened. */
const MAX_CONNECTIONS = 10_000;

/**
 * Serves mirrors by HTTP until `signal` aborts. Then it takes no more connections, and ends when the answers
 * that are being sent have ended.
 *
 * @throws MirrorlatchError NO_MIRROR; as `listen`, `accountOf` and `becomeUser`.
 */
export async function serve(options: ServeOptions): Promise<void> {
  const { endpoints, signal, onListening, onWarning } = options;
  // What it does, it does thousands of times a second.
  optimizeCode();
  const mirrors = openMirrors(options.roots);
  const clock = msSinceBoot;
  const policy = { ...DEFAULT_PINS, ...options.pins };
  const makePins = () =>
    new Map(mirrors.map((one) => [one, new Pins(policy, () => one.holdCurrent(), clock)]));
  const pins = makePins();
  const timedPins = makePins();
  const allPins = () => [...pins.values(), ...timedPins.values()];
  const strictPins = new StrictPins({ ...DEFAULT_STRICT_PINS, ...options.strictPins }, clock);
  const pinsOf = (mirror: ServedMirror): Pins => pins.get(mirror) as Pins;
  const timedPinsOf = (mirror: ServedMirror): Pins => timedPins.get(mirror) as Pins;
  const reporter = new StatusReporter(inOrderOf(options.roots, mirrors), {
    pinsOf: ({ prefix }) => {
      const mirror = mirrors.find((one) => one.prefix === prefix);
      return mirror && pinFigures([pinsOf(mirror), timedPinsOf(mirror)], strictPins.counts(mirror));
    },
    maxAgeMs: options.maxAgeMs,
  });
  const requests = new RequestCounts();
  const pages = new StatusPages(() => reporter.report(), requests);
  const peers = new Peers(new TrustedProxies(options.trustedProxies ?? []));
  const decisions = new Decisions({
    mirrors,
    pinsOf,
    timedPinsOf,
    peers,
    policy: { ...DEFAULT_DECISIONS, ...options.decisions },
    onWarning,
  });
  const transfers = new Transfers(options.longestTransferMs ?? DEFAULT_DECISIONS.transferMs, clock);
  const content = new Content({
    pinsOf,
    timedPinsOf,
    strictPins,
    peers,
    decisions,
    transfers,
    onUnreadable: unreadableWarner(onWarning),
  });
  const ownPage = (path: string) => pages.answer(path);
  const handler = new Handler({
    mirrors,
    peers,
    content,
    decisions,
    strictPins,
    ownPage,
    onWarning,
  });
  const account = options.user === undefined ? undefined : accountOf(options.user);
  const { accessLog } = options;
  const log =
    accessLog === undefined ? undefined : new AccessLogFile(accessLog, onWarning, account);
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  const servers = endpoints.map(() =>
    makeServer({ opened, handler, peers, requests, log, signal }),
  );
  let state: StateFile | undefined;
  const sweeper = setInterval(() => {
    strictPins.sweep();
    for (const one of allPins()) one.sweep();
    transfers.sweep();
  }, SWEEP_MS);
  try {
    const listening = servers.map((server, at) =>
      listen(server, endpoints[at] as Endpoint, onWarning),
    );
    // One that begins to listen after another has failed would not be closed.
    await Promise.allSettled(listening);
    const addresses = await Promise.all(listening);
    const directory = stateDirectory(options, addresses, account);
    if (account !== undefined) becomeUser(account);
    mirrors.forEach(refuseUnreadable);
    if (directory !== undefined) {
      state = await keepPins(directory, { pins, timedPins, strictPins, clock, onWarning });
    }
    open();
    onListening(addresses, mirrors);
    if (!signal.aborted) {
      await new Promise<void>((done) => signal.addEventListener('abort', () => done()));
    }
  } finally {
    open();
    await Promise.all(servers.map((server) => drain(server, options.drainMs ?? DEFAULT_DRAIN_MS)));
    clearInterval(sweeper);
    await state?.close();
    for (const one of allPins()) one.close();
    strictPins.close();
    log?.close();
  }
}

function pinFigures(pins: readonly Pins[], strict: ReadonlyMap<string, number>): PinFigures {
  const figures = pins.map((one) => one.figures());
  const oldestMs = Math.max(...figures.flatMap((one) => one.oldestMs ?? []));
  const all = [...figures.flatMap(({ counts }) => [...counts]), ...strict];
  const byId = new Map<string, number>();
  for (const [id, count] of all) byId.set(id, (byId.get(id) ?? 0) + count);
  const total = (counts: ReadonlyMap<string, number>) =>
    [...counts.values()].reduce((sum, count) => sum + count, 0);
  return {
    pins: total(byId) - total(strict),
    strictPins: total(strict),
    oldestSeconds: Number.isFinite(oldestMs) ? Math.round(oldestMs / 1000) : null,
    byId,
  };
}

/** One that is within the prefix of another comes first, so that it is found first. */
function openMirrors(roots: readonly ServedRoot[]): ServedMirror[] {
  return roots.map(serveMirror).sort((a, b) => placeOf(b).length - placeOf(a).length);
}

/** As they were named. */
function inOrderOf(roots: readonly ServedRoot[], mirrors: readonly ServedMirror[]): ServedMirror[] {
  return roots.flatMap(({ name }) => mirrors.filter((mirror) => mirror.name === name));
}

interface ServerParts {
  /** Requests wait for it. */
  readonly opened: Promise<void>;
  readonly handler: Handler;
  readonly peers: Peers;
  readonly requests: RequestCounts;
  readonly log: AccessLogFile | undefined;
  readonly signal: AbortSignal;
}

function makeServer({ opened, handler, peers, requests, log, signal }: ServerParts): Server {
  let isUnix: boolean | undefined;
  const server = createServerInTurn(LIMITS, 1, (request, response) => {
    isUnix ??= isUnixServer(server);
    if (signal.aborted) response.setHeader('Connection', 'close');
    const { socket } = request;
    const { bytesWritten } = socket;
    const time = new Date();
    const exchange = { request, response, isUnix };
    const address = log && peers.addressOf(exchange);
    response.once('close', () => {
      const bytes = bodyBytes(response, socket.bytesWritten - bytesWritten);
      requests.count(response.statusCode, bytes);
      if (address !== undefined) log?.write(logLine(request, response, { address, time, bytes }));
    });
    void opened.then(() => handler.answer(exchange));
  });
  server.maxConnections = MAX_CONNECTIONS;
  server.timeout = STALL_MS;
  return server;
}

/** What was sent of a body. @param sent all that was sent, of an answer that did not end. */
function bodyBytes(response: ServerResponse, sent: number): number {
  if (!response.writableFinished) return sent;
  if (response.req.method === 'HEAD' || [204, 304].includes(response.statusCode)) return 0;
  const length = response.getHeader('Content-Length');
  return length === undefined ? sent : Number(length);
}

const DRAIN_LOOK_MS = 50;

/** Takes no more connections, and waits for the answers that are being sent. */
async function drain(server: Server, drainMs: number): Promise<void> {
  if (!server.listening) return;
  const closed = new Promise<void>((done) => {
    server.close(() => done());
  });
  // A connection that becomes idle later is not closed by close().
  const look = setInterval(() => server.closeIdleConnections(), DRAIN_LOOK_MS);
  const impatience = setTimeout(() => server.closeAllConnections(), drainMs);
  await closed;
  clearInterval(look);
  clearTimeout(impatience);
}
