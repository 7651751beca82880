import { createHash } from 'node:crypto';
import { type BigIntStats, lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { type BytePath, below, quoted } from './byte-path.ts';

/**
 * The facts about one entry, as text for messages: `type`, `mode`, `owner` and `mtime` of each,
 * `size` and `sha256` of files, `target` of symlinks, `device` of devices, `hard links` on request.
 * Leaves out atime, ctime, nlink and the inode number.
 */
type TreeEntry = Readonly<Record<string, string>>;

/** A whole tree by path; `.` is its top directory. */
export type Tree = ReadonlyMap<BytePath, TreeEntry>;

/** Optional facts of a tree. */
export interface TreeOptions {
  /** Adds which names in the tree share an inode, as `rsync -H` preserves it. */
  readonly hardLinks?: boolean;
  /** Leaves these paths out, unread, and what is below them. */
  readonly leaveOut?: (path: BytePath) => boolean;
}

/** Describes every entry below `root`, byte for byte; follows `root` itself if it is a symlink. */
export function describeTree(root: string, options: TreeOptions = {}): Tree {
  const statuses = new Map<BytePath, BigIntStats>();
  walk(`${root}/`, '.', statuses, options.leaveOut ?? (() => false));
  const names = options.hardLinks === true ? namesByInode(statuses) : new Map<string, BytePath[]>();
  return new Map(
    [...statuses].map(([path, status]) => {
      const linked = names.get(inodeOf(status)) ?? [];
      const entry: TreeEntry = {
        ...describeEntry(root, path, status),
        ...(linked.length > 1 ? { 'hard links': linked.map(quoted).join(' = ') } : {}),
      };
      return [path, entry];
    }),
  );
}

/** The differences between `actual` and `expected`, one sentence each. */
export function difference(expected: Tree, actual: Tree): string[] {
  const paths = [...new Set([...expected.keys(), ...actual.keys()])].sort();
  return paths.flatMap((path) => {
    const wanted = expected.get(path);
    const found = actual.get(path);
    if (wanted === undefined) return [`${quoted(path)} should not be there: ${found?.['type']}`];
    if (found === undefined) return [`${quoted(path)} is missing: ${wanted['type']}`];
    const facts = [...new Set([...Object.keys(wanted), ...Object.keys(found)])];
    return facts
      .filter((fact) => wanted[fact] !== found[fact])
      .map(
        (fact) =>
          `${quoted(path)} has ${fact} ${found[fact] ?? 'none'} instead of ${wanted[fact] ?? 'none'}`,
      );
  });
}

function walk(
  root: string,
  path: BytePath,
  statuses: Map<BytePath, BigIntStats>,
  isLeftOut: (path: BytePath) => boolean,
): void {
  if (isLeftOut(path)) return;
  const status = lstatSync(below(root, path), { bigint: true });
  statuses.set(path, status);
  if (!status.isDirectory()) return;
  for (const name of readdirSync(below(root, path), { encoding: 'buffer' })) {
    const child = name.toString('latin1');
    walk(root, path === '.' ? child : `${path}/${child}`, statuses, isLeftOut);
  }
}

function describeEntry(root: string, path: BytePath, status: BigIntStats): TreeEntry {
  return {
    type: typeOf(status),
    mode: (status.mode & 0o7777n).toString(8).padStart(4, '0'),
    owner: `${status.uid}:${status.gid}`,
    mtime: `${status.mtimeNs} ns`,
    ...(status.isFile()
      ? {
          size: String(status.size),
          sha256: createHash('sha256')
            .update(readFileSync(below(root, path)))
            .digest('hex'),
        }
      : {}),
    ...(status.isSymbolicLink()
      ? {
          target: quoted(
            readlinkSync(below(root, path), { encoding: 'buffer' }).toString('latin1'),
          ),
        }
      : {}),
    ...(status.isCharacterDevice() || status.isBlockDevice()
      ? { device: String(status.rdev) }
      : {}),
  };
}

function typeOf(status: BigIntStats): string {
  if (status.isFile()) return 'file';
  if (status.isDirectory()) return 'directory';
  if (status.isSymbolicLink()) return 'symlink';
  if (status.isFIFO()) return 'fifo';
  if (status.isSocket()) return 'socket';
  return status.isCharacterDevice() ? 'character device' : 'block device';
}

function namesByInode(statuses: ReadonlyMap<BytePath, BigIntStats>): Map<string, BytePath[]> {
  const names = new Map<string, BytePath[]>();
  for (const [path, status] of statuses) {
    if (status.isDirectory()) continue;
    const known = names.get(inodeOf(status));
    if (known === undefined) names.set(inodeOf(status), [path]);
    else known.push(path);
  }
  for (const group of names.values()) group.sort();
  return names;
}

function inodeOf(status: BigIntStats): string {
  return `${status.dev}:${status.ino}`;
}
