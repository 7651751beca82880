import { chmodSync, closeSync, ftruncateSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { mayMount } from './privilege.ts';
import { makeScratch, scratchDirectory } from './scratch.ts';

export type FilesystemType = 'ext4' | 'xfs' | 'btrfs';

const MIB = 1024 * 1024;

/** In bytes: as small as mkfs and a test allow (mkfs.xfs refuses less than 300 MiB). */
const defaultSize: Readonly<Record<FilesystemType, number>> = {
  ext4: 256 * MIB,
  xfs: 512 * MIB,
  btrfs: 256 * MIB,
};

const mkfs: Readonly<Record<FilesystemType, readonly string[]>> = {
  ext4: ['mkfs.ext4', '-q', '-F'],
  xfs: ['mkfs.xfs', '-q', '-f', '-m', 'reflink=1'],
  btrfs: ['mkfs.btrfs', '-q', '-f'],
};

/** The end of a test's name if it cannot run here; otherwise empty. */
export const whyNoLoopFilesystem = mayMount
  ? ''
  : ' (skipped: only root with CAP_SYS_ADMIN mounts)';

/** A filesystem in a sparse image file, mounted through a loop device. */
export interface LoopFilesystem {
  readonly type: FilesystemType;
  /** The mount point: an empty directory (ext4 keeps its `lost+found`). */
  readonly path: string;
  /** The image file, as large as the filesystem but mostly holes. */
  readonly image: string;
  /** Unmounts it, detaches the loop device and deletes the image. May be called twice. */
  remove(): Promise<void>;
}

/** Deviations from the default size and the defaults of mkfs and mount. */
export interface LoopFilesystemOptions {
  /** In bytes. */
  readonly size?: number;
  /** Arguments for mkfs, such as `-N 200` for few inodes. */
  readonly mkfs?: readonly string[];
  /** Options for `mount -o`. */
  readonly mount?: readonly string[];
}

/** Makes and mounts a filesystem. Needs root: skip the test if `whyNoLoopFilesystem` is set. */
export async function makeLoopFilesystem(
  type: FilesystemType,
  options: LoopFilesystemOptions = {},
): Promise<LoopFilesystem> {
  const scratch = makeScratch();
  const image = join(scratch.path, `${type}.img`);
  const path = join(scratch.path, type);
  const remove = async () => {
    await unmountImage(path);
    await scratch.remove();
  };
  try {
    await makeImage(type, image, options);
    await mountImage(image, path, options.mount);
  } catch (error) {
    await remove();
    throw error;
  }
  chmodSync(path, 0o755);
  return { type, path, image, remove };
}

/** Mounts a tmpfs for the running test. */
export async function mountTmpfs(mountOptions: string): Promise<string> {
  const path = join(scratchDirectory(), 'tmpfs');
  mkdirSync(path);
  await execa('mount', ['-t', 'tmpfs', '-o', mountOptions, 'tmpfs', path]);
  return path;
}

/** Makes an empty filesystem in a new sparse file. */
export async function makeImage(
  type: FilesystemType,
  image: string,
  options: Pick<LoopFilesystemOptions, 'size' | 'mkfs'> = {},
): Promise<void> {
  const file = openSync(image, 'wx');
  try {
    ftruncateSync(file, options.size ?? defaultSize[type]);
  } finally {
    closeSync(file);
  }
  const [command = '', ...args] = mkfs[type];
  await execa(command, [...args, ...(options.mkfs ?? []), image]);
}

/** The same for a small ext4 whose superblock does not call it clean (tune2fs(8)). */
export async function makeUncleanImage(image: string): Promise<void> {
  await makeImage('ext4', image, { size: 16 * MIB });
  await execa('debugfs', ['-w', '-R', 'set_super_value state 0', image]);
}

/**
 * Mounts an image, and makes the mount point. A copy of a mounted xfs needs the option `nouuid`.
 * Unmounting detaches the loop device (autoclear).
 */
export async function mountImage(
  image: string,
  path: string,
  mountOptions: readonly string[] = [],
): Promise<void> {
  mkdirSync(path, { recursive: true });
  await execa('mount', ['-o', ['loop', ...mountOptions].join(','), '--', image, path]);
  mounted.add(path);
}

/**
 * Unmounts `path` if it is mounted. A process of the test may still be ending in it; after two
 * seconds the mount is detached lazily.
 */
export async function unmountImage(path: string): Promise<void> {
  if (!mounted.delete(path)) return;
  for (let attempt = 0; attempt < 20; attempt += 1) {
    const { exitCode } = await execa('umount', ['--', path], { reject: false });
    if (exitCode === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await execa('umount', ['--lazy', '--', path]);
}

const mounted = new Set<string>();

/** Writes until no block is left, not even for a directory. */
export function fillDisk(path: string): void {
  const descriptor = openSync(path, 'a');
  try {
    for (let size = MIB; size >= 512; ) {
      try {
        writeSync(descriptor, Buffer.alloc(size));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
        size /= 2;
      }
    }
  } finally {
    closeSync(descriptor);
  }
}
