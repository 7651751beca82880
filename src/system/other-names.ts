import { lstatSync, readlinkSync, statSync } from 'node:fs';
import { mountOf } from './mounts.ts';
import { isOpenForWriting, lines, names, otherProcesses, quietly, threadOf } from './proc.ts';
import { runProgram } from './process.ts';

/** Another process that could write to a file in a tree. */
export interface FileWriter {
  pid: number;
  /** A path of the file in the tree. */
  path: string;
}

/**
 * The other processes that could write to a regular file in `tree` (absolute, without symlinks) although
 * they opened or mapped it by a name elsewhere, or by one that has been removed since, as far as this user
 * may see. By its names in the tree, `pathsInUse` finds a file.
 */
export async function writersByOtherNames(tree: string): Promise<FileWriter[]> {
  const suspects = processesWritingElsewhere(tree);
  if (suspects.length === 0) return [];
  const inodes = [...new Set(suspects.map(({ inode }) => inode))];
  const { stdout } = await runProgram('find', [
    tree,
    '-xdev',
    '-type',
    'f',
    '(',
    ...inodes.flatMap((inode, at) => [...(at === 0 ? [] : ['-o']), '-inum', String(inode)]),
    ')',
    '-printf',
    String.raw`%i %p\0`,
  ]);
  const found = stdout.split('\0').slice(0, -1);
  return suspects.flatMap(({ pid, inode }) => {
    const start = `${inode} `;
    const path = found.find((line) => line.startsWith(start))?.slice(start.length);
    return path === undefined ? [] : [{ pid, path }];
  });
}

/**
 * How many files (all but directories) of a tree have names outside of it, and a path of one of them;
 * undefined if none has.
 *
 * @param tree absolute, without symlinks.
 */
export async function namesOutside(
  tree: string,
): Promise<{ count: number; path: string } | undefined> {
  const linked = [tree, '!', '-type', 'd', '-links', '+1'];
  const { stdout } = await runProgram('find', [...linked, '-printf', String.raw`%D:%i %n\n`]);
  const inside = new Map<string, number>();
  for (const line of stdout.split('\n')) inside.set(line, (inside.get(line) ?? 0) + 1);
  const outside = [...inside].filter(([line, count]) => count < Number(line.split(' ')[1]));
  const [first] = outside;
  if (first === undefined) return undefined;
  const inode = /:(\d+) /.exec(first[0])?.[1] ?? '';
  const named = await runProgram('find', [...linked, '-inum', inode, '-print0', '-quit']);
  return { count: outside.length, path: named.stdout.replace(/\0$/, '') };
}

interface Suspect {
  pid: number;
  inode: bigint;
}

/**
 * What processes could write to on the filesystem of the tree, if the path that /proc shows does not lead
 * there or is not the only one. That is rare: most files have one name, and keep it.
 */
function processesWritingElsewhere(tree: string): Suspect[] {
  const device = quietly(() => statSync(tree).dev);
  const mounted = mountOf(tree)?.device;
  return otherProcesses().flatMap((pid) => {
    const thread = threadOf(pid);
    const opened = names(`/proc/${thread}/fd`)
      .map((name) => `/proc/${thread}/fd/${name}`)
      .filter((fd) => isOpenForWriting(fd))
      .flatMap((fd) => {
        const file = quietly(() => statSync(fd, { bigint: true }));
        if (!file?.isFile() || file.nlink === 0n || Number(file.dev) !== device) return [];
        return [{ inode: file.ino, path: quietly(() => readlinkSync(fd)) ?? '' }];
      });
    const mapped = sharedMaps(thread).filter((map) => map.device === mounted);
    return [...opened, ...mapped]
      .filter(({ inode, path }) => !isOnlyNameOf(path, inode))
      .map(({ inode }) => ({ pid, inode }));
  });
}

/** What the process has mapped so that it can be written to: proc(5), /proc/pid/maps, `w` and `s`. */
function sharedMaps(thread: number): { device: string; inode: bigint; path: string }[] {
  const shared = /^\S+ .w.s \S+ ([0-9a-f]+):([0-9a-f]+) (\d+) +(\/.*)$/;
  return lines(`/proc/${thread}/maps`).flatMap((line) => {
    const [, major, minor, inode = '', path = ''] = shared.exec(line) ?? [];
    if (major === undefined) return [];
    const device = `${Number(`0x${major}`)}:${Number(`0x${minor}`)}`;
    return [{ device, inode: BigInt(inode), path }];
  });
}

function isOnlyNameOf(path: string, inode: bigint): boolean {
  const found = quietly(() => lstatSync(path, { bigint: true }));
  return found?.ino === inode && found.nlink === 1n;
}
