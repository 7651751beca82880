import { isUtf8 } from 'node:buffer';
import {
  type BigIntStats,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { readTextIfThere } from './files.ts';
import { mountOf } from './mounts.ts';

/**
 * When a process started, in clock ticks since boot (proc(5), /proc/pid/stat, field 22); undefined if
 * it has ended. With the pid and the boot id, this identifies a process for good.
 */
export function processStartTicks(pid: number): string | undefined {
  return statFields(pid)?.[19];
}

/**
 * The pids of a process, ours first and then those in the namespaces that it runs in (proc(5),
 * /proc/pid/status, NSpid); none if it has ended.
 */
export function pidsInNamespaces(pid: number): number[] {
  const line = lines(`/proc/${pid}/status`).find((text) => text.startsWith('NSpid:'));
  return line?.split('\t').slice(1).map(Number) ?? [];
}

/** What this program calls itself instead of `node`. */
const OURS = 'mirrorlatch';

/** Lets `ps`, and the messages of other processes of ours, call this process by its program. */
export function nameThisProcess(): void {
  quietly(() => writeFileSync('/proc/self/comm', OURS));
}

/**
 * The command name of a process (at most 15 bytes; invalid UTF-8 as `\xHH`), with its verb if it is
 * one of ours; undefined if it has ended. A process chooses its name: print it with `printable`.
 */
export function processName(pid: number): string | undefined {
  const name = quietly(() => textOf(readFileSync(`/proc/${pid}/comm`).subarray(0, -1)));
  if (name !== OURS) return name;
  const [, , verb = ''] = textOf(quietly(() => readFileSync(`/proc/${pid}/cmdline`))).split('\0');
  return /^[a-z-]+$/.test(verb) ? `${name} ${verb}` : name;
}

function textOf(bytes = Buffer.alloc(0)): string {
  return isUtf8(bytes)
    ? bytes.toString()
    : bytes
        .toString('latin1')
        .replaceAll(/[^\0-\x7f]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16)}`);
}

/** The user that a process runs as: by name, or by uid if it has no name. */
export function processUser(pid: number): string | undefined {
  const uid = quietly(() => statSync(`/proc/${pid}`).uid);
  return uid === undefined ? undefined : userName(uid);
}

/**
 * Bit of CAP_SYS_PTRACE in a capability mask, and the first user and pid namespace (linux/capability.h,
 * linux/proc_ns.h).
 */
const CAP_SYS_PTRACE = 19n;
const FIRST_NAMESPACES = { user: 0xefff_fffd, pid: 0xefff_fffc };

/** Whether this process sees what any process of the host uses, as root does outside of containers. */
export function seesAllProcesses(): boolean {
  const mask = /^CapEff:\s*([0-9a-f]+)$/m.exec(lines('/proc/self/status').join('\n'))?.[1] ?? '0';
  return (
    ((BigInt(`0x${mask}`) >> CAP_SYS_PTRACE) & 1n) === 1n &&
    Object.entries(FIRST_NAMESPACES).every(
      ([name, inode]) => quietly(() => statSync(`/proc/self/ns/${name}`).ino) === inode,
    )
  );
}

/** The pids of all processes but this one. */
export function otherProcesses(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid);
}

/**
 * The processes that have the file open, as far as this user may see; this process only if that is by
 * another descriptor than `ours`.
 */
export function processesWithOpenFile(path: string, ours?: number): number[] {
  const wanted = quietly(() => statSync(path, { bigint: true }));
  return processesWithDescriptor(
    (descriptor) => isSameFile(descriptor, wanted),
    (pid, fd) => pid !== process.pid || Number(fd) !== ours,
  );
}

const FLOCKS = {
  any: /^lock:.* FLOCK /,
  shared: /^lock:.* FLOCK .* READ /,
  exclusive: /^lock:.* FLOCK .* WRITE /,
};

/**
 * The other processes that hold a flock(2) on the file, or on one of that path which has been deleted,
 * if only by a descriptor that they inherited (proc(5), /proc/pid/fdinfo). A process that still waits
 * for the lock has the file open, but does not count.
 */
export function processesHoldingFlock(path: string, kind: keyof typeof FLOCKS = 'any'): number[] {
  const lock = FLOCKS[kind];
  const wanted = quietly(() => statSync(path, { bigint: true }));
  return processesWithDescriptor(
    (descriptor) => isSameFile(descriptor, wanted) || link(descriptor) === `${path} (deleted)`,
    (pid, fd) =>
      pid !== process.pid &&
      lines(`/proc/${threadOf(pid)}/fdinfo/${fd}`).some((line) => lock.test(line)),
  );
}

/** The other processes that were started with these variables in their environment. */
export function processesWithVariables(variables: Readonly<Record<string, string>>): number[] {
  const wanted = Object.entries(variables).map(
    ([name, value]) => `\0${Buffer.from(`${name}=${value}`).toString('latin1')}\0`,
  );
  const environmentOf = (pid: number) =>
    quietly(() => readFileSync(`/proc/${pid}/environ`, 'latin1')) || undefined;
  return otherProcesses().filter((pid) => {
    // To look for a thread takes as long again.
    const block = environmentOf(pid) ?? environmentOf(threadOf(pid));
    return block !== undefined && wanted.every((variable) => `\0${block}\0`.includes(variable));
  });
}

/** The parent of a process, or undefined if the process has ended. */
export function parentOf(pid: number): number | undefined {
  const parent = statFields(pid)?.[1];
  return parent === undefined ? undefined : Number(parent);
}

/** Whether a process has started this one, itself or through others. */
export function isOurAncestor(pid: number): boolean {
  let ancestor: number | undefined = process.ppid;
  while (ancestor !== undefined && ancestor !== 0 && ancestor !== pid)
    ancestor = parentOf(ancestor);
  return ancestor === pid;
}

/** Whether a process sees the same mounts as this one; undefined if that cannot be seen. */
export function sharesOurMounts(pid: number): boolean | undefined {
  const namespace = link(`/proc/${threadOf(pid)}/ns/mnt`);
  return namespace === undefined ? undefined : namespace === link('/proc/self/ns/mnt');
}

/** The session of a process (setsid(2)), or undefined if it has ended. */
export function sessionOf(pid: number): string | undefined {
  return statFields(pid)?.[3];
}

/** @param isOfFile whether a descriptor, by its path in /proc, is of the file in question. */
function processesWithDescriptor(
  isOfFile: (descriptor: string) => boolean,
  isWanted: (pid: number, fd: string) => boolean,
): number[] {
  return [...otherProcesses(), process.pid].filter((pid) => {
    const descriptors = `/proc/${threadOf(pid)}/fd`;
    return names(descriptors).some((fd) => isOfFile(join(descriptors, fd)) && isWanted(pid, fd));
  });
}

function isSameFile(path: string, wanted: BigIntStats | undefined): boolean {
  const found = quietly(() => statSync(path, { bigint: true }));
  return wanted !== undefined && found?.ino === wanted.ino && found.dev === wanted.dev;
}

/** What proc(5), /proc/locks, lists of each kind. `any` has those that a process waits for as well. */
const LISTED = {
  any: /^/,
  shared: / READ /,
  exclusive: /^\d+: FLOCK +\S+ +WRITE /,
};

/** The number of locks on the file, or of one kind alone. */
export function countLocks(path: string, kind: keyof typeof LISTED = 'any'): number {
  return countLocksOf([path], kind)[0] ?? 0;
}

/**
 * The number of locks on each of the files, in one look. A lock is listed with the device of the mount,
 * which is not that of a file in a btrfs subvolume.
 */
export function countLocksOf(
  paths: readonly string[],
  kind: keyof typeof LISTED = 'any',
): number[] {
  // To show /proc/locks, the kernel waits for all its CPUs.
  if (paths.length === 0) return [];
  const counts = new Map<string, number>();
  const inodes = new Set<string>();
  for (const line of lines('/proc/locks')) {
    const [, file, inode] = / ([0-9a-f]+:[0-9a-f]+:(\d+)) /.exec(line) ?? [];
    if (file === undefined || inode === undefined || !LISTED[kind].test(line)) continue;
    counts.set(file, (counts.get(file) ?? 0) + 1);
    inodes.add(inode);
  }
  if (inodes.size === 0) return paths.map(() => 0);
  const devices = new Map<bigint, string>();
  return paths.map((path) => {
    const found = quietly(() => statSync(path, { bigint: true }));
    if (found === undefined || !inodes.has(String(found.ino))) return 0;
    const device = devices.get(found.dev) ?? quietly(() => listedDevice(path));
    if (device === undefined) return 0;
    devices.set(found.dev, device);
    return counts.get(`${device}:${found.ino}`) ?? 0;
  });
}

/** The device of the mount that holds the path, as /proc/locks writes it. */
function listedDevice(path: string): string | undefined {
  return mountOf(path)
    ?.device.split(':')
    .map((number) => Number(number).toString(16).padStart(2, '0'))
    .join(':');
}

/** Those of the files that a process has locked exclusively with flock(2), as far as /proc/locks shows it. */
export function exclusivelyLocked(paths: readonly string[]): string[] {
  const counts = countLocksOf(paths, 'exclusive');
  return paths.filter((_, at) => counts[at] !== 0);
}

/** The fields of /proc/pid/stat from the third, the state, on; undefined if the process has ended. */
function statFields(pid: number): string[] | undefined {
  const fields = fieldsOf(`/proc/${pid}/stat`);
  return hasEnded(fields) && threadOf(pid) === pid ? undefined : fields;
}

/**
 * A thread of the process that shows what the process has. The first one, which has the number of the
 * process, shows nothing once it has ended, but the others go on (proc(5), /proc/tid).
 */
export function threadOf(pid: number): number {
  if (!hasEnded(fieldsOf(`/proc/${pid}/stat`))) return pid;
  const threads = `/proc/${pid}/task`;
  const living = names(threads).find(
    (thread) => !hasEnded(fieldsOf(join(threads, thread, 'stat'))),
  );
  return living === undefined ? pid : Number(living);
}

function hasEnded(fields: readonly string[] | undefined): boolean {
  return fields === undefined || fields[0] === 'Z' || fields[0] === 'X';
}

function fieldsOf(file: string): string[] | undefined {
  const stat = quietly(() => readFileSync(file, 'latin1'));
  // The second field is the command name in parentheses, and may contain parentheses itself.
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/** The link of a descriptor has the mode that it was opened with (proc(5), /proc/pid/fd). */
export function isOpenForWriting(fd: string): boolean {
  const mode = quietly(() => lstatSync(fd).mode);
  return mode !== undefined && (mode & 0o200) !== 0;
}

/** The name of a user, or the uid if it has none (passwd(5)). */
export function userName(uid: number): string {
  const line = readTextIfThere('/etc/passwd')
    ?.split('\n')
    .find((entry) => entry.split(':')[2] === String(uid));
  return line?.split(':')[0] ?? String(uid);
}

export function link(path: string): string | undefined {
  return quietly(() => readlinkSync(path));
}

export function names(directory: string): string[] {
  return quietly(() => readdirSync(directory)) ?? [];
}

export function lines(file: string): string[] {
  return quietly(() => readFileSync(file, 'utf8').split('\n')) ?? [];
}

/** A process may end at any moment, or belong to another user: then there is nothing to see. */
export function quietly<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}
