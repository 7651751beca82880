import { readFileSync, statfsSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';

/** One line of proc(5), /proc/pid/mountinfo. */
export interface Mount {
  /** `major:minor` of the filesystem. */
  device: string;
  /** The directory of the filesystem that is shown at `mountPoint`. */
  root: string;
  mountPoint: string;
  /** `ext4`, `xfs`, `btrfs`, `nfs4`, … */
  type: string;
  /** The device or the remote name, such as `/dev/sda1`. */
  source: string;
}

export interface FreeSpace {
  /** What this user may still write, in bytes. */
  bytes: bigint;
  /** Free inodes; undefined where the filesystem does not count them (btrfs). */
  inodes: bigint | undefined;
}

/** The mounts that a process sees, in the order in which they were made. */
export function mountsSeenBy(process: number | 'self'): Mount[] {
  const mounts: Mount[] = [];
  for (const line of readFileSync(`/proc/${process}/mountinfo`, 'utf8').split('\n')) {
    const [fields = '', described = ''] = line.split(' - ');
    const [, , device, root, mountPoint] = fields.split(' ').map(unescapeField);
    const [type, source] = described.split(' ').map(unescapeField);
    if (!device || !root || !mountPoint || !type) continue;
    mounts.push({ device, root, mountPoint, type, source: source ?? '' });
  }
  return mounts;
}

/** The mount that an existing path, without symlinks in it, is on. */
export function mountOf(path: string): Mount | undefined {
  const { dev } = statSync(path);
  return mountsSeenBy('self')
    .filter(({ mountPoint }) => isWithin(path, mountPoint) && isOnDevice(mountPoint, dev))
    .reduce<Mount | undefined>(
      // Of two mounts on the same directory the later one is seen.
      (deepest, mount) =>
        deepest && deepest.mountPoint.length > mount.mountPoint.length ? deepest : mount,
      undefined,
    );
}

/** The mount that `path` lies on for a process that sees these mounts. */
export function mountHolding(mounts: readonly Mount[], path: string): Mount | undefined {
  let deepest: Mount | undefined;
  for (const mount of mounts) {
    // Of two mounts on the same directory the later one is seen.
    if (mount.mountPoint.length < (deepest?.mountPoint.length ?? 0)) continue;
    if (isWithin(path, mount.mountPoint)) deepest = mount;
  }
  return deepest;
}

/** Where a path below the mount point lies on the filesystem, from the filesystem's own root. */
export function pathOnFilesystem({ root, mountPoint }: Mount, path: string): string {
  return join(root, relative(mountPoint, path));
}

export function freeSpaceAt(path: string): FreeSpace {
  const { bavail, bsize, files, ffree } = statfsSync(path, { bigint: true });
  return { bytes: bavail * bsize, inodes: files === 0n ? undefined : ffree };
}

/** Whether `path` is `directory` or lies below it, by name. */
export function isWithin(path: string, directory: string): boolean {
  return directory === '/' || `${path}/`.startsWith(`${directory}/`);
}

function isOnDevice(path: string, device: number): boolean {
  try {
    return statSync(path).dev === device;
  } catch {
    return false;
  }
}

/** proc(5) writes white space and backslashes in a path as `\ooo`. */
function unescapeField(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}
