import { closeSync, openSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { MirrorlatchError } from '../errors.ts';
import { ifThere, nearestDirectory } from './files.ts';
import { fromProc } from './proc-filesystem.ts';
import { quoteForSh } from './quote.ts';

/** Opens a file only to ask about it, without permission to read it (open(2)); Node lacks the name. */
const O_PATH = 0o10000000;

/** One line of proc(5), /proc/pid/mountinfo. */
export interface Mount {
  /** Unique among the mounts that exist at the same time. */
  id: string;
  /** The mount that holds the mount point. */
  parent: string;
  /** `major:minor` of the filesystem. */
  device: string;
  /** The directory of the filesystem that appears at `mountPoint`. */
  root: string;
  mountPoint: string;
  /** `ext4`, `xfs`, `btrfs`, `nfs4`, … */
  type: string;
  /** The device or the remote name: `/dev/sda1`, `server:/export`, … */
  source: string;
  isReadOnly: boolean;
  /** Those of the filesystem: `rw`, `upperdir=/a`, … */
  options: readonly string[];
}

export interface FreeSpace {
  /** How much this user may still write; bytes. */
  bytes: bigint;
  /** Free inodes; undefined if the filesystem does not count them, as btrfs. */
  inodes: bigint | undefined;
}

/** The mounts that a process sees, oldest first. */
export function mountsSeenBy(process: number | 'self'): Mount[] {
  const mounts: Mount[] = [];
  const read = () => readFileSync(`/proc/${process}/mountinfo`, 'utf8');
  for (const line of (process === 'self' ? fromProc(read) : read()).split('\n')) {
    const [fields = '', described = ''] = line.split(' - ');
    const [id, parent, device, root, mountPoint, flags = ''] = fields.split(' ').map(unescapeField);
    const [type, source = '', list = ''] = described.split(' ');
    if (!id || !parent || !device || !root || !mountPoint || !type) continue;
    const options = list.split(',');
    const isReadOnly = flags.split(',').includes('ro') || options.includes('ro');
    mounts.push({
      id,
      parent,
      device,
      root,
      mountPoint,
      type: unescapeField(type),
      source: unescapeField(source),
      isReadOnly,
      options: options.map(unescapeField),
    });
  }
  return mounts;
}

/**
 * The mount that an existing path is on, according to the kernel. Neither the path nor its device
 * number is enough: one mount can hide another, and every btrfs subvolume has its own number.
 */
export function mountOf(path: string): Mount | undefined {
  const id = mountIdOf(path);
  return mountsSeenBy('self').find((mount) => mount.id === id);
}

/** Whether rename(2) may move from one to the other: bind mounts of one filesystem are apart, too. */
export function areOnOneMount(one: string, other: string): boolean {
  return mountIdOf(one) === mountIdOf(other);
}

function mountIdOf(path: string): string | undefined {
  const descriptor = openSync(path, O_PATH);
  try {
    const facts = fromProc(() => readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8'));
    return /^mnt_id:\s+(\d+)$/m.exec(facts)?.[1];
  } finally {
    closeSync(descriptor);
  }
}

/** The mount that `path` is on for a process that sees these mounts. */
export function mountHolding(mounts: readonly Mount[], path: string): Mount | undefined {
  let deepest: Mount | undefined;
  for (const mount of mounts) {
    // Of two mounts on one directory, the later hides the earlier.
    if (mount.mountPoint.length < (deepest?.mountPoint.length ?? 0)) continue;
    if (isWithin(path, mount.mountPoint)) deepest = mount;
  }
  return deepest;
}

/**
 * Refuses to go on if something is mounted at `tree` or below it: what is mounted belongs to somebody
 * else, and is never changed or removed (I13).
 *
 * @param change what else would happen to the tree, such as `removed`.
 * @param then what to do once it is unmounted.
 * @throws MirrorlatchError CONFIGURATION, with the command that unmounts it.
 */
export function refuseMountsWithin(tree: string, change: string, then?: string): void {
  refuseMounts(tree, change, mountPointsWithin(tree), then);
}

/** Refuses to go on if something is mounted at this very path; throws as `refuseMountsWithin`. */
export function refuseMountAt(path: string, change: string): void {
  const mounted = mountPointsWithin(path).filter((mountPoint) => mountPoint === path);
  refuseMounts(path, change, mounted);
}

function refuseMounts(
  tree: string,
  change: string,
  mounted: readonly string[],
  then?: string,
): void {
  if (mounted.length === 0) return;
  const verb = mounted.length === 1 ? 'is' : 'are';
  const isItself = mounted.every((path) => path === tree);
  // The innermost first.
  const umount = mounted.some((path) => path.includes('\uFFFD'))
    ? 'Its name is not valid UTF-8: find it with findmnt, and unmount it'
    : `Unmount it with: umount ${mounted.toReversed().map(quoteForSh).join(' ')}`;
  throw new MirrorlatchError(
    'CONFIGURATION',
    isItself
      ? `${tree} cannot be ${change}: it is a mount point`
      : `${tree} cannot be ${change}: ${mounted.join(', ')} ${verb} mounted in it`,
    { hint: then === undefined ? umount : `${umount}. ${then}` },
  );
}

/**
 * Where something is mounted at `path` or below it, oldest first: a directory or a file, of another
 * filesystem or of the same one, which no device number tells (bind mounts, mount(8)).
 *
 * @param path without symlinks; it need not exist.
 */
export function mountPointsWithin(path: string): string[] {
  const home = ifThere(() => mountOf(path));
  if (home === undefined) return [];
  const mounts = mountsSeenBy('self');
  const byId = new Map(mounts.map((mount) => [mount.id, mount]));
  // A mount that does not hang on this one is hidden by another, and out of reach.
  const isInReach = (mount: Mount | undefined): boolean =>
    mount !== undefined &&
    (mount.id === home.id || (mount.parent !== mount.id && isInReach(byId.get(mount.parent))));
  return mounts
    .filter((mount) => isWithin(mount.mountPoint, path) && isInReach(mount))
    .map(({ mountPoint }) => mountPoint);
}

/**
 * The paths at which other mounts show the same place of its filesystem (bind mounts, mount(8)).
 *
 * @param path without symlinks; it need not exist.
 */
export function otherPathsOf(path: string): string[] {
  const directory = nearestDirectory(path);
  const home = mountOf(directory);
  if (home === undefined) return [];
  const place = pathOnFilesystem(home, directory);
  return mountsSeenBy('self')
    .filter(({ device, root }) => device === home.device && isWithin(place, root))
    .map(({ root, mountPoint }) => join(mountPoint, relative(root, place)))
    .filter((other) => other !== directory && isSameDirectory(other, directory))
    .map((other) => join(other, relative(directory, path)));
}

/** Another mount may hide one of them: this user may not enter that, or its server is gone. */
function isSameDirectory(one: string, other: string): boolean {
  try {
    const [a, b] = [one, other].map((path) => statSync(path, { bigint: true }));
    return a?.dev === b?.dev && a?.ino === b?.ino;
  } catch {
    return false;
  }
}

/** The directories that an overlay is made of, by their absolute paths where it was mounted. */
export function layersOf({ type, options }: Mount): { written: string[]; read: string[] } {
  const written: string[] = [];
  const read: string[] = [];
  for (const option of type === 'overlay' ? options : []) {
    const [, name, value = ''] = /^(\w+)\+?=(.*)$/.exec(option) ?? [];
    if (name === 'upperdir' || name === 'workdir') written.push(value);
    // A colon in a name is escaped, and so is a backslash.
    if (name === 'lowerdir') read.push(...(value.match(/(\\.|[^:\\])+/g) ?? []));
  }
  const absolute = (paths: string[]) =>
    paths.map((path) => path.replace(/\\(.)/g, '$1')).filter((path) => path.startsWith('/'));
  return { written: absolute(written), read: absolute(read) };
}

/** The path, from the root of the filesystem, of a path below the mount point. */
export function pathOnFilesystem({ root, mountPoint }: Mount, path: string): string {
  return join(root, relative(mountPoint, path));
}

export function freeSpaceAt(path: string): FreeSpace {
  const { bavail, bsize, files, ffree } = statfsSync(path, { bigint: true });
  return { bytes: bavail * bsize, inodes: files === 0n ? undefined : ffree };
}

/** Whether `path` is `directory` or below it, by name alone. */
export function isWithin(path: string, directory: string): boolean {
  return directory === '/' || `${path}/`.startsWith(`${directory}/`);
}

/** proc(5) writes whitespace and backslashes in a path as `\ooo`. */
function unescapeField(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}
