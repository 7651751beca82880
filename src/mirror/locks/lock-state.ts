import { statSync } from 'node:fs';
import { join } from 'node:path';
import { MirrorlatchError } from '../../errors.ts';
import { ifThere, readTextIfThere } from '../../system/files.ts';
import { bootTimeMs, type HostIdentity, thisHost } from '../../system/host.ts';
import { lockHolderToken } from '../../system/lock-directory.ts';
import {
  countLocks,
  isOurAncestor,
  parentOf,
  pidsInNamespaces,
  processesHoldingFlock,
  processName,
  processStartTicks,
  processUser,
} from '../../system/proc.ts';
import type { Layout } from '../layout.ts';
import { printable } from '../names.ts';
import {
  checkLockOwner,
  checkLockProgress,
  type LockOwner,
  type LockProgress,
  parseJson,
} from '../settings/records.ts';
import { showTime } from '../units.ts';

/** The content of `sync.lock`. A power cut can leave a record without a readable owner. */
interface LockRecord {
  token: string;
  owner: LockOwner | undefined;
  progress: LockProgress | undefined;
}

export interface NamedProcess {
  pid: number;
  name: string;
}

/**
 * The state of the writer's lock:
 * - `held`: a process of this host holds it;
 * - `orphans`: its holder is certain to be dead, but children of it still run and may write;
 * - `foreign`: a process of another host holds it, judging by its heartbeat;
 * - `dead`: its holder has ended without releasing it.
 */
export type LockState =
  | { kind: 'free' }
  | {
      kind: 'held';
      owner: LockOwner | undefined;
      progress: LockProgress | undefined;
      processes: NamedProcess[];
      /** Whoever held it before these processes, and was killed. */
      killed?: LockOwner;
    }
  | { kind: 'orphans'; owner: LockOwner | undefined; processes: NamedProcess[] }
  | ({ kind: 'foreign'; heartbeatAgeMs: number } & LockRecord)
  | ({ kind: 'dead' } & LockRecord);

/** The programs that inherit the lock from a sync. */
const SYNC_CHILDREN = new Set(['rsync', 'ssh', 'cp', 'rm', 'find', 'btrfs', 'sync']);

/** Whether a process that has the kernel lock open may be a child of a killed sync, by its name. */
export function isSyncChild({ name }: NamedProcess): boolean {
  return SYNC_CHILDREN.has(name);
}

/** This process as the owner of the lock. */
export function ourselves(command: string): LockOwner {
  return {
    host: thisHost(),
    pid: process.pid,
    startTicks: processStartTicks(process.pid) ?? '',
    user: processUser(process.pid) ?? '?',
    command,
    since: new Date().toISOString(),
  };
}

/** Inspects the writer's lock without taking it or changing anything. */
export function inspectLock(layout: Layout): LockState {
  const isHeld =
    countLocks(layout.kernelLock) > 0 || processesHoldingFlock(layout.kernelLock).length > 0;
  if (isHeld) return stateWhileKernelLockIsHeld(layout);
  // In a container, /proc/locks leaves out locks that are held.
  return stateOfRecord(layout, true);
}

/**
 * The same by what the holder wrote of itself. All processes are looked at only where that says nothing of a
 * process that lives or is of another host, and a holder in another container counts as of another host.
 *
 * @param locks how many locks the kernel lists for `sync.flock`, for a caller that knows it.
 */
export function glanceAtLock(layout: Layout, locks?: number): LockState {
  const { owner, progress } = readRecord(layout) ?? {};
  if (owner === undefined) {
    const isHeld = (locks ?? countLocks(layout.kernelLock)) > 0;
    return isHeld ? inspectLock(layout) : stateOfRecord(layout, true);
  }
  if (!sharesPids(owner.host)) return stateOfRecord(layout, true);
  if (!isAlive(owner)) return inspectLock(layout);
  const processes = [{ pid: owner.pid, name: processName(owner.pid) ?? '?' }];
  return { kind: 'held', owner, progress, processes };
}

/** The state while a process of this host holds `sync.flock`. */
export function stateWhileKernelLockIsHeld(layout: Layout): LockState {
  const { owner, progress } = readRecord(layout) ?? {};
  const processes = holdersOf(layout.kernelLock);
  const isHolder = processes.some(({ pid }) => owner !== undefined && isOwner(pid, owner));
  const isOfHere = owner !== undefined && sharesPids(owner.host);
  if (isHolder || (isOfHere && isAlive(owner))) {
    return { kind: 'held', owner, progress, processes };
  }
  // What a command of `lock` left running belongs to the user; mirrorlatch never ends it.
  const isOurs = isOfHere && owner.command !== 'lock';
  if (isOurs && processes.length > 0 && topmost(processes).every(isSyncChild)) {
    return { kind: 'orphans', owner, processes };
  }
  const unknown = { kind: 'held', owner: undefined, progress: undefined, processes } as const;
  return isOfHere ? { ...unknown, killed: owner } : unknown;
}

/**
 * The state according to the record alone, while no process of this host holds `sync.flock`.
 *
 * @param isWithoutFlock `sync.flock` says nothing here, so an owner that is still running counts as
 *   the holder.
 */
export function stateOfRecord(layout: Layout, isWithoutFlock = false): LockState {
  const record = readRecord(layout);
  const beat = ifThere(() => statSync(layout.lockDirectory).mtimeMs);
  if (record === undefined || beat === undefined) return { kind: 'free' };
  const { owner } = record;
  const here = thisHost();
  const isOfHere = owner !== undefined && sharesPids(owner.host);
  if (isWithoutFlock && isOfHere && isAlive(owner)) {
    const processes = [{ pid: owner.pid, name: processName(owner.pid) ?? '?' }];
    return { kind: 'held', owner, progress: record.progress, processes };
  }
  // A free kernel lock speaks for all containers of this kernel, a pid only for ours.
  const isGone =
    (isWithoutFlock ? isOfHere : owner?.host.bootId === here.bootId) ||
    (beat < bootTimeMs() && (owner === undefined || isSameMachine(owner.host, here)));
  if (isGone) return { kind: 'dead', ...record };
  return { kind: 'foreign', ...record, heartbeatAgeMs: Date.now() - beat };
}

/** Describes the holder of the lock in one clause. */
export function describeLock(state: LockState): string {
  switch (state.kind) {
    case 'free':
      return 'nobody holds the lock';
    case 'held':
      if (state.owner !== undefined) {
        return `${describeOwner(state.owner)}${describeProgress(state.progress)}`;
      }
      if (state.processes.length === 0) {
        return `${whoIsHidden()} holds the lock${describeKilled(state.killed)}`;
      }
      return `held by ${describeProcesses(state.processes)}${describeKilled(state.killed)}`;
    case 'orphans':
      return `its holder was killed and left running: ${describeProcesses(state.processes)}`;
    case 'foreign': {
      const age = Math.max(0, Math.round(state.heartbeatAgeMs / 1000));
      return `${describeOwner(state.owner)}${describeProgress(state.progress)}, last heartbeat ${age} s ago`;
    }
    case 'dead':
      return `${describeOwner(state.owner)} ended without releasing it`;
  }
}

/**
 * Refuses to wait for a writer that has started this process, as the command of a `lock` or a hook: it would wait
 * for itself.
 *
 * @param why what it would wait for: a predicate of the mirror, for people.
 * @throws MirrorlatchError BUSY
 */
export function refuseInsideLock({ root }: Layout, why: string, lock: LockState): void {
  const owner = lock.kind === 'held' ? lock.owner : undefined;
  if (owner === undefined || !sharesPids(owner.host) || !isAlive(owner)) return;
  // Others may do two things at once, of which this is one.
  if (owner.command !== 'lock' && !isHeldUpByHook(root)) return;
  if (!isOurAncestor(owner.pid)) return;
  const verb = `\`${owner.command.split(' ')[0]}\``;
  throw new MirrorlatchError(
    'BUSY',
    `${root} ${why}: this runs inside ${verb} of that mirror, and would wait for itself`,
    { hint: `Run it once ${verb} has ended.`, details: { lock } },
  );
}

/** Whether a hook around this process, by its environment, holds the writer of a mirror up: see `writer/hooks.ts`. */
function isHeldUpByHook(root: string): boolean {
  const { MIRRORLATCH_ROOT, MIRRORLATCH_PHASE = '' } = process.env;
  return MIRRORLATCH_ROOT === root && MIRRORLATCH_PHASE.startsWith('before-');
}

/** From root, no process is hidden but one that ends right now, or that is not of this container. */
function whoIsHidden(): string {
  return process.geteuid?.() === 0
    ? 'a process that is about to end, or of another container,'
    : 'a process of another user';
}

function describeOwner(owner: LockOwner | undefined): string {
  return owner === undefined
    ? 'an unknown holder'
    : `${nameOwner(owner)} since ${showTime(owner.since)}`;
}

function describeKilled(owner: LockOwner | undefined): string {
  return owner === undefined ? '' : `; ${nameOwner(owner)} was killed without releasing it`;
}

/** What holds the lock, and where, for people. */
export function nameOwner({ command, user, pid, host }: LockOwner): string {
  return printable(`${command} by ${user} (pid ${pid} on ${host.hostname})`);
}

function describeProgress(progress: LockProgress | undefined): string {
  if (progress === undefined) return '';
  const share = progress.done === undefined ? '' : ` ${Math.floor(progress.done * 100)} %`;
  return `, now: ${progress.phase}${share}`;
}

/** The processes that hold a flock(2) on the file, as far as this user may see them. */
export function holdersOf(path: string): NamedProcess[] {
  return processesHoldingFlock(path).map((pid) => ({ pid, name: processName(pid) ?? '?' }));
}

/** Names and pids, for people. */
export function describeProcesses(processes: readonly NamedProcess[]): string {
  return processes.map(({ pid, name }) => `${printable(name)} (pid ${pid})`).join(', ');
}

/** Whether two hosts are the same machine, possibly before and after a restart. */
function isSameMachine(one: HostIdentity, other: HostIdentity): boolean {
  return (
    one.machineId !== '' && one.machineId === other.machineId && one.hostname === other.hostname
  );
}

/** Those that no other of them has started. */
function topmost(processes: readonly NamedProcess[]): NamedProcess[] {
  const pids = new Set(processes.map(({ pid }) => pid));
  return processes.filter(({ pid }) => !pids.has(parentOf(pid) ?? 0));
}

/** Whether pids mean the same to that host and to us. Records of older versions lack the namespace. */
function sharesPids(host: HostIdentity): boolean {
  const { bootId, pidNamespace } = thisHost();
  return host.bootId === bootId && (host.pidNamespace ?? pidNamespace) === pidNamespace;
}

/** Whether the owner, which shares our pids, still runs. */
function isAlive(owner: LockOwner): boolean {
  return processStartTicks(owner.pid) === owner.startTicks;
}

/** Whether a process is the owner, which may know itself by another pid than we do. */
function isOwner(pid: number, owner: LockOwner): boolean {
  return pidsInNamespaces(pid).includes(owner.pid) && processStartTicks(pid) === owner.startTicks;
}

function readRecord(layout: Layout): LockRecord | undefined {
  const token = lockHolderToken(layout.lockDirectory);
  if (token === undefined) return undefined;
  const inside = join(layout.lockDirectory, token);
  const read = (name: string) => parseJson(readTextIfThere(join(inside, name)));
  const owner = checkLockOwner(read('owner.json'));
  const progress = checkLockProgress(read('progress.json'));
  return {
    token,
    owner: 'record' in owner ? owner.record : undefined,
    progress: 'record' in progress ? progress.record : undefined,
  };
}
