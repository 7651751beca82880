import { type BigIntStats, close, constants, fstatSync, open, readlinkSync, stat } from 'node:fs';
import { promisify } from 'node:util';
import { errnoOf } from '../errors.ts';

/** What lies at a path of a tree. */
export type Found =
  | { readonly kind: 'missing' }
  /** There is something that this process may not read, or that is not the tree's to give. */
  | { readonly kind: 'refused' }
  | Opened;

/** The descriptor is open: whoever gets it closes it. */
export interface Opened {
  readonly kind: 'file' | 'directory';
  readonly descriptor: number;
  readonly status: BigIntStats;
}

const MISSING: Found = { kind: 'missing' };
const REFUSED: Found = { kind: 'refused' };

/** A fifo in the place of a file that was there a moment ago must not block, nor a terminal become ours. */
const READ = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

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
    const looked = await promisify(stat)(path, { bigint: true });
    if (!looked.isFile() && !looked.isDirectory()) return REFUSED;
    return await whatWasOpened(tree, await promisify(open)(path, READ));
  } catch (error) {
    switch (errnoOf(error)) {
      case 'ENOENT':
      case 'ENOTDIR':
      case 'ELOOP':
      case 'ENAMETOOLONG':
        return MISSING;
      case 'EACCES':
      case 'EPERM':
        return REFUSED;
      default:
        throw error;
    }
  }
}

/**
 * Looks where the descriptor really leads: between two looks at a path, the path may have changed. What
 * is open already is looked at without a wait for the disk.
 */
async function whatWasOpened(tree: string, descriptor: number): Promise<Found> {
  const status = fstatSync(descriptor, { bigint: true });
  const kind = status.isFile() ? 'file' : status.isDirectory() ? 'directory' : undefined;
  const real = readlinkSync(`/proc/self/fd/${descriptor}`, 'buffer');
  if (kind !== undefined && isWithin(tree, real)) return { kind, descriptor, status };
  close(descriptor);
  // A snapshot that is being removed was moved away, and has no such path any more.
  await promisify(stat)(tree);
  return REFUSED;
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
