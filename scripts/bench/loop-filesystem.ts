import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const makers = {
  xfs: ['mkfs.xfs', '-q', '-f'],
  btrfs: ['mkfs.btrfs', '-q', '-f'],
} as const;

export type FilesystemType = keyof typeof makers;

/**
 * Makes a filesystem of `bytes` in a sparse file in `directory`, and mounts it there.
 *
 * @returns the mount point. Unmounting it frees the loop device.
 * @throws Error if this user may not mount, or mkfs is not installed.
 */
export function mountFilesystem(type: FilesystemType, directory: string, bytes: number): string {
  const image = join(directory, `${type}.img`);
  const point = join(directory, type);
  mkdirSync(point);
  writeFileSync(image, '');
  truncateSync(image, bytes);
  const [program, ...options] = makers[type];
  execFileSync(program, [...options, image]);
  execFileSync('mount', ['-o', 'loop', '--', image, point]);
  chmodSync(point, 0o755);
  return point;
}
