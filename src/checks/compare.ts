import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { errnoOf } from '../errors.ts';
import { NameWriter } from '../mirror/name-list.ts';
import { readableName } from '../mirror/names.ts';
import { joined, type Line, linesIn, nameOfKey } from '../mirror/sums/lines.ts';
import { Turns } from '../system/event-loop.ts';
import { InParallel } from '../system/in-parallel.ts';
import { type Hasher, isPackageHash, packageHasher } from './alpine/package-hash.ts';
import { type Checksum, type Claim, parseClaim, showClaim, showSum } from './claims.ts';
import { A_FILE } from './finding.ts';
import { type Hashed, HashThreads } from './hash-threads.ts';
import { ctimeIn, type Seen, seenOf, sizeIn, withoutCtime } from './seen-files.ts';
import type { Session } from './session.ts';
import type { FoundFile, TreeFiles } from './tree-files.ts';

/** What of a check has been done. */
export interface Progress {
  files: number;
  bytes: number;
  totalFiles: number;
  totalBytes: number;
}

/** What came of a comparison of a tree with what it says of itself. */
export interface Compared {
  /** Those of which something was said, and that are there. */
  files: number;
  /** Those of them whose content was held against a checksum. */
  summed: number;
  read: { files: number; bytes: number };
  /** A file with the lines of claims on files that are not there; undefined if all are. */
  missing: string | undefined;
  /** A file with the lines of what was found to be right, see `verifiedLine`. */
  verified: string;
}

/** By what a file counts as the one that was found right before. */
export interface Trust {
  /** Hard links do not change the ctime of files there, and rsync may write to them. */
  isInPlace: boolean;
  /** What has this ctime or a later one is read: a command may have written to it, and set its time back; ns since the epoch. */
  since: bigint | undefined;
}

/** @param said see `verifiedLine`. */
function isAsVerified(said: string, seen: Seen, { isInPlace, since }: Trust): boolean {
  if (since !== undefined && ctimeIn(seen) >= since) return false;
  return said.startsWith(`${isInPlace ? seen : withoutCtime(seen)} `);
}

function sumIn(said: string): Checksum {
  const [algorithm, hex = ''] = said.slice(said.lastIndexOf(' ') + 1).split(':');
  return { algorithm: algorithm as Checksum['algorithm'], hex };
}

/** Sorted lines. */
export interface Said {
  /** See `Claim`. */
  claims: Iterable<Line>;
  /** What was found right before, see `verifiedLine`. */
  known: Iterable<Line>;
  /** The names of files of which no claim counts. */
  settled: Iterable<Line>;
  /** See `seenFiles`; what is not among them is looked up. */
  files: Iterable<Line>;
}

/** Compares what was claimed of files with what they are, and reads what has to be read. */
export async function compareClaims(
  { claims, known, settled, files: listed }: Said,
  trust: Trust,
  session: Session,
  onProgress: (progress: Progress) => void,
): Promise<Compared> {
  const { work, signal } = session.options;
  const paths = {
    missing: join(work, 'missing'),
    reading: join(work, 'reading'),
    verified: join(work, 'verified'),
  };
  const missing = new NameWriter(paths.missing);
  const reading = new NameWriter(paths.reading);
  const verified = new NameWriter(paths.verified);
  const turns = new Turns(signal);
  const total = { files: 0, bytes: 0 };
  let files = 0;
  let summed = 0;
  try {
    for (const { key, said } of joined([claims, known, settled, listed])) {
      await turns.step();
      const [claimed = [], before = [], isSettled = [], [inList] = []] = said;
      if (claimed.length === 0 || isSettled.length > 0) continue;
      const name = nameOfKey(key);
      const seen = (inList as Seen | undefined) ?? lookAt(name, session);
      if (seen === 'missing') {
        // A size says whether it was left out on purpose.
        missing.write(
          key + (claimed.find((one) => parseClaim(one).size !== undefined) ?? claimed[0]),
        );
        continue;
      }
      files += 1;
      if (seen === 'not-regular') {
        addIrregular(name, claimed, session);
        continue;
      }
      const toRead = judge(name, seen, distinct(claimed), session);
      if (toRead.length === 0) continue;
      summed += 1;
      const right = before.filter((one) => isAsVerified(one, seen, trust)).map(sumIn);
      const isKnown = ({ sum }: Claim) => right.some((one) => showSum(one) === showSum(sum));
      for (const sum of right) verified.write(verifiedLine(key, seen, sum));
      const unread = toRead.filter((claim) => !isKnown(claim));
      if (unread.length === 0) continue;
      for (const claim of unread) reading.write(key + showClaim(claim));
      total.files += 1;
      total.bytes += sizeIn(seen);
    }
    reading.close();
    await readAll(paths.reading, total, verified, session, onProgress);
  } finally {
    for (const writer of [missing, verified]) writer.close();
  }
  return {
    files,
    summed,
    read: total,
    missing: missing.isEmpty ? undefined : paths.missing,
    verified: paths.verified,
  };
}

/** Says that a file has this checksum as long as the same is seen of it: what is seen, and `ALGORITHM:HEX`. */
function verifiedLine(key: string, seen: Seen, sum: Checksum): string {
  return `${key}${seen} ${showSum(sum)}`;
}

/** Of claims that say the same, the first. */
function distinct(said: readonly string[]): Claim[] {
  const claims = said.map(parseClaim);
  const same = ({ size, sum }: Claim) => showClaim({ size, sum, by: '' });
  return [...new Map(claims.toReversed().map((claim) => [same(claim), claim])).values()];
}

function lookAt(name: string, { files }: Session): Seen | 'missing' | 'not-regular' {
  const found = files.find(name);
  return typeof found === 'string' ? found : seenOf(found);
}

function addIrregular(name: string, claimed: readonly string[], { findings }: Session): void {
  const kind = 'something else, or a symlink that leads out of the tree';
  findings.add(name, 'not-regular', 'a regular file', kind, claimed.map(parseClaim)[0]?.by);
}

/** Judges by what needs no reading. @returns the claims that do. */
function judge(name: string, seen: Seen, claims: readonly Claim[], { findings }: Session): Claim[] {
  const size = sizeIn(seen);
  const other = claims.find((claim) => claim.size !== undefined && claim.size !== size);
  if (other !== undefined) {
    findings.add(name, 'size', `${other.size} bytes`, `${size} bytes`, other.by);
    return [];
  }
  return claims.filter(({ sum }) => sum !== undefined);
}

function isRight(name: string, { sum, by }: Claim, hex: string, { findings }: Session): boolean {
  if (sum === undefined || sum.hex === hex) return true;
  findings.add(name, 'hash', `${sum.algorithm} ${sum.hex}`, `${sum.algorithm} ${hex}`, by);
  return false;
}

/** How much a thread reads before it is asked again: enough that the asking takes no time. */
const BATCH_BYTES = 8 * 1024 ** 2;
const BATCH_FILES = 200;

/** A file that is to be read. */
interface Unread {
  key: string;
  found: FoundFile;
  claims: Claim[];
}

async function readAll(
  reading: string,
  total: { files: number; bytes: number },
  verified: NameWriter,
  session: Session,
  onProgress: (progress: Progress) => void,
): Promise<void> {
  const { signal, reading: how } = session.options;
  const done = { files: 0, bytes: 0 };
  const tell = () => onProgress({ ...done, totalFiles: total.files, totalBytes: total.bytes });
  const threads = new HashThreads(how);
  const jobs = new InParallel(how.jobs);
  const onBytes = (bytes: number) => {
    done.bytes += bytes;
    tell();
  };
  const onHashed = (file: Unread, hashed: Hashed | undefined) => {
    done.files += 1;
    tell();
    if (hashed !== undefined) judgeContent(file, hashed, verified, session);
  };
  const readHere = async (file: Unread) => onHashed(file, await hashHere(file, session, onBytes));
  const readThere = async (batch: readonly Unread[]) => {
    const requests = batch.map((file) => ({
      path: file.found.path,
      algorithms: algorithmsFor(file),
    }));
    const hashed = await threads.hash(requests, signal, onBytes);
    for (const [index, file] of batch.entries()) onHashed(file, hashed[index]);
  };
  try {
    for (const batch of batchesIn(reading, session)) {
      const own = batch.filter((file) => algorithmsFor(file).some(isPackageHash));
      const others = batch.filter((file) => !own.includes(file));
      if (others.length > 0) await jobs.start(() => readThere(others));
      for (const file of own) await jobs.start(() => readHere(file));
    }
    await jobs.end();
  } finally {
    await threads.end();
  }
}

function algorithmsFor({ claims }: Unread): Checksum['algorithm'][] {
  return [...new Set(claims.flatMap(({ sum }) => sum?.algorithm ?? []))];
}

/** The files of a list, some at a time. */
function* batchesIn(reading: string, session: Session): Generator<Unread[]> {
  let batch: Unread[] = [];
  let bytes = 0;
  for (const { key, said } of joined([linesIn(reading)])) {
    const name = nameOfKey(key);
    const found = session.files.find(name);
    const claims = (said[0] ?? []).map(parseClaim);
    if (typeof found === 'string') {
      addVanished(name, claims, session);
      continue;
    }
    batch.push({ key, found, claims });
    bytes += Number(found.stats.size);
    if (batch.length < BATCH_FILES && bytes < BATCH_BYTES) continue;
    yield batch;
    batch = [];
    bytes = 0;
  }
  if (batch.length > 0) yield batch;
}

/** @throws Error for what is no state of a disk or a tree, such as too many open files. */
function judgeContent(
  { key, found, claims }: Unread,
  hashed: Hashed,
  verified: NameWriter,
  session: Session,
): void {
  const name = nameOfKey(key);
  if ('errno' in hashed) {
    const { errno } = hashed;
    if (VANISHED.includes(errno)) {
      addVanished(name, claims, session);
      return;
    }
    if (!UNREADABLE.includes(errno))
      throw Object.assign(new Error(errno), { code: errno, path: readableName(name).name });
    session.findings.add(name, 'unreadable', 'content', errno, claims[0]?.by);
    return;
  }
  for (const sum of hashed.sums) {
    const own = claims.filter((claim) => claim.sum?.algorithm === sum.algorithm);
    const isGood = own.every((claim) => isRight(name, claim, sum.hex, session));
    if (isGood) verified.write(verifiedLine(key, seenOf(found), sum));
  }
}

/** What open(2) says of a file that somebody has removed, or made a symlink of, since it was found. */
const VANISHED = ['ENOENT', 'ENOTDIR', 'ELOOP'];

function addVanished(name: string, claims: readonly Claim[], { findings }: Session): void {
  findings.add(name, 'missing', A_FILE, 'nothing any more', claims[0]?.by);
}

/** What a damaged disk, or the lack of permission, says of a file. */
const UNREADABLE = ['EIO', 'EACCES', 'EPERM', 'ENODATA', 'EUCLEAN'];

/** Hashes what needs more than a thread has: a package of apk is undone in part. */
async function hashHere(
  file: Unread,
  { files, options }: Session,
  onBytes: (bytes: number) => void,
): Promise<Hashed> {
  try {
    const hashes = await Promise.all(
      algorithmsFor(file).map(async (algorithm) => ({
        algorithm,
        hash: await hasherOf(algorithm, file.found, files),
      })),
    );
    for await (const chunk of files.bytesOf(file.found) as AsyncIterable<Buffer>) {
      options.signal.throwIfAborted();
      for (const { hash } of hashes) hash.update(chunk);
      onBytes(chunk.length);
    }
    return { sums: hashes.map(({ algorithm, hash }) => ({ algorithm, hex: hash.digest('hex') })) };
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === undefined) throw error;
    return { errno };
  }
}

async function hasherOf(
  algorithm: Checksum['algorithm'],
  file: FoundFile,
  files: TreeFiles,
): Promise<Hasher> {
  return isPackageHash(algorithm) ? packageHasher(algorithm, file, files) : createHash(algorithm);
}
