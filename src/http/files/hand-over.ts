import { closeSync, statSync } from 'node:fs';
import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import { ifThere } from '../../system/files.ts';
import { inLatin1 } from '../latin1.ts';
import { percentEncoded } from '../percent.ts';
import { type Opened, openInTree } from './place-in-tree.ts';
import { validatorsOf } from './validators.ts';

/** A web server in front that sends a file when it is told where that is: nginx, by X-Accel-Redirect. */
export interface WebServer {
  /** Where its own URLs for the files of a tree begin, which no client can ask for; ends with a slash. */
  readonly place: string;
}

/**
 * An ETag for all files of a published snapshot. The own ones of a web server are often time and size, which two files
 * can share. An id may come again, and so may a directory, recycled for a later snapshot; but its publication, a rename,
 * moves the time of the last change of its status.
 */
export function tagOfTree(tree: string): string {
  const { ino, ctimeNs } = statSync(tree, { bigint: true });
  return `"${[ino, ctimeNs].map((part) => part.toString(36)).join('.')}"`;
}

/**
 * The ETag of a file behind a web server in front: one by which the client knows this very file, if it names such a
 * one. It may have the file out of another tree.
 */
export async function tagForClient(
  headers: IncomingHttpHeaders,
  {
    tree,
    name,
    isFrozen,
    otherTrees,
  }: {
    readonly tree: string;
    readonly name: Buffer;
    readonly isFrozen: boolean;
    readonly otherTrees: () => readonly string[];
  },
  { status }: Opened,
): Promise<string> {
  const own = validatorsOf(status, isFrozen).etag;
  if (!isFrozen) return own;
  const tag = tagOfTree(tree);
  const named = tagsIn(headers);
  for (const known of [tag, own]) if (named.has(known)) return known;
  if (named.size === 0) return tag;
  for (const other of otherTrees()) {
    const known = ifThere(() => tagOfTree(other));
    if (known === undefined || !named.has(known)) continue;
    if ((await tagIn(other, name)) === own) return known;
  }
  return tag;
}

function tagsIn(headers: IncomingHttpHeaders): ReadonlySet<string> {
  const fields = [headers['if-none-match'], headers['if-match'], headers['if-range']];
  return new Set(fields.join().match(/"[^"]*"/g));
}

/** Of a snapshot. @returns undefined if there is no such file. */
async function tagIn(tree: string, name: Buffer): Promise<string | undefined> {
  const found = await openInTree(tree, name);
  if (found.kind === 'missing' || found.kind === 'refused') return undefined;
  closeSync(found.descriptor);
  return validatorsOf(found.status, true).etag;
}

/**
 * Whether the web server can answer as we would, with the file or a range of it. Of other conditions it knows too
 * little: it has no ETag before it sends one, and takes every date for a sure one.
 */
export function isForWebServer(
  headers: IncomingHttpHeaders,
  own: { readonly etag: string; readonly lastModified: string },
): boolean {
  if (UNKNOWN.some((name) => headers[name] !== undefined)) return false;
  const tags = headers['if-none-match'];
  if (tags !== undefined && (tags.trim() === '*' || tagsIn(headers).has(own.etag))) return false;
  const dates = [
    headers['if-range'],
    tags === undefined ? headers['if-modified-since'] : undefined,
  ];
  return !dates.some((date) => Date.parse(String(date)) === Date.parse(own.lastModified));
}

const UNKNOWN = ['if-match', 'if-unmodified-since'] as const;

/** Says which file to send, by a path without a symlink in it. The headers of the file are set already. */
export function handOver(
  response: ServerResponse,
  { place }: WebServer,
  tree: string,
  { real }: Opened,
): void {
  const below = real.subarray(Buffer.byteLength(tree) + 1).toString('latin1');
  response.setHeader('X-Accel-Redirect', place + percentEncoded(below, UNSAFE));
  response.setHeader('X-Mirrorlatch-Tree', inLatin1(tree));
  // Without it, nginx would take the connection to be at its end.
  response.setHeader('Content-Length', '0');
  response.end();
}

const UNSAFE = /[^A-Za-z0-9\-._~/]/g;
