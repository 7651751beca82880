import {
  type BigIntStats,
  closeSync,
  fstatSync,
  open,
  openSync,
  readlinkSync,
  stat,
} from 'node:fs';
import { promisify } from 'node:util';
import { errnoOf } from '../../errors.ts';

/** What lies at a path of a tree. */
export type Found =
  | { readonly kind: 'missing' }
  /** There is something that this process may not read, or that is not the tree's to give. */
  | { readonly kind: 'refused'; readonly isUnreadable: boolean }
  | Opened;

/** The descriptor is open: whoever gets it closes it. */
export interface Opened {
  readonly kind: 'file' | 'directory';
  readonly descriptor: number;
  readonly status: BigIntStats;
  /** The raw bytes of its absolute path without symlinks. */
  readonly real: Buffer;
}

const MISSING: Found = { kind: 'missing' };
const REFUSED: Found = { kind: 'refused', isUnreadable: false };
const UNREADABLE: Found = { kind: 'refused', isUnreadable: true };

/** Names what lies at a path, and opens nothing (open(2), O_PATH); Node has no constant for it. */
const O_PATH = 0o10000000;

const find = promisify(open);

/**
 * Opens what lies below `tree`. A symlink that stays in the tree is followed. One that leads out of it is
 * refused, because it may lead into another snapshot or to anything else on this host; fifos, sockets and
 * devices are refused unopened.
 *
 * @param tree absolute and real.
 * @param name raw bytes below the tree; empty for the tree itself.
 * @throws the error of the system call if the disk fails.
 */
export async function openInTree(tree: string, name: Buffer): Promise<Found> {
  if (name.includes(0)) return MISSING;
  const path = pathInTree(tree, name);
  try {
    const handle = await find(path, O_PATH);
    const found = openFound(tree, handle);
    // A snapshot that is being removed was moved away, and has no such path any more.
    if (found === REFUSED) await promisify(stat)(tree);
    return found;
  } catch (error) {
    switch (errnoOf(error)) {
      case 'ENOENT':
      case 'ENOTDIR':
      case 'ELOOP':
      case 'ENAMETOOLONG':
        return MISSING;
      case 'EACCES':
      case 'EPERM':
        return UNREADABLE;
      default:
        throw error;
    }
  }
}

/**
 * Opens what was found, and not what may lie at its path by now. Only the search for a path may wait for
 * the disk: what was found is in memory, so it is not worth a trip to another thread.
 */
function openFound(tree: string, handle: number): Found {
  const itself = `/proc/self/fd/${handle}`;
  try {
    const status = fstatSync(handle, { bigint: true });
    const kind = status.isFile() ? 'file' : status.isDirectory() ? 'directory' : undefined;
    const real = readlinkSync(itself, 'buffer');
    if (kind === undefined || !isWithin(tree, real)) return REFUSED;
    return { kind, descriptor: openSync(itself, 'r'), status, real };
  } finally {
    closeSync(handle);
  }
}

export function pathInTree(tree: string, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${tree}/`), name]);
}

/** Whether a real path is the tree or below it. */
export function isWithin(tree: string, real: Buffer): boolean {
  const top = Buffer.from(tree);
  const isPrefix = real.subarray(0, top.length).equals(top);
  return isPrefix && (real.length === top.length || real[top.length] === SLASH);
}

const SLASH = 0x2f;
