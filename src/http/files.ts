import { close, type Stats } from 'node:fs';
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import send from 'send';
import { specialContentType } from './content-type.ts';
import { directoryLocation } from './directory-location.ts';
import { writeListing } from './listing.ts';
import { CONTENT_SECURITY_POLICY } from './listing-page.ts';
import { type Found, type Opened, openInTree } from './place-in-tree.ts';
import { type ByteRange, sendDescriptor } from './send-descriptor.ts';
import {
  isPreconditionFailure,
  isRangeOfSame,
  isUnchanged,
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
}

/** What a directory shows in the place of its listing; an npm packument is the second. */
const INDEXES = ['index.html', 'index.json'];

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
  const found = await openInTree(place.tree, place.name);
  if (found.kind === 'missing') return 'missing';
  response.setHeader('X-Mirrorlatch-Snapshot', place.snapshotId);
  try {
    await answer(request, response, place, found);
  } catch (error) {
    if (response.headersSent) response.destroy();
    throw error;
  }
  return 'sent';
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  place: Place,
  found: Exclude<Found, { readonly kind: 'missing' }>,
): Promise<void> {
  if (found.kind === 'refused') return refuse(response, 403);
  try {
    if (found.kind === 'file') await sendFile(request, response, place, found);
    else if (place.url.endsWith('/')) await sendDirectory(request, response, place, found);
    else redirectToDirectory(response, place);
  } finally {
    close(found.descriptor);
  }
}

/** The headers, the conditions and the ranges are those of `send`; the path and the bytes are ours. */
async function sendFile(
  request: IncomingMessage,
  response: ServerResponse,
  place: Place,
  { descriptor, status }: Opened,
): Promise<void> {
  const validators = validatorsOf(status);
  const name = place.name.toString('latin1');
  const type = specialContentType(name.slice(name.lastIndexOf('/') + 1));
  if (type !== undefined) response.setHeader('Content-Type', type);
  response.setHeader('Cache-Control', place.cacheControl);
  response.setHeader('ETag', validators.etag);
  response.setHeader('Last-Modified', validators.lastModified);

  let body: Promise<void> | undefined;
  const answer = withExactConditions(send(request, '/', { index: false }), request, validators);
  // `send` would take the bytes of the name for UTF-8, and has no use for what is open already.
  answer.sendFile = () => answer.send(name, { size: Number(status.size) } as Stats);
  answer.stream = (_, range) => {
    body = sendDescriptor(request, response, descriptor, range as ByteRange);
  };
  answer.on('error', ({ status, headers }: { status: number; headers?: Record<string, string> }) =>
    refuse(response, status, headers),
  );
  answer.pipe(response);
  await body;
}

/**
 * Compares dates for equality, and strong validators strongly, where `send` does not. See `Validators`.
 * The types of `send` do not name the method for preconditions.
 */
function withExactConditions(
  answer: send.SendStream & { isPreconditionFailure?: () => boolean },
  { headers }: IncomingMessage,
  own: Validators,
): send.SendStream {
  answer.isFresh = () => isUnchanged(headers, own);
  answer.isRangeFresh = () => isRangeOfSame(headers, own);
  answer.isPreconditionFailure = () => isPreconditionFailure(headers, own);
  return answer;
}

async function sendDirectory(
  request: IncomingMessage,
  response: ServerResponse,
  place: Place,
  { descriptor }: Opened,
): Promise<void> {
  for (const index of INDEXES) {
    const name = Buffer.concat([place.name, Buffer.from(`/${index}`)]);
    const found = await openInTree(place.tree, name);
    if (found.kind === 'missing') continue;
    if (found.kind !== 'directory') return answer(request, response, { ...place, name }, found);
    close(found.descriptor);
  }
  response.setHeader('Cache-Control', place.cacheControl);
  response.setHeader('Content-Type', 'text/html; charset=utf-8');
  response.setHeader('Content-Security-Policy', CONTENT_SECURITY_POLICY);
  if (request.method === 'HEAD') response.end();
  else {
    const isTop = place.name.length === 0;
    await writeListing(request, response, { descriptor, tree: place.tree, url: place.url, isTop });
  }
}

function redirectToDirectory(response: ServerResponse, place: Place): void {
  response.setHeader('Cache-Control', place.cacheControl);
  response.setHeader('Location', directoryLocation(place.url));
  say(response, 301);
}

/** Answers with a status, and without what belongs to the content that is not sent. */
function refuse(
  response: ServerResponse,
  status: number,
  headers: Record<string, string> = {},
): void {
  for (const name of ['Content-Type', 'Content-Length', 'ETag', 'Last-Modified', 'Accept-Ranges']) {
    response.removeHeader(name);
  }
  response.setHeader('Cache-Control', 'no-cache');
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  say(response, status);
}

function say(response: ServerResponse, status: number): void {
  const text = `${status} ${STATUS_CODES[status]}\n`;
  response.statusCode = status;
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.setHeader('Content-Length', Buffer.byteLength(text));
  response.end(text);
}
