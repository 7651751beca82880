import type { BigIntStats } from 'node:fs';
import { opendir, realpath, stat } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { errnoOf } from '../errors.ts';
import { PAGE_END, pageHead, pageRow, type Row } from './listing-page.ts';
import { isWithin } from './place-in-tree.ts';
import { writeBody } from './write-body.ts';

/** A directory to list. */
export interface Directory {
  /** Open, and open until the end of the listing. */
  readonly descriptor: number;
  /** The absolute and real path of the snapshot. */
  readonly tree: string;
  /** The path of the request, percent-encoded. */
  readonly url: string;
  /** Whether it is the snapshot's own top. */
  readonly isTop: boolean;
}

/** How many entries are looked at, and written, at a time. */
const SLICE = 256;

/**
 * Writes the listing of a directory as the body of a response: directories first, then in the order of
 * bytes. A large directory is never a page in memory, only its names are.
 */
export async function writeListing(
  request: IncomingMessage,
  response: ServerResponse,
  directory: Directory,
): Promise<void> {
  const names = await readNames(directory.descriptor);
  response.write(pageHead(directory.url, directory.isTop));
  for (let start = 0; start < names.length; start += SLICE) {
    const rows = await Promise.all(
      names.slice(start, start + SLICE).map((name) => lookAt(directory, name)),
    );
    const text = rows.map((row) => (row === undefined ? '' : pageRow(row))).join('');
    if (!(await writeBody(request, response, text))) return;
  }
  response.end(PAGE_END);
}

/** An entry of a directory before it is looked at. */
interface Name {
  readonly name: string;
  /** Whether the entry is the file or directory itself, and no symlink to one. */
  readonly isItself: boolean;
}

async function readNames(descriptor: number): Promise<Name[]> {
  const directory = await opendir(`/proc/self/fd/${descriptor}`, {
    encoding: 'latin1',
    bufferSize: SLICE,
  });
  const directories: Name[] = [];
  const others: Name[] = [];
  for await (const entry of directory) {
    const isItself = entry.isFile() || entry.isDirectory();
    (entry.isDirectory() ? directories : others).push({ name: entry.name, isItself });
  }
  for (const list of [directories, others]) list.sort((a, b) => (a.name < b.name ? -1 : 1));
  return [...directories, ...others];
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
