import { asMirrorlatchError } from '../errors.ts';
import { divertedPath, hintToLink, refuseHalfAdopted } from '../mirror/adoption.ts';
import { channelsOf } from '../mirror/channels/channels.ts';
import { describeForeign, isForeign } from '../mirror/current-file.ts';
import { appendHistory, prepareHistory } from '../mirror/history/history.ts';
import type { HookFailure } from '../mirror/history/history-index.ts';
import type { Layout } from '../mirror/layout.ts';
import { acquireSyncLock } from '../mirror/locks/acquire-lock.ts';
import { isInPlace, repairGate } from '../mirror/locks/gate.ts';
import { isAbandoned } from '../mirror/locks/obstacle.ts';
import { refuseOtherOwner } from '../mirror/locks/ownership.ts';
import { refuseInsideGuard } from '../mirror/locks/pins.ts';
import type { SyncLock } from '../mirror/locks/sync-lock.ts';
import { refuseSplitMirror, refuseUnfit } from '../mirror/plan/preflight.ts';
import { recover } from '../mirror/recovery.ts';
import { fillReserve, spendReserve } from '../mirror/reserve.ts';
import { readMarks } from '../mirror/retention/marks.ts';
import { assertConfigured } from '../mirror/settings/configured.ts';
import {
  DEFAULT_LOCK,
  type Given,
  type HookPolicy,
  type LockPolicy,
  withDefaults,
} from '../mirror/settings/policy.ts';
import { checkGroups } from '../mirror/settings/policy-rules.ts';
import { mirrorIsGone, readSettings } from '../mirror/settings/settings.ts';
import { sealStaging } from '../mirror/staging.ts';
import type { Finding } from '../mirror/survey.ts';
import { emptyTrash } from '../mirror/trash.ts';
import { placeReader } from '../reader/script.ts';
import { ifAllowed } from '../system/files.ts';
import { followRules } from './channels.ts';
import type { OnEvent } from './events.ts';
import { recordFailedStart } from './failures.ts';
import { Hooks } from './hooks.ts';
import type { WantedName } from './making.ts';
import { type PolicyOptions, policyOf } from './policy.ts';
import { type PruneResult, pruneQuietly } from './pruning.ts';
import { tidyRecycling } from './recycling.ts';
import { withWayToRoom } from './room.ts';
import { tidySums } from './sums.ts';
import { trimLongHistory } from './trimming.ts';
import { Writer } from './writer.ts';

export interface LockSessionOptions {
  /** What the holder does, for others to see: `sync`, `prune`, … */
  command: string;
  /** What to call an unforeseen failure: `the sync of ROOT failed`. */
  failure: string;
  lock?: Given<LockPolicy> | undefined;
  /** In place of what the configuration says. */
  hooks?: Given<HookPolicy> | undefined;
  /** Ends the wait for the lock. */
  signal?: AbortSignal | undefined;
  onEvent?: OnEvent | undefined;
}

export interface WriterOptions extends LockSessionOptions, PolicyOptions {
  /** Remove old snapshots at the end. */
  prune?: boolean | undefined;
  /** For the snapshot that the verb makes, or finds to need no successor. */
  tags?: readonly string[] | undefined;
  /** Move channels by their rules, before that. */
  followsRules?: boolean | undefined;
  /**
   * The verb finishes or undoes an adoption. All others refuse one that a crash interrupted, and warn of
   * one whose path does not lead to what is current.
   */
  settlesAdoption?: boolean | undefined;
  /** The snapshot that the verb makes: history records it as failed if the work cannot even begin. */
  makes?: WantedName | undefined;
}

/** What a writer's work came to. */
export interface Finished<Result> {
  result: Result;
  /** What an earlier crash had left. */
  recovered: Finding[];
  /** Undefined when nothing was to be pruned, or pruning failed. */
  pruned: PruneResult | undefined;
}

/**
 * Runs `work` with the writer's lock of a mirror, and nothing else around it but that a gate which a
 * dead writer left closed is repaired first, and that hooks which `work` has found a reason for run afterwards.
 *
 * @throws MirrorlatchError USAGE for an option of a group, PERMISSION in another user's mirror, CONFIGURATION in one that lies on several
 *   mounts, BUSY when the lock stays held, LOCK_LOST when another host took it over during the work, else
 *   what `work` throws.
 */
export async function withLock<Result>(
  layout: Layout,
  options: LockSessionOptions & PolicyOptions,
  work: (lock: SyncLock, hooks: Hooks) => Result | Promise<Result>,
): Promise<Result> {
  checkGroups(options);
  const hooks = new Hooks(layout, options);
  try {
    return await holdingLock(layout, options, hooks, work);
  } finally {
    await recordFailures(layout, await hooks.runAfter(), options);
  }
}

async function holdingLock<Result>(
  layout: Layout,
  options: LockSessionOptions,
  hooks: Hooks,
  work: (lock: SyncLock, hooks: Hooks) => Result | Promise<Result>,
): Promise<Result> {
  const { command, failure, lock: given, signal, onEvent } = options;
  refuseInsideGuard(layout);
  refuseOtherOwner(layout);
  // Before the lock: on a full disk, that takes the reserve.
  refuseSplitMirror(layout);
  const lock = await acquireSyncLock(layout, {
    command,
    ...withDefaults(DEFAULT_LOCK, given),
    signal,
    onWait: ({ message }) => onEvent?.({ kind: 'notice', message: `waiting: ${message}` }),
  }).catch((error: unknown) => {
    throw withWayToRoom(error, layout);
  });
  try {
    if (isInPlace(layout)) repairGate(layout);
    return await work(lock, hooks);
  } catch (error) {
    throw withWayToRoom(asMirrorlatchError(lock.causeOf(error), failure), layout);
  } finally {
    hooks.hold();
    await lock.release().catch((error: unknown) => {
      throw asMirrorlatchError(error, failure);
    });
    // Now that the lock itself takes no room any more.
    fillReserve(layout);
  }
}

/** How long to wait for another writer before history is told of a hook that failed; ms. */
const RECORD_WAIT_MS = 60_000;

/** What is done is done: a hook that failed after it is a line in the history. */
async function recordFailures(
  layout: Layout,
  failures: readonly HookFailure[],
  { command, signal, onEvent }: LockSessionOptions,
): Promise<void> {
  if (failures.length === 0) return;
  const failure = 'that a hook failed cannot be recorded';
  const lock = { waitMs: RECORD_WAIT_MS };
  const isOver = signal?.aborted === true;
  const session = { command, failure, lock, signal: isOver ? undefined : signal };
  await withLock(layout, session, () => {
    for (const entry of failures) appendHistory(layout, entry);
  }).catch((error: unknown) => {
    const { message } = asMirrorlatchError(error, failure);
    onEvent?.({ kind: 'notice', message: `that is not in the history: ${message}` });
  });
}

/**
 * Repairs the gate of an in-place mirror that a dead writer left closed, for a verb that may fail before
 * it asks for the lock. If the lock cannot be had, the verb itself will say so.
 */
export async function repairAbandonedGate(
  layout: Layout,
  session: LockSessionOptions,
): Promise<void> {
  if (isAbandoned(layout)) await withLock(layout, session, () => {}).catch(() => {});
}

/**
 * Runs `work` as the writer of a mirror. Every writer does the same around its work:
 *
 * ```
 *   lock ─► read the settings ─► seal staging ─► recover ─► place the reader ─► fill the reserve
 *                                                                                      │
 *   hooks ◄─ fill it again ◄─ release ◄─ empty the trash ◄─ prune ◄─ move channels ◄─ work
 * ```
 *
 * What the work publishes, it publishes through `publishing.ts`. A failure skips the pruning alone.
 *
 * @throws MirrorlatchError as `withLock`; CONFIGURATION for a mirror that is half adopted, or when
 *   something is mounted in staging.
 */
export function withWriter<Result>(
  layout: Layout,
  options: WriterOptions,
  work: (writer: Writer) => Result | Promise<Result>,
): Promise<Finished<Result>> {
  return withLock(layout, options, async (lock, hooks) => {
    const parts = { layout, lock, hooks };
    const { writer, recovered } = await begin(parts, options).catch((error: unknown) => {
      const { makes, failure } = options;
      if (makes !== undefined) recordFailedStart(parts, makes, lock.causeOf(error), failure);
      throw error;
    });
    let end: 'well' | 'by an error' = 'by an error';
    try {
      const result = await work(writer);
      if (options.followsRules) await followRules(writer);
      const pruned = writer.mayPrune ? pruneQuietly(writer) : undefined;
      tidyRecycling(writer);
      await tidySums(writer);
      end = 'well';
      return { result, recovered, pruned };
    } finally {
      // After an error, that one is worth reporting; what is left in the trash goes another time.
      await emptyTrash(layout, lock).catch((error: unknown) => {
        if (end === 'well')
          writer.reportProblem(error, 'what is no longer wanted could not be removed');
      });
    }
  });
}

/** What there is before the mirror is looked at. */
type Parts = Pick<Writer, 'layout' | 'lock' | 'hooks'>;

/** On a full disk, all of it may need what the reserve gives. */
async function begin(parts: Parts, options: WriterOptions) {
  try {
    return await prepare(parts, options);
  } catch (error) {
    if (!spendReserve(parts.layout, error)) throw error;
    return await prepare(parts, options);
  }
}

async function prepare({ layout, lock, hooks }: Parts, options: WriterOptions) {
  const { prune: mayPrune = false, tags = [], signal, onEvent = () => {} } = options;
  const { settlesAdoption = false } = options;
  assertConfigured();
  // Not those from before the lock: another process may have changed them during the wait.
  const settings = readSettings(layout);
  if (settings === undefined) throw mirrorIsGone(layout);
  refuseUnfit(layout, settings.mode);
  sealStaging(layout);
  prepareHistory(layout);
  const recovered = await recover(layout, lock);
  if (!settlesAdoption) {
    refuseHalfAdopted(layout);
    warnOfDiverted(layout, settings.adopted, onEvent);
  }
  if (settings.mode === 'snapshots') warnOfForeign(layout, onEvent);
  // Before the work, whose snapshot could not be tagged at its end.
  if (tags.length > 0) readMarks(layout);
  const policy = policyOf(settings, options);
  const { failure } = options;
  const about = { layout, lock, settings, policy, hooks, failure };
  const writer = new Writer({ ...about, mayPrune, tags, signal, onEvent });
  placeReaderIfPossible(writer);
  trimLongHistory(writer);
  // Before the work, which may fill the disk.
  fillReserve(layout);
  return { writer, recovered };
}

function warnOfForeign(layout: Layout, onEvent: OnEvent): void {
  for (const name of ['current', ...channelsOf(layout).map((channel) => channel.name)]) {
    if (isForeign(layout, name))
      onEvent({ kind: 'warning', message: describeForeign(layout, name) });
  }
}

/** The mirror is as it should be, so the work goes on; but readers of the adopted path miss it. */
function warnOfDiverted(layout: Layout, adopted: string | undefined, onEvent: OnEvent): void {
  if (adopted === undefined) return;
  const isWell = ifAllowed(() => divertedPath(layout) === undefined);
  if (isWell === true) return;
  const problem =
    isWell === undefined ? 'this user may not look whether it leads' : 'does not lead';
  const message = `${adopted} was adopted, but ${problem} to what is current in ${layout.root}`;
  onEvent({ kind: 'problem', message: `${message}. ${hintToLink(layout, adopted)}` });
}

/** On a full disk an older reader has to do: what makes room must not fail for want of room. */
function placeReaderIfPossible(writer: Writer): void {
  try {
    placeReader(writer.layout);
  } catch (error) {
    writer.reportProblem(error, 'the reader of this version could not be put in place');
  }
}
