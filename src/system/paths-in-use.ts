import { statSync } from 'node:fs';
import { join, relative } from 'node:path';
import {
  isWithin,
  layersOf,
  type Mount,
  mountHolding,
  mountOf,
  mountsSeenBy,
  pathOnFilesystem,
} from './mounts.ts';
import {
  isOpenForWriting,
  lines,
  link,
  names,
  otherProcesses,
  quietly,
  sharesOurMounts,
  threadOf,
} from './proc.ts';

/** How a process uses a path, as proc(5) names it. */
export type ProcessUse = 'cwd' | 'root' | 'fd' | 'maps' | 'mount';

export interface ProcessPath {
  pid: number;
  use: ProcessUse;
  path: string;
  /** For a mount other than an overlay: where the process sees `path`. */
  mountPoint?: string;
  /**
   * False for a file that is open for reading only, or mapped without a way to change it: through
   * anything else, a process may write.
   */
  mayWrite: boolean;
}

/**
 * Every path in `directory` (absolute, without symlinks) that another process uses: as its working
 * directory or root, by an open or mapped file, or by a mount elsewhere, which may be an overlay; as
 * far as this user may see. A path that a process reaches in another way, as a container does by a bind
 * mount, is given as the path in `directory`.
 */
export function pathsInUse(directory: string): ProcessPath[] {
  const found: ProcessPath[] = [];
  const home = mountOf(directory);
  const place = home && pathOnFilesystem(home, directory);
  const below = (mount: Mount, path: string): string | undefined => {
    if (place === undefined || mount.device !== home?.device) return undefined;
    const there = pathOnFilesystem(mount, path);
    return isWithin(there, place) ? join(directory, relative(place, there)) : undefined;
  };
  /** Whether the mount shows the directory, or part of it, in another place. */
  const isOtherWay = ({ device, root, mountPoint }: Mount): boolean =>
    place !== undefined &&
    device === home?.device &&
    (mountPoint !== home.mountPoint || root !== home.root) &&
    (isWithin(place, root) || isWithin(root, place));

  /** The mounts of each mount namespace that has another way to the directory. */
  const namespaces = new Map<string, Mount[] | undefined>();
  for (const pid of otherProcesses()) {
    const thread = threadOf(pid);
    const namespace = link(`/proc/${thread}/ns/mnt`) ?? '';
    const isFirstOfNamespace = !namespaces.has(namespace);
    const seen = isFirstOfNamespace ? (quietly(() => mountsSeenBy(thread)) ?? []) : [];
    if (isFirstOfNamespace) namespaces.set(namespace, seen.some(isOtherWay) ? seen : undefined);
    const mounts = namespaces.get(namespace);
    const note = (
      use: ProcessUse,
      named: string | undefined,
      mayWrite: () => boolean = () => true,
    ): void => {
      if (named === undefined) return;
      const mount = isWithin(named, directory) ? undefined : mounts && mountHolding(mounts, named);
      const path = mount === undefined ? named : below(mount, named);
      if (path !== undefined && isWithin(path, directory)) {
        found.push({ pid, use, path, mayWrite: mayWrite() });
      }
    };
    for (const use of ['cwd', 'root'] as const)
      for (const path of linksOfThreads(pid, use)) note(use, path);
    for (const name of names(`/proc/${thread}/fd`)) {
      const fd = `/proc/${thread}/fd/${name}`;
      note('fd', link(fd), () => isDirectory(fd) || isOpenForWriting(fd));
    }
    let isWritten: ((path: string) => boolean) | undefined;
    for (const path of mappedFiles(thread)) {
      note('maps', path, () => {
        isWritten ??= writtenByMaps(thread);
        return isWritten(path);
      });
    }
    for (const layers of seen.map(layersOf)) {
      for (const path of layers.written) note('mount', path);
      for (const path of layers.read) note('mount', path, () => false);
    }
    if (!isFirstOfNamespace) continue;
    for (const mount of mounts ?? []) {
      const path = below(mount, mount.mountPoint);
      if (path === undefined) continue;
      const { mountPoint, isReadOnly } = mount;
      found.push({ pid, use: 'mount', path, mountPoint, mayWrite: !isReadOnly });
    }
  }
  return found;
}

/**
 * Whether the process could write by what it uses. A mount that everybody sees says nothing of the
 * process that is named with it: `attachmentsOf` finds it.
 */
export function mayWriteBy({ pid, use, mayWrite }: ProcessPath): boolean {
  return mayWrite && !(use === 'mount' && sharesOurMounts(pid));
}

/** The working directories or the roots of a process: a thread may have its own (unshare(2), CLONE_FS). */
function linksOfThreads(pid: number, use: 'cwd' | 'root'): Set<string | undefined> {
  const threads = `/proc/${pid}/task`;
  return new Set(names(threads).map((thread) => link(join(threads, thread, use))));
}

/** An open directory leads to all that is in it (openat(2)). */
function isDirectory(fd: string): boolean {
  return quietly(() => statSync(fd).isDirectory()) ?? false;
}

function mappedFiles(thread: number): Set<string> {
  const mapped = lines(`/proc/${thread}/maps`).filter((line) => line.includes('/'));
  return new Set(mapped.map((line) => line.slice(line.indexOf('/'))));
}

/**
 * Tells which mapped files change by what the process stores in memory: the map is shared, and the file
 * was open for writing (proc(5), /proc/pid/smaps, VmFlags, `sh`). Such a map may be read-only for now
 * (mprotect(2)). All do where the kernel does not say.
 */
function writtenByMaps(thread: number): (path: string) => boolean {
  const facts = lines(`/proc/${thread}/smaps`);
  if (facts.length === 0) return () => true;
  const found = new Set<string>();
  let path = '';
  for (const line of facts) {
    if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) path = line.slice(line.indexOf('/'));
    else if (/^VmFlags:.* sh\b/.test(line)) found.add(path);
  }
  return (name) => found.has(name);
}
