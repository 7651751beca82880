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

export {
  type DetailsOf,
  type ErrorCode,
  type ErrorOptions,
  hasCode,
  MirrorlatchError,
} from './errors.ts';
export type { CloneMethod, MadeBy } from './mirror/clone.ts';
export type { HistoryEntry, SyncFigures } from './mirror/history/history.ts';
export type { Layout } from './mirror/layout.ts';
export type { LockState, NamedProcess } from './mirror/locks/lock-state.ts';
export type { Reader } from './mirror/locks/readers.ts';
export type { Mirror } from './mirror/open.ts';
export type { PlanFigures } from './mirror/plan/plan.ts';
export type {
  ChannelRule,
  CheckChoice,
  CheckPolicy,
  DrainPolicy,
  Given,
  HookPhase,
  HookPolicy,
  LockPolicy,
  ProbePolicy,
  RetentionPolicy,
  RetryPolicy,
  ShrinkPolicy,
} from './mirror/settings/policy.ts';
export type {
  GateRecord,
  LockOwner,
  LockProgress,
  Mark,
  Settings,
  SnapshotPin,
} from './mirror/settings/records.ts';
export type { SettingsOptions } from './mirror/settings/settings.ts';
export type { Finding } from './mirror/survey.ts';
export {
  type AdoptOptions,
  adopt,
  type Unadopted,
  type UnadoptOptions,
  unadopt,
} from './operations/adopt.ts';
export { type CheckOptions, type CheckResult, check } from './operations/check.ts';
export type { Examination } from './operations/doctor/check.ts';
export { type DoctorReport, doctor } from './operations/doctor/doctor.ts';
export {
  closeGate,
  type GateOptions,
  type GateStatus,
  gateStatus,
  openGate,
} from './operations/gate.ts';
export { type InitOptions, type InitResult, init } from './operations/init.ts';
export { list, type SnapshotInfo } from './operations/list.ts';
export { type LockResult, lock } from './operations/lock/lock.ts';
export type { LockOptions } from './operations/lock/work.ts';
export {
  type Marked,
  type MarkOptions,
  type PinSnapshotOptions,
  pinSnapshot,
  type TagOptions,
  tagSnapshot,
  unpinSnapshot,
} from './operations/mark.ts';
export { type ChannelResult, type PromoteOptions, promote } from './operations/promote.ts';
export {
  type PlannedSnapshot,
  type PruneOptions,
  type PrunePlan,
  planPrune,
  prune,
} from './operations/prune.ts';
export { type RollbackOptions, type RollbackResult, rollback } from './operations/rollback.ts';
export {
  type ChannelInfo,
  type MirrorStatus,
  type StatusOfOne,
  type StatusOptions,
  status,
  statusOfSeveral,
} from './operations/status.ts';
export type { CloneChoice, Strategy, UncleanPolicy } from './operations/sync/context.ts';
export { type PlannedSync, planSync } from './operations/sync/plan-sync.ts';
export { type SyncResult, sync } from './operations/sync/sync.ts';
export type { PushedTree, SyncOptions, SyncSummary } from './operations/sync/work.ts';
export { type UnlockOptions, type UnlockResult, unlock } from './operations/unlock.ts';
export type {
  Damage,
  VerifiedTree,
  VerifyOptions,
  VerifyResult,
} from './operations/verify/verified.ts';
export { verify } from './operations/verify/verify.ts';
export { type PushOptions, planPush, push } from './push/push.ts';
export { type CurrentSnapshot, current } from './reader/current.ts';
export {
  type DiffOptions,
  type DiffTotals,
  diff,
  type SnapshotDiff,
  type SnapshotDifference,
} from './reader/diff.ts';
export {
  type DuOptions,
  du,
  type MirrorParts,
  type MirrorUse,
  type SnapshotUse,
} from './reader/du.ts';
export type { PinKind } from './reader/guard.ts';
export { type HistoryOptions, history } from './reader/history.ts';
export { type FollowOptions, findLog, followLog, type LogInfo, logs } from './reader/logs.ts';
export { type Pin, type PinOptions, pin } from './reader/pin.ts';
export type { CommandEvent, CommandOptions } from './reader/snapshot-command.ts';
export { type WaitOptions, type WaitResult, wait } from './reader/wait.ts';
export { type WatchEvent, type WatchOptions, watch } from './reader/watch.ts';
export type { DefaultName } from './rsync/arguments.ts';
export type { Entry } from './rsync/itemize.ts';
export type { SourceTotals } from './rsync/progress.ts';
export type { JobEnd } from './system/job.ts';
export type { ProcessUse } from './system/paths-in-use.ts';
export type { OnEvent, OperationEvent, Phase } from './writer/events.ts';
export type { PolicyOptions } from './writer/policy.ts';
export type { PruneResult } from './writer/pruning.ts';
