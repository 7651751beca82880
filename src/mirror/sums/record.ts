import { createHash } from 'node:crypto';
import {
  closeSync,
  createReadStream,
  createWriteStream,
  fstatSync,
  fsyncSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { constants, createGunzip, createGzip } from 'node:zlib';
import { errnoOf } from '../../errors.ts';
import { Turns } from '../../system/event-loop.ts';
import { ifThere, lstatIfThere, openNewFile, syncDirectory } from '../../system/files.ts';
import { makeOwnDirectory } from '../../system/own-files.ts';
import { type Layout, LIVE } from '../layout.ts';
import { checkSumsHeader, parseJson, type SumsHeader } from '../settings/records.ts';
import { isSnapshotId } from '../snapshot-id.ts';
import { identityIfThere } from '../trees/identity.ts';
import type { Line } from './lines.ts';

/**
 * `.mirrorlatch/sums/ID` says what a snapshot was when it was published: what each entry was that differs from
 * the snapshot before, on whose record it leans. One that leans on none has all entries.
 *
 * ```
 * CHECK {"tree":…,"base":…,"at":…,"isLate":…}     one line; CHECK is a part of the SHA-256 of the rest
 * lines, sorted, see `Line` and `Facts`           compressed by gzip, whose checksum shows whether they are whole
 * ```
 *
 * A record stays when its snapshot is pruned, as long as another leans on it; see `foldRecords`. So a new
 * snapshot of that name has `ID~2`. No snapshot is named so.
 */
export interface SumRecord extends SumsHeader {
  /** The name of its file. */
  name: string;
  /** The size of the file; bytes. */
  size: number;
}

/** Longer than any header; bytes. */
const HEADER_BYTES = 1024;

const NUMBER_MARK = '~';

/** What an unfinished record ends in. */
const UNFINISHED = '.new';

const PIECE = 64 * 1024;

/** All records that are there and say whose they are, and the names of files that do not. */
export function readRecords(layout: Layout): { records: SumRecord[]; damaged: string[] } {
  const records: SumRecord[] = [];
  const damaged: string[] = [];
  for (const name of namesIn(layout)) {
    if (name.endsWith(UNFINISHED)) continue;
    const record = readRecord(layout, name);
    if (record === 'damaged') damaged.push(name);
    else if (record !== undefined) records.push(record);
  }
  return { records, damaged };
}

/** The id of the snapshot that a record is about, or was. */
export function idOf({ name }: Pick<SumRecord, 'name'>): string {
  return name.split(NUMBER_MARK)[0] ?? name;
}

/**
 * Of what was recorded under the id of a tree, that which is about this tree: the last.
 *
 * @param known what is known already: all records, and the path of the tree if it is in staging.
 */
export function recordOf(
  layout: Layout,
  id: string,
  known: { records?: readonly SumRecord[]; tree?: string } = {},
): SumRecord | undefined {
  const { records = readRecords(layout).records, tree = layout.snapshot(id) } = known;
  const identity = identityIfThere(tree);
  return records
    .filter((record) => idOf(record) === id && record.tree === identity)
    .sort((one, other) => numberOf(other) - numberOf(one))[0];
}

/** A name for another record of a snapshot of this id. */
export function freshName(layout: Layout, id: string): string {
  const numbers = namesIn(layout)
    .map((name) => ({ name: name.replace(UNFINISHED, '') }))
    .filter((record) => idOf(record) === id)
    .map(numberOf);
  const last = Math.max(0, ...numbers);
  return last === 0 ? id : `${id}${NUMBER_MARK}${last + 1}`;
}

/**
 * The record and those that it leans on, the newest first.
 *
 * @returns the name of a record that is missing or damaged instead.
 */
export function chainOf(layout: Layout, top: SumRecord): SumRecord[] | { lacking: string } {
  const chain = [top];
  for (let base = top.base; base !== null; ) {
    const next = isRecordName(base) ? readRecord(layout, base) : undefined;
    if (next === undefined || next === 'damaged' || chain.some(({ name }) => name === base))
      return { lacking: base };
    chain.push(next);
    base = next.base;
  }
  return chain;
}

/** Makes a record, or replaces it in one step: whatever leans on it has what it had. */
export async function writeRecord(
  layout: Layout,
  name: string,
  header: SumsHeader,
  lines: Iterable<Line>,
  signal: AbortSignal,
): Promise<void> {
  makeOwnDirectory(layout.sums, 0o700);
  const path = join(layout.sums, name);
  const descriptor = openNewFile(path + UNFINISHED, 0o600);
  const file = createWriteStream('', { fd: descriptor, autoClose: false });
  try {
    const text = JSON.stringify(header);
    file.write(`${checkOf(text)} ${text}\n`);
    const content = Readable.from(pieces(lines, signal), { objectMode: false });
    await pipeline(content, createGzip({ level: constants.Z_BEST_SPEED }), file);
    fsyncSync(descriptor);
  } catch (error) {
    rmSync(path + UNFINISHED, { force: true });
    throw error;
  } finally {
    closeSync(descriptor);
  }
  renameSync(path + UNFINISHED, path);
  syncDirectory(layout.sums);
}

export function removeRecord({ sums }: Layout, name: string): void {
  rmSync(join(sums, name), { force: true });
}

/** Removes what a crash left of records that were being written. */
export function removeUnfinished(layout: Layout): void {
  for (const name of namesIn(layout)) if (name.endsWith(UNFINISHED)) removeRecord(layout, name);
}

/**
 * Decompresses the lines of a record into a file.
 *
 * @returns false if the record is damaged, or gone.
 */
export async function unpackRecord(
  { sums }: Layout,
  name: string,
  to: string,
  signal: AbortSignal,
): Promise<boolean> {
  const path = join(sums, name);
  const start = ifThere(() => readStart(path));
  if (start === undefined) return false;
  const packed = createReadStream(path, { start: start.bytes.indexOf('\n') + 1 });
  try {
    await pipeline(packed, createGunzip(), createWriteStream(to, { mode: 0o600 }), { signal });
    return true;
  } catch (error) {
    if (errnoOf(error)?.startsWith('Z_') || errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
}

async function* pieces(lines: Iterable<Line>, signal: AbortSignal): AsyncGenerator<Buffer> {
  const turns = new Turns(signal);
  let text = '';
  for (const { key, said } of lines) {
    await turns.step();
    text += `${key}${said}\0`;
    if (text.length < PIECE) continue;
    yield Buffer.from(text, 'latin1');
    text = '';
  }
  yield Buffer.from(text, 'latin1');
}

function readRecord({ sums }: Layout, name: string): SumRecord | 'damaged' | undefined {
  const start = ifThere(() => readStart(join(sums, name)));
  if (start === undefined) return undefined;
  const [, check, text = ''] = /^(\w+) (.*)\n/.exec(start.bytes.toString('latin1')) ?? [];
  if (check !== checkOf(text)) return 'damaged';
  const checked = checkSumsHeader(parseJson(text));
  return 'problem' in checked ? 'damaged' : { ...checked.record, name, size: start.size };
}

/** @returns what the file begins with, and its size in bytes. */
function readStart(path: string): { bytes: Buffer; size: number } {
  const descriptor = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(HEADER_BYTES);
    const read = readSync(descriptor, bytes, 0, HEADER_BYTES, 0);
    return { bytes: bytes.subarray(0, read), size: fstatSync(descriptor).size };
  } finally {
    closeSync(descriptor);
  }
}

function checkOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

/** A symlink in its place is somebody's, and so is what it leads to. */
function namesIn({ sums }: Layout): string[] {
  if (!lstatIfThere(sums)?.isDirectory()) return [];
  return (ifThere(() => readdirSync(sums)) ?? []).filter((name) => isRecordName(name));
}

function isRecordName(name: string): boolean {
  const id = idOf({ name: name.replace(UNFINISHED, '') });
  return isSnapshotId(id) || id === LIVE;
}

function numberOf({ name }: Pick<SumRecord, 'name'>): number {
  return Number(name.split(NUMBER_MARK)[1] ?? 1);
}
