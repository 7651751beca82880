/**
 * The library: the verbs of the command line, for a Node program. All of them throw
 * `MirrorlatchError`; durations are milliseconds, sizes are bytes.
 *
 * @example
 * import { pin, sync } from 'mirrorlatch';
 *
 * await sync({ source: 'rsync://mirror.example.org/debian/', root: '/srv/mirror/debian' });
 * const { path, release } = await pin({ root: '/srv/mirror/debian' });
 */

export { type ErrorCode, MirrorlatchError } from './errors.ts';
export type { CloneMethod } from './mirror/clone.ts';
export type { HistoryEntry } from './mirror/history.ts';
export type { LockState } from './mirror/lock-state.ts';
export type { PlanFigures } from './mirror/plan.ts';
export type { Reader } from './mirror/readers.ts';
export type { LockOwner, Settings } from './mirror/records.ts';
export type { Finding } from './mirror/recovery.ts';
export type { Strategy } from './operations/sync/build-tree.ts';
export { type CurrentSnapshot, current } from './reader/current.ts';
export type { OnEvent, OperationEvent, Phase } from './writer/events.ts';
export { type InitOptions, init } from './operations/init.ts';
export type { Mirror } from './operations/mirror.ts';
export { type Pin, type PinOptions, pin } from './reader/pin.ts';
export { type PlannedSync, planSync } from './operations/sync/plan-sync.ts';
export { type PruneOptions, type PruneResult, prune } from './operations/prune.ts';
export { type PushOptions, planPush, push } from './push/push.ts';
export { type RollbackOptions, type RollbackResult, rollback } from './operations/rollback.ts';
export type { CommandEvent, CommandOptions } from './reader/snapshot-command.ts';
export { list, type MirrorStatus, type SnapshotInfo, status } from './operations/status.ts';
export { type SyncResult, sync } from './operations/sync/sync.ts';
export type { SyncOptions } from './operations/sync/work.ts';
export { type UnlockOptions, type UnlockResult, unlock } from './operations/unlock.ts';
export { type WaitOptions, type WaitResult, wait } from './reader/wait.ts';
export { type WatchEvent, type WatchOptions, watch } from './reader/watch.ts';
