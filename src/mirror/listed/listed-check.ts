import { createHash } from 'node:crypto';
import { type BigIntStats, closeSync, constants, openSync, readSync } from 'node:fs';
import { lstatIfThere } from '../../system/files.ts';
import { bytePath } from '../byte-path.ts';
import { readableName } from '../names.ts';
import type { RealParents } from '../trees/real-parents.ts';
import { FileListFault, type ListedEntry } from './file-list.ts';
import type { ListedChange } from './listed-changes.ts';

/** What a list can say of an entry, as a tree has it. */
export interface Found {
  /** As create-filelist tells it: devices and the like are files. */
  type: ListedEntry['type'];
  /** Bytes; 0 of what has no content. */
  size: number;
  /** The modification time, in whole seconds since the epoch. */
  modified: number;
}

export function foundOf(found: BigIntStats): Found {
  const type = found.isDirectory() ? 'directory' : found.isSymbolicLink() ? 'symlink' : 'file';
  const size = found.isFile() || found.isSymbolicLink() ? Number(found.size) : 0;
  return { type, size, modified: Number(found.mtimeNs / 1_000_000_000n) };
}

/**
 * Refuses an entry of a tree that a list denies. Of a directory neither size nor time counts: mirrors do not
 * keep the times of all directories, and each filesystem has its own sizes.
 *
 * @throws FileListFault
 */
export function refuseOther(name: string, found: Found, listed: ListedEntry): void {
  const differs = (what: string): never => {
    throw new FileListFault(`tells ${readableName(name).name} of another ${what}`);
  };
  if (found.type !== listed.type) differs('type');
  if (listed.type === 'directory') return;
  if (found.size !== listed.size) differs('size');
  // A listed time is no earlier than that of the content. What is newer came after the list.
  if (listed.type === 'file' && found.modified > listed.time) differs('time');
}

const ALGORITHMS: Record<number, string> = { 32: 'md5', 40: 'sha1', 64: 'sha256', 128: 'sha512' };

/**
 * Refuses what a transfer has made of an entry if the list denies it.
 *
 * @param parents those in the tree.
 * @returns the entry; undefined if there is rightly none.
 * @throws FileListFault
 */
export function refuseUnlike(
  tree: string,
  parents: RealParents,
  { name, before, after: { entry, checksums } }: ListedChange,
): BigIntStats | undefined {
  const status = parents.leadTo(name) ? lstatIfThere(bytePath(tree, name)) : undefined;
  if (entry === undefined && before.entry !== undefined) {
    if (status !== undefined) throw new FileListFault(`lacks ${readableName(name).name}`);
    return undefined;
  }
  if (status === undefined)
    throw new FileListFault(`has ${readableName(name).name}, which the source does not have`);
  if (entry !== undefined) refuseOther(name, foundOf(status), entry);
  for (const checksum of checksums) {
    const algorithm = ALGORITHMS[checksum.length];
    if (algorithm !== undefined && digestOf(bytePath(tree, name), algorithm) !== checksum)
      throw new FileListFault(`tells ${readableName(name).name} of another checksum`);
  }
  return status;
}

function digestOf(path: Buffer, algorithm: string): string {
  const hash = createHash(algorithm);
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const buffer = Buffer.alloc(1024 * 1024);
    for (let read = readSync(descriptor, buffer); read > 0; read = readSync(descriptor, buffer))
      hash.update(buffer.subarray(0, read));
  } finally {
    closeSync(descriptor);
  }
  return hash.digest('hex');
}
