import { type BigIntStats, readlinkSync } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { errnoOf, MirrorlatchError } from '../../errors.ts';
import { type Name, type Names, withNames } from './directory-names.ts';
import { PAGE_END, pageHead, pageRow, type Row } from './listing-page.ts';
import { isWithin, type Opened } from './place-in-tree.ts';
import { type Guest, Turns } from './turns.ts';
import { writeBody } from './write-body.ts';

/** A directory to list, which stays open until then. */
export interface Directory extends Opened {
  /** The absolute and real path of the snapshot. */
  readonly tree: string;
  /** The path of the request, percent-encoded. */
  readonly url: string;
  /** Whether it is the snapshot's own top. */
  readonly isTop: boolean;
  /** For whom: each has a turn after the other. */
  readonly client: () => string;
}

/** How many entries are looked at, and written, at a time. */
const SLICE = 64;

/** What is looked at for all listings together: others who want something of the disk wait no longer than for this. */
const turns = new Turns({ together: 2, most: 500, mostOfClient: 50 });

/**
 * Writes the listing of a directory as the body of a response. It never is a page in memory: a large one
 * is some 20 MB, and its client may be slow.
 *
 * @returns false, with nothing written, if too many listings are being written.
 */
export async function writeListing(
  request: IncomingMessage,
  response: ServerResponse,
  directory: Directory,
): Promise<boolean> {
  const guest = turns.enter(directory.client());
  if (guest === undefined) return false;
  const { descriptor, status } = directory;
  try {
    return await withNames(descriptor, status, guest.turn, (names) =>
      writeNames(request, response, directory, guest, names),
    );
  } finally {
    guest.leave();
  }
}

async function writeNames(
  request: IncomingMessage,
  response: ServerResponse,
  directory: Directory,
  { turn }: Guest,
  names: Names,
): Promise<void> {
  response.write(pageHead(directory.url, directory.isTop));
  for (let start = 0; start < names.length; start += SLICE) {
    const slice = names.slice(start, start + SLICE);
    const rows = await turn(() => Promise.all(slice.map((name) => lookAt(directory, name))));
    const text = rows.map((row) => (row === undefined ? '' : pageRow(row))).join('');
    if (!(await writeBody(request, response, text))) return;
  }
  refuseIfMoved(directory);
  response.end(PAGE_END);
}

/**
 * A snapshot that is removed is moved away first. Then entries may be missing from the page, and its end must not say that
 * it is whole.
 *
 * @throws MirrorlatchError IO
 */
function refuseIfMoved({ descriptor, tree }: Directory): void {
  const now = readlinkSync(`/proc/self/fd/${descriptor}`, 'buffer');
  if (isWithin(tree, now)) return;
  throw new MirrorlatchError('IO', `${tree} was removed while a directory of it was listed`);
}

/** @returns undefined if the entry has gone. */
async function lookAt(
  { descriptor, tree }: Directory,
  { name, isItself }: Name,
): Promise<Row | undefined> {
  const path = Buffer.from(`/proc/self/fd/${descriptor}/${name}`, 'latin1');
  try {
    const status = await stat(path, { bigint: true });
    const isOurs = isItself || isWithin(tree, await realpath(path, 'buffer'));
    const kind = isOurs ? kindOf(status) : 'other';
    return { name, kind, bytes: status.size, modified: status.mtime };
  } catch (error) {
    if (isItself && errnoOf(error) === 'ENOENT') return undefined;
    return { name, kind: 'other', bytes: 0n, modified: undefined };
  }
}

function kindOf(status: BigIntStats): Row['kind'] {
  if (status.isDirectory()) return 'directory';
  return status.isFile() ? 'file' : 'other';
}
