import { statSync } from 'node:fs';
import { join } from 'node:path';
import { ifThere, readTextIfThere } from '../system/files.ts';
import { bootTimeMs, type HostIdentity, thisHost } from '../system/host.ts';
import { lockHolderToken } from '../system/lock-directory.ts';
import {
  countLocks,
  processesWithOpenFile,
  processName,
  processStartTicks,
  processUser,
} from '../system/proc.ts';
import type { Layout } from './layout.ts';
import {
  checkLockOwner,
  checkLockProgress,
  type LockOwner,
  type LockProgress,
  parseJson,
} from './records.ts';

/** What lies in `sync.lock`; a power cut can leave a record without a readable owner. */
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
 * Who keeps others from writing:
 * - `held`: a living process of this host;
 * - `orphans`: what a killed holder left running on this host; it may still write;
 * - `foreign`: a holder on another host, as far as its heartbeat tells;
 * - `dead`: a record on disk whose holder is known to have ended.
 */
export type LockState =
  | { kind: 'free' }
  | {
      kind: 'held';
      owner: LockOwner | undefined;
      progress: LockProgress | undefined;
      processes: NamedProcess[];
    }
  | { kind: 'orphans'; owner: LockOwner | undefined; processes: NamedProcess[] }
  | ({ kind: 'foreign'; heartbeatAgeMs: number } & LockRecord)
  | ({ kind: 'dead' } & LockRecord);

/** The programs that a sync starts with the lock in their hands. */
const SYNC_CHILDREN = new Set(['rsync', 'ssh', 'cp', 'rm', 'find', 'btrfs', 'sync']);

export function isSyncChild({ name }: NamedProcess): boolean {
  return SYNC_CHILDREN.has(name);
}

/** The record of this very process. */
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

/** Who holds the writer's lock now; takes and changes nothing. */
export function inspectLock(layout: Layout): LockState {
  const isOpen = processesWithOpenFile(layout.kernelLock).length > 0;
  return isOpen || countLocks(layout.kernelLock) > 0
    ? stateWhileKernelLockIsHeld(layout)
    : stateOfRecord(layout);
}

/** The state while some process of this host holds `sync.flock`. */
export function stateWhileKernelLockIsHeld(layout: Layout): LockState {
  const { owner, progress } = readRecord(layout) ?? {};
  const processes = processesWithOpenFile(layout.kernelLock).map((pid) => ({
    pid,
    name: processName(pid) ?? '?',
  }));
  if (owner?.host.bootId === thisHost().bootId && isAlive(owner)) {
    return { kind: 'held', owner, progress, processes };
  }
  // What a command of `lock` has left is the user's own, and not ours to end.
  const isOurs = owner !== undefined && owner.command !== 'lock';
  if (isOurs && processes.some(isSyncChild)) return { kind: 'orphans', owner, processes };
  return { kind: 'held', owner: undefined, progress: undefined, processes };
}

/**
 * The state while no process of this host holds `sync.flock`: what the record alone tells.
 *
 * @param isWithoutFlock the filesystem has none, so whether a holder of this host lives is all that
 *   can be asked.
 */
export function stateOfRecord(layout: Layout, isWithoutFlock = false): LockState {
  const record = readRecord(layout);
  const beat = ifThere(() => statSync(layout.lockDirectory).mtimeMs);
  if (record === undefined || beat === undefined) return { kind: 'free' };
  const { owner } = record;
  const here = thisHost();
  const isOfThisBoot = owner?.host.bootId === here.bootId;
  if (isWithoutFlock && isOfThisBoot && isAlive(owner)) {
    const processes = [{ pid: owner.pid, name: processName(owner.pid) ?? '?' }];
    return { kind: 'held', owner, progress: record.progress, processes };
  }
  const isGone =
    isOfThisBoot ||
    (beat < bootTimeMs() && (owner === undefined || isSameMachine(owner.host, here)));
  if (isGone) return { kind: 'dead', ...record };
  return { kind: 'foreign', ...record, heartbeatAgeMs: Date.now() - beat };
}

/** One sentence about who holds the lock. */
export function describeLock(state: LockState): string {
  switch (state.kind) {
    case 'free':
      return 'nobody holds the lock';
    case 'held':
      if (state.owner !== undefined) {
        return `${describeOwner(state.owner)}${describeProgress(state.progress)}`;
      }
      if (state.processes.length === 0) return 'a process of another user holds the lock';
      return `held by ${describeProcesses(state.processes)}`;
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

function describeOwner(owner: LockOwner | undefined): string {
  if (owner === undefined) return 'an unknown holder';
  const { command, user, pid, host, since } = owner;
  return `${command} by ${user} (pid ${pid} on ${host.hostname}) since ${since}`;
}

function describeProgress(progress: LockProgress | undefined): string {
  if (progress === undefined) return '';
  const share = progress.done === undefined ? '' : ` ${Math.floor(progress.done * 100)} %`;
  return `, now: ${progress.phase}${share}`;
}

function describeProcesses(processes: readonly NamedProcess[]): string {
  return processes.map(({ pid, name }) => `${name} (pid ${pid})`).join(', ');
}

/** Before it was started anew, when the boot ids differ. */
function isSameMachine(one: HostIdentity, other: HostIdentity): boolean {
  return (
    one.machineId !== '' && one.machineId === other.machineId && one.hostname === other.hostname
  );
}

function isAlive(owner: LockOwner): boolean {
  return processStartTicks(owner.pid) === owner.startTicks;
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
