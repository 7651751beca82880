import { createHash } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { join } from 'node:path';
import { errnoOf } from '../errors.ts';
import { NameWriter } from '../mirror/name-list.ts';
import { joined, type Line, linesIn, nameOfKey } from '../mirror/sums/lines.ts';
import { Turns } from '../system/event-loop.ts';
import { InParallel } from '../system/in-parallel.ts';
import { type Hasher, isPackageHash, packageHasher } from './alpine/package-hash.ts';
import { type Checksum, type Claim, parseClaim, showClaim, showSum } from './claims.ts';
import type { Session } from './session.ts';
import type { FoundFile, TreeFiles } from './tree-files.ts';

/** How many files are read at a time: a disk has more than one in its queue. */
const JOBS = 4;

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
  read: { files: number; bytes: number };
  /** A file with the lines of claims on files that are not there; undefined if all are. */
  missing: string | undefined;
  /** A file with the lines of what was found to be right, see `verifiedLine`. */
  verified: string;
}

/**
 * What was found of a file whose checksum is right: `INODE SIZE MTIME CTIME ALGORITHM:HEX`, times in ns since
 * the epoch. As long as a file has the same inode, size and time, it need not be read again.
 */
function verifiedFacts({ ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
}

/** @param isInPlace hard links do not change the ctime of files there, and rsync may write to them. */
function isAsVerified(said: string, stats: BigIntStats, isInPlace: boolean): boolean {
  const [before, now] = [said.split(' '), verifiedFacts(stats).split(' ')];
  const count = isInPlace ? 4 : 3;
  return before.slice(0, count).join(' ') === now.slice(0, count).join(' ');
}

function sumIn(said: string): Checksum {
  const [algorithm, hex = ''] = said.slice(said.lastIndexOf(' ') + 1).split(':');
  return { algorithm: algorithm as Checksum['algorithm'], hex };
}

/**
 * Compares what was claimed of files with what they are, and reads what has to be read.
 *
 * @param claims sorted lines, see `Claim`.
 * @param known sorted lines of what was found right before, see `verifiedFacts`.
 */
export async function compareClaims(
  claims: Iterable<Line>,
  known: Iterable<Line>,
  isInPlace: boolean,
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
  try {
    for (const { key, said } of joined([claims, known])) {
      await turns.step();
      const [claimed = [], before = []] = said;
      if (claimed.length === 0) continue;
      const name = nameOfKey(key);
      const found = session.files.find(name);
      if (found === 'missing') {
        missing.write(key + claimed[0]);
        continue;
      }
      files += 1;
      const toRead = judge(name, found, distinct(claimed), session);
      if (typeof found === 'string' || toRead.length === 0) continue;
      const right = before.filter((one) => isAsVerified(one, found.stats, isInPlace)).map(sumIn);
      const isKnown = ({ sum }: Claim) => right.some((one) => showSum(one) === showSum(sum));
      for (const sum of right) writeVerified(verified, key, found, sum);
      const unread = toRead.filter((claim) => !isKnown(claim));
      if (unread.length === 0) continue;
      for (const claim of unread) reading.write(key + showClaim(claim));
      total.files += 1;
      total.bytes += Number(found.stats.size);
    }
    reading.close();
    await readAll(paths.reading, total, verified, session, onProgress);
  } finally {
    for (const writer of [missing, verified]) writer.close();
  }
  return {
    files,
    read: total,
    missing: missing.isEmpty ? undefined : paths.missing,
    verified: paths.verified,
  };
}

function writeVerified(to: NameWriter, key: string, { stats }: FoundFile, sum: Checksum): void {
  to.write(`${key}${verifiedFacts(stats)} ${showSum(sum)}`);
}

/** Of claims that say the same, the first. */
function distinct(said: readonly string[]): Claim[] {
  const claims = said.map(parseClaim);
  const same = ({ size, sum }: Claim) => showClaim({ size, sum, by: '' });
  return [...new Map(claims.toReversed().map((claim) => [same(claim), claim])).values()];
}

/** Judges by what needs no reading. @returns the claims that do. */
function judge(
  name: string,
  found: FoundFile | 'not-regular',
  claims: readonly Claim[],
  { findings }: Session,
): Claim[] {
  const [first] = claims;
  if (found === 'not-regular') {
    const kind = 'something else, or a symlink that leads out of the tree';
    findings.add(name, 'not-regular', 'a regular file', kind, first?.by);
    return [];
  }
  const size = Number(found.stats.size);
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

async function readAll(
  reading: string,
  total: { files: number; bytes: number },
  verified: NameWriter,
  session: Session,
  onProgress: (progress: Progress) => void,
): Promise<void> {
  const done = { files: 0, bytes: 0 };
  const tell = () => onProgress({ ...done, totalFiles: total.files, totalBytes: total.bytes });
  const jobs = new InParallel(JOBS);
  for (const { key, said } of joined([linesIn(reading)])) {
    const claims = (said[0] ?? []).map(parseClaim);
    await jobs.start(async () => {
      const name = nameOfKey(key);
      const found = session.files.find(name);
      if (typeof found === 'string') return;
      const algorithms = [...new Set(claims.flatMap(({ sum }) => sum?.algorithm ?? []))];
      const sums = await hashesOf(found, algorithms, session, (bytes) => {
        done.bytes += bytes;
        tell();
      }).catch((error: unknown) => {
        const errno = errnoOf(error);
        if (errno === undefined || !UNREADABLE.includes(errno)) throw error;
        session.findings.add(name, 'unreadable', 'content', errno, claims[0]?.by);
        return [];
      });
      done.files += 1;
      tell();
      for (const sum of sums) {
        const own = claims.filter((claim) => claim.sum?.algorithm === sum.algorithm);
        const isGood = own.every((claim) => isRight(name, claim, sum.hex, session));
        if (isGood) writeVerified(verified, key, found, sum);
      }
    });
  }
  await jobs.end();
}

/** What a damaged disk, or the lack of permission, says of a file. */
const UNREADABLE = ['EIO', 'EACCES', 'EPERM', 'ENODATA', 'EUCLEAN'];

async function hashesOf(
  file: FoundFile,
  algorithms: readonly Checksum['algorithm'][],
  { files, options }: Session,
  onBytes: (bytes: number) => void,
): Promise<Checksum[]> {
  const hashes = await Promise.all(
    algorithms.map(async (algorithm) => ({
      algorithm,
      hash: await hasherOf(algorithm, file, files),
    })),
  );
  for await (const chunk of files.bytesOf(file) as AsyncIterable<Buffer>) {
    options.signal.throwIfAborted();
    for (const { hash } of hashes) hash.update(chunk);
    onBytes(chunk.length);
  }
  return hashes.map(({ algorithm, hash }) => ({ algorithm, hex: hash.digest('hex') }));
}

async function hasherOf(
  algorithm: Checksum['algorithm'],
  file: FoundFile,
  files: TreeFiles,
): Promise<Hasher> {
  return isPackageHash(algorithm) ? packageHasher(algorithm, file, files) : createHash(algorithm);
}
