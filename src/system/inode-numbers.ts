import { statfsSync } from 'node:fs';

/** By their magic numbers (statfs(2)). */
const LISTING: Readonly<Record<string, number>> = {
  btrfs: 0x9123683e,
  ext: 0xef53,
  f2fs: 0xf2f52010,
  tmpfs: 0x01021994,
  xfs: 0x58465342,
  zfs: 0x2fc12fc1,
};

/**
 * Whether the filesystem of a directory lists the names in it with the inode numbers that lstat(2) would
 * give, so that nobody has to ask for each. Others may list any: FUSE by default the same for all
 * (fuse(8), use_ino), an overlay those of its layers.
 */
export function listsInodeNumbers(directory: string): boolean {
  // If `long` has 32 bits, the larger numbers come out negative.
  return Object.values(LISTING).includes(statfsSync(directory).type >>> 0);
}
