import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { canHardlink, canReflink } from '../../mirror/clone.ts';
import type { Layout } from '../../mirror/layout.ts';
import { complaintOfSuperblock } from '../../mirror/plan/preflight.ts';
import { ifThere, lstatIfThere } from '../../system/files.ts';
import { tryFlock } from '../../system/flock.ts';
import { type Mount, mountOf } from '../../system/mounts.ts';
import { quoteForSh } from '../../system/quote.ts';
import { isShared } from '../../system/shared-filesystem.ts';
import { bad, type Check, ok, skipped, type Verdict, warning } from './check.ts';
import { soundSettings } from './place.ts';

/** What the filesystem of a mirror can do. All but the first look needs the rights of its owner. */
export const FILESYSTEM: readonly Check<Layout>[] = [
  { title: 'filesystem', look: lookAtFilesystem },
  { title: 'hard links', look: ofSnapshots(inProbe(lookForHardLinks)) },
  { title: 'reflinks', look: ofSnapshots(inProbe(lookForReflinks)) },
  { title: 'locks', look: inProbe(lookAtLocks) },
  { title: 'times', look: inProbe(lookAtTimes) },
  { title: 'names', look: inProbe(lookAtNames) },
];

function lookAtFilesystem({ root }: Layout): Verdict {
  const mount = mountOf(root);
  const complaint = complaintOfSuperblock(root);
  if (complaint !== undefined)
    return bad(complaint, `Unmount it, and as root: fsck ${quoteForSh(mount?.source ?? 'DEVICE')}`);
  if (mount === undefined) return skipped('its mount is not to be seen here');
  const lockless = locksStayHere(mount);
  if (lockless !== undefined) {
    const shown = quoteForSh(mount.mountPoint);
    return bad(
      `${mount.type}, mounted with ${lockless}: readers and writers on other hosts do not see locks of this one`,
      `Take that out of its options in /etc/fstab, then: umount ${shown} && mount ${shown}`,
    );
  }
  if (mount.type === 'tmpfs') {
    return warning(
      'tmpfs: after a restart, the mirror is gone',
      'Make it anew on a disk, with: mirrorlatch init ROOT',
    );
  }
  if (mount.type === 'overlay') {
    return warning(
      'overlay, such as the layers of a container: what lies in lower layers is copied when it is changed',
      'Give the mirror a volume of its own, see: mirrorlatch help containers',
    );
  }
  return ok(
    isShared(root) ? `${mount.type}; watch looks once a second, without inotify` : mount.type,
  );
}

/** The option by which locks on a mount are this host's own (nfs(5)); undefined without one. */
export function locksStayHere({
  type,
  options,
}: Pick<Mount, 'type' | 'options'>): string | undefined {
  if (!type.startsWith('nfs')) return undefined;
  return options.find((option) => /^(nolock|local_lock=(flock|all))$/.test(option));
}

/** How long a probe may be left by a doctor that was killed; ms. */
const ABANDONED_MS = 3_600_000;

const PROBE = '.doctor-';

/** Looks for what only snapshots have a use for. */
function ofSnapshots(look: Check<Layout>['look']): Check<Layout>['look'] {
  return (layout) =>
    soundSettings(layout)?.mode === 'in-place'
      ? skipped('it is written in place, and clones nothing')
      : look(layout);
}

/** Looks at a new empty directory in staging, which goes again. */
function inProbe(look: (directory: string) => Verdict | Promise<Verdict>): Check<Layout>['look'] {
  return async ({ staging }) => {
    const found = lstatIfThere(staging);
    if (found === undefined) return skipped('there is no staging directory yet');
    if (Number(found.uid) !== process.geteuid?.())
      return skipped('only the owner of the mirror can try');
    if (mountOf(staging)?.isReadOnly) return skipped('it is mounted read-only here');
    removeAbandoned(staging);
    const directory = mkdtempSync(join(staging, PROBE));
    try {
      return await look(directory);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  };
}

function removeAbandoned(staging: string): void {
  for (const name of readdirSync(staging).filter((name) => name.startsWith(PROBE))) {
    const path = join(staging, name);
    const changed = ifThere(() => statSync(path).mtimeMs) ?? Date.now();
    if (Date.now() - changed > ABANDONED_MS) rmSync(path, { recursive: true, force: true });
  }
}

function lookForHardLinks(directory: string): Verdict {
  if (canHardlink(directory)) return ok('unchanged files of snapshots share their disk space');
  if (canReflink(directory)) return ok('none, but reflinks do the same');
  return warning(
    'neither hard links nor reflinks: each snapshot takes as much space as its source',
    'Keep the mirror on ext4, xfs or btrfs, or one tree alone: mirrorlatch init ROOT --in-place',
  );
}

function lookForReflinks(directory: string): Verdict {
  return canReflink(directory) ? ok('files can share blocks') : ok('none; hard links do');
}

/** A lock that this process holds has to keep others out. */
function lookAtLocks(directory: string): Verdict {
  const path = join(directory, 'lock');
  writeFileSync(path, '', { flag: 'wx', mode: 0o600 });
  const [ours, theirs] = [openSync(path, 'r+'), openSync(path, 'r+')];
  try {
    if (tryFlock(ours, 'exclusive') === 'locked' && tryFlock(theirs, 'shared') === 'held')
      return ok('a locked file keeps others out');
    return bad(
      'flock(2) does not keep other processes out: two writers could change the mirror at once',
      'Keep the mirror on a filesystem with locks, such as ext4, xfs, btrfs, or NFS 4',
    );
  } finally {
    closeSync(ours);
    closeSync(theirs);
  }
}

/** 2001-09-09T01:46:40.5Z; s. */
const HALF_A_SECOND = 1_000_000_000.5;

/** As ext3 and ext4 with inodes of 128 bytes, which `mkfs.ext4 -I 128`, or a small disk, makes. */
function lookAtTimes(directory: string): Verdict {
  const path = join(directory, 'time');
  writeFileSync(path, '', { flag: 'wx', mode: 0o600 });
  utimesSync(path, HALF_A_SECOND, HALF_A_SECOND);
  if (lstatIfThere(path)?.mtimeNs !== BigInt(HALF_A_SECOND * 1e9))
    return warning(
      'whole seconds alone: a file that the source rewrites within a second, in the same size, may be missed',
      'On ext4, only a new filesystem has more: mkfs.ext4 -I 256',
    );
  return ok('parts of seconds are kept');
}

function lookAtNames(directory: string): Verdict {
  writeFileSync(join(directory, 'name'), '', { flag: 'wx', mode: 0o600 });
  if (!existsSync(join(directory, 'NAME'))) return ok('Name and name are two files');
  return bad(
    `Name and name are one file in ${basename(directory)}: of two such files of the source, one would be lost`,
    'Keep the mirror on a filesystem that tells them apart, and in a directory without chattr +F',
  );
}
