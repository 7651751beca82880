import { statfsSync } from 'node:fs';

/** By their magic numbers (statfs(2), and stat.c of coreutils). */
const SHARED: Readonly<Record<string, number>> = {
  afs: 0x5346414f,
  ceph: 0x00c36400,
  cifs: 0xff534d42,
  coda: 0x73757245,
  fuse: 0x65735546,
  gfs2: 0x01161970,
  gpfs: 0x47504653,
  kafs: 0x6b414653,
  lustre: 0x0bd00bd0,
  ncp: 0x564c,
  nfs: 0x6969,
  ocfs2: 0x7461636f,
  smb: 0x517b,
  smb2: 0xfe534d42,
  v9fs: 0x01021997,
  vboxsf: 0x786f4256,
};

/**
 * Whether a directory lies on a filesystem of which this kernel is not the only user: on a network, in
 * a cluster, by FUSE, or shared with a virtual machine's host. Such a filesystem can change without
 * this kernel's knowledge, and may give files other owners than the processes that make them.
 */
export function isShared(directory: string): boolean {
  // If `long` has 32 bits, the larger numbers come out negative.
  return Object.values(SHARED).includes(statfsSync(directory).type >>> 0);
}
