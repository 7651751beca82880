import { type BigIntStats, statSync } from 'node:fs';
import { BoundedMemory } from './bounded-memory.ts';
import { pathInTree } from './place-in-tree.ts';
import type { Validators } from './validators.ts';

/** A small file as it was read, and what its answer says of it. */
export interface SmallFile {
  readonly status: BigIntStats;
  readonly body: Buffer;
  readonly validators: Validators;
  readonly contentType: string;
}

/** The largest file that is kept in memory, and all of them together; bytes. */
const SMALL_FILE_BYTES = 64 * 1024;
const ALL_BYTES = 8 * 1024 * 1024;

/** The paths of all files that were asked for lately; bytes. */
const LATELY_BYTES = 512 * 1024;

/** What an entry takes in addition to its content and its path, about; bytes. */
const ENTRY_BYTES = 1024;

interface Entry extends SmallFile {
  readonly path: Buffer;
}

const memory = new BoundedMemory<Entry>(ALL_BYTES);
const lately = new BoundedMemory<true>(LATELY_BYTES);

/**
 * Whether a file is small, and was asked for not long ago: a client that fetches a whole tree would push out
 * what all the others want, and leave as much garbage as the tree is large.
 */
export function isWorthKeeping(tree: string, name: Buffer, size: number): boolean {
  if (size > SMALL_FILE_BYTES) return false;
  const key = keyOf(tree, name);
  const isWorth = lately.get(key) !== undefined;
  lately.set(key, true, key.length);
  return isWorth;
}

/**
 * The small file at a path of a tree, if it was read before and is still that one. One look makes sure of
 * it, in 3 µs: the kernel has the path of a file in demand at hand, and to wait for another thread would
 * take six times as long.
 */
export function recallSmallFile(tree: string, name: Buffer): SmallFile | undefined {
  const key = keyOf(tree, name);
  const entry = memory.get(key);
  if (entry === undefined || isStill(entry)) return entry;
  memory.delete(key);
  return undefined;
}

export function rememberSmallFile(tree: string, name: Buffer, file: SmallFile): void {
  const path = pathInTree(tree, name);
  memory.set(keyOf(tree, name), { ...file, path }, file.body.length + path.length + ENTRY_BYTES);
}

function keyOf(tree: string, name: Buffer): string {
  return `${tree}/${name.toString('latin1')}`;
}

function isStill({ path, status }: Entry): boolean {
  try {
    const now = statSync(path, { bigint: true });
    return IDENTITY.every((fact) => now[fact] === status[fact]);
  } catch {
    return false;
  }
}

/** A new hard link to a file moves its `ctimeNs`, as a sync makes: then it is read once more. */
const IDENTITY = ['ino', 'mtimeNs', 'ctimeNs', 'size', 'birthtimeNs', 'dev', 'mode'] as const;
