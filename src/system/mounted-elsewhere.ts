import type { ProcessPath } from './paths-in-use.ts';
import { processName, sharesOurMounts } from './proc.ts';
import { quoteForSh } from './quote.ts';

/** A mount in another place that shows a directory, or part of it. */
export interface MountElsewhere {
  /** As the process sees it. */
  mountPoint: string;
  /** One of the mount namespace in which it is, such as that of a container; null if that is ours. */
  process: { pid: number; name: string } | null;
}

/** @param uses those of a directory; a mount that several namespaces have in one place counts once. */
export function mountsElsewhere(uses: readonly ProcessPath[]): MountElsewhere[] {
  const mounts = uses.flatMap(({ pid, mountPoint }): MountElsewhere[] => {
    if (mountPoint === undefined) return [];
    return sharesOurMounts(pid)
      ? [{ mountPoint, process: null }]
      : [{ mountPoint, process: { pid, name: processName(pid) ?? '?' } }];
  });
  const ours = mounts.filter(({ process }) => process === null);
  return [...ours, ...mounts].filter(
    ({ mountPoint }, at, all) => all.findIndex((one) => one.mountPoint === mountPoint) === at,
  );
}

const MOST_MOUNTS = 3;

/** A few of them, for people. */
export function describeMounts(mounts: readonly MountElsewhere[]): string {
  const named = mounts.slice(0, MOST_MOUNTS).map(({ mountPoint, process }) => {
    const of = process === null ? '' : ` of ${quoteForSh(process.name)} (pid ${process.pid})`;
    return `the mount ${quoteForSh(mountPoint)}${of}`;
  });
  const more = mounts.length - named.length;
  return named.join(' and ') + (more > 0 ? ` and ${more} more` : '');
}

/** What to do about mounts of a directory that is replaced by renaming, which a mount does not follow. */
export function wayToMountAbove(mounts: readonly MountElsewhere[]): string {
  const ours = mounts.filter(({ process }) => process === null);
  const umount = ours.map(({ mountPoint }) => `umount ${quoteForSh(mountPoint)}`).join(' && ');
  const above = 'mount the directory above the served one instead';
  return ours.length === 0 ? above : `${above}, after: ${umount}`;
}
