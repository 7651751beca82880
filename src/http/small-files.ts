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
export const SMALL_FILE_BYTES = 64 * 1024;
const ALL_BYTES = 16 * 1024 * 1024;

/** What an entry takes in addition to its content and its path, about; bytes. */
const ENTRY_BYTES = 1024;

interface Entry extends SmallFile {
  readonly path: Buffer;
}

const memory = new BoundedMemory<Entry>(ALL_BYTES);

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

const IDENTITY = ['ino', 'mtimeNs', 'size', 'birthtimeNs', 'dev', 'mode'] as const;
