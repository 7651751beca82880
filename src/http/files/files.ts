import { type BigIntStats, close, type Stats } from 'node:fs';
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import send from 'send';
import { RETRY_AFTER } from '../answers.ts';
import { specialContentType } from './content-type.ts';
import { directoryLocation } from './directory-location.ts';
import { handOver, isForWebServer, tagForClient, type WebServer } from './hand-over.ts';
import { writeListing } from './listing.ts';
import { CONTENT_SECURITY_POLICY } from './listing-page.ts';
import { type Found, type Opened, openInTree, pathInTree } from './place-in-tree.ts';
import { type ByteRange, readWhole, sendDescriptor } from './send-descriptor.ts';
import {
  isWorthKeeping,
  recallSmallFile,
  rememberSmallFile,
  type SmallFile,
} from './small-files.ts';
import {
  hasConditions,
  isDateSure,
  isPreconditionFailure,
  isRangeOfSame,
  isRangeOfUnsureDate,
  isUnchanged,
  type Recognition,
  type Validators,
  validatorsOf,
} from './validators.ts';

/** A path in a snapshot, and how long its answer may be kept. */
export interface Place {
  /** The absolute and real path of the snapshot. */
  readonly tree: string;
  /** The raw bytes below it, without a leading slash; empty for the tree itself. A trailing slash is kept. */
  readonly name: Buffer;
  /** The path of the request as the client sent it, without its query. */
  readonly url: string;
  /** The value of the header. */
  readonly cacheControl: string;
  readonly snapshotId: string;
  /** Whether it is published, so that nothing in it is ever written again. */
  readonly isFrozen: boolean;
  /** Of a tree that no lease keeps: whether another one is in its place, or none. */
  readonly isReplaced?: (() => boolean) | undefined;
  /** Other trees out of which the same URL was sent at other times, as far as they are still there. */
  readonly otherTrees: () => readonly string[];
  /** The one in front, which sends a file itself when it is told where that is. */
  readonly webServer?: WebServer | undefined;
  /** Who asks, as far as clients get their share of what all of them want. */
  readonly client: () => string;
  /** Told of a path that this process may not read. */
  readonly onUnreadable?: ((path: Buffer) => void) | undefined;
}

/** What a directory shows in the place of its listing; an npm packument is the second. */
const [FIRST_INDEX, ...OTHER_INDEXES] = ['/index.html', '/index.json'] as const;

/**
 * Answers GET and HEAD with a file, a directory's index or listing, or what is wrong with the path.
 * Where it throws, the caller answers 500 if `response.headersSent` is false, and reports the error.
 *
 * @returns `missing`, with nothing sent, if the tree has no such path.
 * @throws the error of the system call if the disk fails. What was begun is cut off, so the client knows.
 */
export async function sendPlace(
  request: IncomingMessage,
  response: ServerResponse,
  place: Place,
): Promise<'sent' | 'missing'> {
  const likely = place.url.endsWith('/') ? { ...place, name: below(place, FIRST_INDEX) } : place;
  const isOurs = place.webServer === undefined;
  const small =
    isOurs && !place.isReplaced?.() ? recallSmallFile(likely.tree, likely.name) : undefined;
  if (small !== undefined) {
    sendSmallFile(request, response, likely, small);
    return 'sent';
  }
  const found = await find(place, place.name);
  if (found.kind === 'missing') return 'missing';
  try {
    await sendFound(request, response, place, found);
  } catch (error) {
    if (response.headersSent) response.destroy();
    throw error;
  }
  return 'sent';
}

/** Looks whether it is still the tree only after it has found something there, as that may be another's. */
async function find({ tree, isReplaced }: Place, name: Buffer): Promise<Found> {
  const found = await openInTree(tree, name);
  if (!isReplaced?.()) return found;
  if (found.kind === 'file' || found.kind === 'directory') close(found.descriptor);
  return { kind: 'missing' };
}

async function sendFound(
  request: IncomingMessage,
  response: ServerResponse,
  place: Place,
  found: Exclude<Found, { readonly kind: 'missing' }>,
): Promise<void> {
  if (found.kind === 'refused') {
    if (found.isUnreadable) place.onUnreadable?.(pathInTree(place.tree, place.name));
    return refuse(response, place, 403);
  }
  try {
    if (found.kind === 'file') {
      const { webServer } = place;
      if (webServer === undefined) await sendFile(request, response, place, found);
      else await sendOrHandOver(webServer, request, response, place, found);
    } else if (place.url.endsWith('/')) await sendDirectory(request, response, place, found);
    else redirectToDirectory(response, place);
  } finally {
    close(found.descriptor);
  }
}

async function sendDirectory(
  request: IncomingMessage,
  response: ServerResponse,
  place: Place,
  directory: Opened,
): Promise<void> {
  for (const index of [FIRST_INDEX, ...OTHER_INDEXES]) {
    const name = below(place, index);
    const found = await find(place, name);
    if (found.kind === 'missing') continue;
    if (found.kind !== 'directory') {
      return sendFound(request, response, { ...place, name }, found);
    }
    close(found.descriptor);
  }
  setHeaders(response, {
    ...headersOf(place),
    'Content-Type': 'text/html; charset=utf-8',
    'Content-Security-Policy': CONTENT_SECURITY_POLICY,
  });
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  const { tree, url, client } = place;
  const isTop = place.name.length === 0;
  const isWritten = await writeListing(request, response, {
    ...directory,
    tree,
    url,
    isTop,
    client,
  });
  if (!isWritten) refuse(response, place, 503, RETRY_AFTER);
}

function below({ name }: Place, index: string): Buffer {
  return Buffer.concat([name, Buffer.from(index)]);
}

async function sendFile(
  request: IncomingMessage,
  response: ServerResponse,
  place: Place,
  file: Opened,
): Promise<void> {
  const { status } = file;
  const validators = validatorsOf(status, place.isFrozen);
  const size = Number(status.size);
  const own = recognitionOf(place, validators, status);
  const range = answerByLibrary(request, response, place, own, size);
  if (range === undefined) return;
  if (!isWorthKeeping(place.tree, place.name, size)) {
    return await sendDescriptor(request, response, file, range);
  }
  const body = await readWhole(file);
  const contentType = String(response.getHeader('Content-Type'));
  rememberSmallFile(place.tree, place.name, { status, body, validators, contentType });
  response.end(body.subarray(range.start, range.end + 1));
}

/** Lets the web server send a file, unless the answer has none, or depends on what only we know. */
async function sendOrHandOver(
  webServer: WebServer,
  request: IncomingMessage,
  response: ServerResponse,
  place: Place,
  file: Opened,
): Promise<void> {
  const etag = await tagForClient(request.headers, place, file);
  const validators = validatorsOf(file.status, place.isFrozen);
  const own = { ...recognitionOf(place, validators, file.status), etag };
  if (isForWebServer(request.headers, own)) {
    setHeaders(response, { ...headersOf(place), ...headersOfFile(own) });
    handOver(response, webServer, place.tree, file);
    return;
  }
  const range = answerByLibrary(request, response, place, own, Number(file.status.size));
  if (range !== undefined) await sendDescriptor(request, response, file, range);
}

/** Most clients just want the file, and then there is nothing left to decide. */
function sendSmallFile(
  request: IncomingMessage,
  response: ServerResponse,
  place: Place,
  { status, body, validators, contentType }: SmallFile,
): void {
  if (!hasConditions(request.headers)) {
    // Set by itself, it can be read afterwards, for the log.
    response.setHeader('Content-Length', body.length);
    response.writeHead(200, {
      ...headersOf(place),
      ...headersOfFile(validators),
      'Content-Type': contentType,
      'Accept-Ranges': 'bytes',
    });
    response.end(body);
    return;
  }
  const own = recognitionOf(place, validators, status);
  const range = answerByLibrary(request, response, place, own, body.length);
  if (range !== undefined) response.end(body.subarray(range.start, range.end + 1));
}

function recognitionOf(
  { name, otherTrees }: Place,
  validators: Validators,
  status: BigIntStats,
): Recognition {
  return { ...validators, isDateSure: () => isDateSure(status, name, otherTrees()) };
}

/**
 * Lets `send` decide what a request for a file gets: headers, conditions, ranges. The path and the bytes
 * are ours, because `send` decodes names as UTF-8, and knows no descriptor that is open already.
 *
 * @returns the bytes that the body is to have; undefined if the response has none, and has ended.
 */
function answerByLibrary(
  request: IncomingMessage,
  response: ServerResponse,
  place: Place,
  own: Recognition,
  size: number,
): ByteRange | undefined {
  const name = place.name.toString('latin1');
  const type = specialContentType(name.slice(name.lastIndexOf('/') + 1));
  setHeaders(response, { ...headersOf(place), ...headersOfFile(own) });
  // By it, a web server in front would cut the range out of the whole.
  if (isRangeOfUnsureDate(request.headers, own)) response.removeHeader('Last-Modified');
  if (type !== undefined) response.setHeader('Content-Type', type);
  request.headers.range = withinSize(request.headers.range, size);
  let body: ByteRange | undefined;
  const answer = withExactConditions(
    send(request, '/', { index: false, lastModified: false }),
    request,
    own,
  );
  answer.sendFile = () => answer.send(name, { size } as Stats);
  answer.stream = (_, range) => {
    const { start, end } = range as ByteRange;
    // Of an empty file, `send` names the first byte.
    body = { start, end: Math.min(end, size - 1) };
  };
  answer.on('error', ({ status, headers }: HttpError) => refuse(response, place, status, headers));
  answer.pipe(response);
  return body;
}

/** `send` takes the last bytes of a file for none if there are fewer; they are all then (RFC 9110, 14.1.2). */
function withinSize(range: string | undefined, size: number): string | undefined {
  const [, last] = /^\s*bytes=\s*-(\d+)\s*$/i.exec(range ?? '') ?? [];
  return last !== undefined && size > 0 && Number(last) > size ? 'bytes=0-' : range;
}

/** What `send` says is wrong with a request, and the headers that its answer needs. */
interface HttpError {
  readonly status: number;
  readonly headers?: Headers;
}

type Headers = Readonly<Record<string, string>>;

/**
 * Compares dates for equality, and strong validators strongly, where `send` does not. See `Validators`.
 * The types of `send` do not name the method for preconditions.
 */
function withExactConditions(
  answer: send.SendStream & { isPreconditionFailure?: () => boolean },
  { headers }: IncomingMessage,
  own: Recognition,
): send.SendStream {
  answer.isFresh = () => isUnchanged(headers, own);
  answer.isRangeFresh = () => isRangeOfSame(headers, own);
  answer.isPreconditionFailure = () => isPreconditionFailure(headers, own);
  return answer;
}

function redirectToDirectory(response: ServerResponse, place: Place): void {
  setHeaders(response, { ...headersOf(place), Location: directoryLocation(place.url) });
  say(response, 301);
}

/** Takes back what was said of a content that is not sent. */
function refuse(
  response: ServerResponse,
  place: Place,
  status: number,
  headers: Headers = {},
): void {
  for (const name of ['Content-Type', 'ETag', 'Last-Modified', 'Accept-Ranges']) {
    response.removeHeader(name);
  }
  setHeaders(response, { ...headersOf(place), 'Cache-Control': 'no-cache', ...headers });
  say(response, status);
}

function say(response: ServerResponse, status: number): void {
  const text = `${status} ${STATUS_CODES[status]}\n`;
  setHeaders(response, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': String(Buffer.byteLength(text)),
  });
  response.statusCode = status;
  response.end(text);
}

function headersOf({ cacheControl, snapshotId }: Place): Headers {
  return { 'Cache-Control': cacheControl, 'X-Mirrorlatch-Snapshot': snapshotId };
}

function headersOfFile({ etag, lastModified }: Validators): Headers {
  return { ETag: etag, 'Last-Modified': lastModified };
}

function setHeaders(response: ServerResponse, headers: Headers): void {
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
}
