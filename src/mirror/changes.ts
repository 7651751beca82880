import {
  closeSync,
  createReadStream,
  createWriteStream,
  openSync,
  readdirSync,
  readSync,
  rmSync,
} from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { constants, createGunzip, createGzip } from 'node:zlib';
import { ifThere, openNewFile } from '../system/files.ts';
import { makeOwnDirectory } from '../system/own-files.ts';
import { currentId } from './current.ts';
import type { Layout } from './layout.ts';
import { NameSplitter, NameWriter, readNames } from './name-list.ts';
import type { PlanLists } from './plan/plan-lists.ts';
import { type ChangesHeader, checkChangesHeader, parseJson } from './settings/records.ts';
import { isSnapshotId } from './snapshot-id.ts';
import { findSpare } from './spare.ts';
import { snapshotIds } from './survey.ts';
import { identityIfThere } from './trees/identity.ts';

/** Longer than any header, whose longest parts are two ids; bytes. */
const HEADER_BYTES = 1024;

const FEW = 100;

/** So many names are remembered to list none twice; more may come twice, which does no harm. */
const MOST_REMEMBERED = 20_000;

/** A name in which a snapshot may differ from its base. */
export interface ChangedName {
  /** One character per byte (latin1). */
  name: string;
  /** What the base had there has gone, even if it was a directory. */
  isTakenOut: boolean;
}

/** The names that are taken out of a clone or transferred into it, in a file of staging. */
export class Changes {
  /** How many names there are. */
  count = 0;
  /** The base is not as it was published, so that the names may not be all. */
  isPartial = false;
  /** The file, in which a `-` precedes each name that was taken out, and a `+` all others. */
  readonly path: string;
  #remembered = new Set<string>();

  constructor({ staging }: Layout) {
    this.path = join(staging, '.changes');
    new NameWriter(this.path).close();
  }

  /** Adds what is about to change. */
  note(lists: PlanLists): void {
    const names = new NameWriter(this.path, 'append');
    const add = (mark: '-' | '+', name: string) => {
      if (this.#remembered.has(name)) return;
      if (this.#remembered.size >= MOST_REMEMBERED) this.#remembered = new Set();
      this.#remembered.add(name);
      names.write(mark + name);
      this.count += 1;
    };
    try {
      for (const { name, unless } of lists.removals()) {
        if (unless !== 'directory') add('-', name);
      }
      for (const name of lists.transferred()) add('+', name);
    } finally {
      names.close();
    }
  }

  *names(): Generator<ChangedName> {
    for (const line of readNames(this.path)) yield parseLine(line);
  }
}

function parseLine(line: string): ChangedName {
  return { name: line.slice(1), isTakenOut: line.startsWith('-') };
}

/**
 * Records in which names a tree differs from its base, of which it was a clone. It is written before the
 * publication flushes the filesystem, and so is as durable as the snapshot.
 *
 * ```
 * {"tree":…,"base":{"id":…,"tree":…},"entries":…,"count":…}   one line; each tree by its identity
 * names, as in `Changes`, compressed by gzip, whose checksum shows whether they are whole
 * ```
 *
 * Of so many changes that nobody will use it, there is no record, nor of partial ones.
 *
 * @param tree its path in staging.
 */
export async function recordChanges(
  layout: Layout,
  id: string,
  tree: string,
  { base, changes, entries }: { base: string; changes: Changes; entries: number },
): Promise<void> {
  if (changes.isPartial || !isWorthwhile(changes.count, entries)) return;
  const [own, ofBase] = [identityIfThere(tree), identityIfThere(layout.snapshot(base))];
  if (own === undefined || ofBase === undefined) return;
  makeOwnDirectory(layout.changes, 0o700);
  const header = { tree: own, base: { id: base, tree: ofBase }, entries, count: changes.count };
  const record = createWriteStream('', { fd: openNewFile(changesOf(layout, id), 0o600) });
  record.write(`${JSON.stringify(header satisfies ChangesHeader)}\n`);
  const fast = createGzip({ level: constants.Z_BEST_SPEED });
  await pipeline(createReadStream(changes.path), fast, record);
}

/** Forgets what a snapshot of this name differed in: a new one has it now. */
export function forgetChanges(layout: Layout, id: string): void {
  rmSync(changesOf(layout, id), { force: true });
}

/** What leads from one snapshot to a later one: all names in which they may differ. */
export interface Chain {
  /** How many publications it spans. */
  length: number;
  /** One that has changed several times comes several times. @throws Error if a record is not whole. */
  names(): AsyncGenerator<ChangedName>;
}

/**
 * Whether it is less work to bring an old snapshot up by so many names than to remove it and to make a new
 * clone of so many entries: each name is taken out and linked again, and looked at a few times. A few names
 * are less work than the programs that remove and clone even a small tree.
 */
function isWorthwhile(count: number, entries: number): boolean {
  return count <= FEW || count * 2 <= entries;
}

/**
 * The chain from a snapshot to the one that `current` names, which may be the same; undefined if a record is
 * missing, or a clone is less work.
 *
 * @param from `snapshot` is its identity.
 */
export function chainFrom(
  layout: Layout,
  from: { id: string; snapshot: string },
): Chain | undefined {
  const current = currentId(layout);
  const links: Link[] = [];
  const chain = { length: 0, names: () => namesIn(links) };
  if (current === from.id && identityIfThere(layout.snapshot(current)) === from.snapshot)
    return chain;
  let count = 0;
  for (const link of linksBelow(layout, current)) {
    chain.length = links.push(link);
    count += link.count;
    if (!isWorthwhile(count, links[0]?.entries ?? 0)) return undefined;
    if (link.base.id === from.id && link.base.tree === from.snapshot) return chain;
  }
  return undefined;
}

/** Removes the records that lead from no snapshot, nor the spare, to the one that `current` names. */
export function removeOldChanges(layout: Layout): void {
  const needed = new Set<string>();
  const spare = findSpare(layout)?.snapshot;
  let further: string[] = [];
  for (const { path, base } of linksBelow(layout, currentId(layout))) {
    further.push(path);
    if (![identityIfThere(layout.snapshot(base.id)), spare].includes(base.tree)) continue;
    for (const one of further) needed.add(one);
    further = [];
  }
  // After a rollback, what was current may be so again.
  for (const id of snapshotIds(layout)) needed.add(changesOf(layout, id));
  for (const name of ifThere(() => readdirSync(layout.changes)) ?? []) {
    const path = join(layout.changes, name);
    if (!needed.has(path)) rmSync(path, { force: true });
  }
}

/** A record that is the one of its snapshot, and where its names begin. */
interface Link extends ChangesHeader {
  path: string;
  /** bytes */
  offset: number;
}

/** The record of a snapshot, that of its base, and so on, as far as they are there. */
function* linksBelow(layout: Layout, top: string | undefined): Generator<Link> {
  let [id, tree] = [top, top && identityIfThere(layout.snapshot(top))];
  const seen = new Set<string>();
  while (id !== undefined && tree !== undefined && !seen.has(tree)) {
    seen.add(tree);
    const link = readLink(changesOf(layout, id));
    if (link?.tree !== tree) return;
    yield link;
    ({ id, tree } = link.base);
  }
}

async function* namesIn(links: readonly Link[]): AsyncGenerator<ChangedName> {
  for (const { path, offset } of links) {
    const splitter = new NameSplitter();
    const file = createReadStream(path, { start: offset });
    const content = createGunzip();
    file.on('error', (error) => content.destroy(error)).pipe(content);
    try {
      for await (const chunk of content) {
        for (const line of splitter.split(chunk as Buffer)) yield parseLine(line);
      }
    } finally {
      file.destroy();
    }
  }
}

function readLink(path: string): Link | undefined {
  const descriptor = ifThere(() => openSync(path, 'r'));
  if (descriptor === undefined) return undefined;
  try {
    const start = Buffer.alloc(HEADER_BYTES);
    const read = readSync(descriptor, start, 0, HEADER_BYTES, 0);
    const end = start.subarray(0, read).indexOf('\n');
    const checked = checkChangesHeader(parseJson(start.toString('utf8', 0, Math.max(0, end))));
    if ('problem' in checked || !isSnapshotId(checked.record.base.id)) return undefined;
    return { ...checked.record, path, offset: end + 1 };
  } finally {
    closeSync(descriptor);
  }
}

function changesOf({ changes }: Layout, id: string): string {
  return join(changes, id);
}
