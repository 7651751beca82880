import { readdirSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { MirrorlatchError } from '../../errors.ts';
import type { MadeBy } from '../../mirror/clone.ts';
import { discard } from '../../mirror/discard.ts';
import { LIVE } from '../../mirror/layout.ts';
import { openLog, type SyncLog } from '../../mirror/logs.ts';
import { checkRsync, complaintOfSuperblock } from '../../mirror/preflight.ts';
import { settingsFrom } from '../../mirror/settings.ts';
import type { Finding } from '../../mirror/survey.ts';
import { Retries } from '../../rsync/retries.ts';
import { sourceName } from '../../rsync/source.ts';
import { lstatIfThere } from '../../system/files.ts';
import { pause } from '../../system/pause.ts';
import { createMirror } from '../../writer/create.ts';
import type { OnEvent } from '../../writer/events.ts';
import type { PruneResult } from '../../writer/pruning.ts';
import { confirmCurrent, figuresOf, makingSnapshot, publishNew } from '../../writer/publishing.ts';
import { withWriter } from '../../writer/session.ts';
import type { Writer } from '../../writer/writer.ts';
import { buildTree } from './build-tree.ts';
import {
  type BuiltTree,
  type SyncContext,
  UNCLEAN_POLICIES,
  type UncleanPolicy,
} from './context.ts';
import { syncInPlace } from './in-place.ts';
import {
  checkSync,
  planWork,
  rememberSource,
  type SyncOptions,
  type SyncSummary,
  shrinkGuardOf,
} from './work.ts';

type Synced = (
  | { outcome: 'published'; id: string; previous: string | null; path: string; clone: MadeBy }
  /** The source is what `current` is; `id` is what `current` names. */
  | { outcome: 'unchanged'; id: string }
) &
  SyncSummary;

export type SyncResult = Synced & {
  /** What an earlier crash had left. */
  recovered: Finding[];
  /** Undefined when nothing was to be pruned, or pruning failed. */
  pruned: PruneResult | undefined;
};

/**
 * Brings a mirror up to its source: makes a whole new snapshot in staging and publishes it in
 * one step, or finds that nothing has changed.
 *
 * @throws MirrorlatchError; nothing is published then, and what was transferred is kept.
 */
export async function sync(options: SyncOptions): Promise<SyncResult> {
  const { id, at, prune = true, pushed, signal, onEvent = () => {} } = options;
  await checkRsync();
  const { mirror, isNew } = checkSync(options);
  if (isNew) createMirror(options.root, settingsFrom(options));
  const { layout } = mirror;
  await waitUntil(at, signal, onEvent);
  const { lock, retention, retry, drain, shrink } = options;
  const session = {
    ...{ lock, retention, retry, drain, shrink, prune, signal, onEvent },
    command: pushed === undefined ? 'sync' : `push from ${pushed.name}`,
    failure: `the sync of ${layout.root} failed`,
  };
  const { result, recovered, pruned } = await withWriter(layout, session, (writer) => {
    rememberSource(options, writer);
    return makingSnapshot(writer, { id, at }, (newId) => bringUp(options, writer, newId));
  });
  return { ...result, recovered, pruned };
}

/** Makes the new tree and publishes it, if there is anything new. */
async function bringUp(options: SyncOptions, writer: Writer, id: string): Promise<Synced> {
  const { layout, before, settings } = writer;
  await heedSuperblock(writer, options.unclean);
  const log = openLog(layout, id);
  try {
    const context = contextOf(options, writer, log);
    const isInPlace = settings.mode === 'in-place';
    const built = isInPlace ? await syncInPlace(context) : await buildTree(context, id);
    const isUnchanged = !built.isChanged && before !== undefined;
    if (isUnchanged) log.remove();
    if (isUnchanged || isInPlace) clearStaging(writer);
    else await publishTree(context, id, built);
    const summary: SyncSummary = {
      source: sourceName(context.transfer.source),
      strategy: context.strategy,
      plan: built.plan,
      seconds: writer.seconds,
    };
    if (isUnchanged) {
      await confirmCurrent(writer, before);
      return { outcome: 'unchanged', id: before, ...summary };
    }
    const published = isInPlace ? LIVE : id;
    const { clone } = built;
    const path = layout.snapshot(published);
    const previous = before ?? null;
    return { outcome: 'published', id: published, previous, path, clone, ...summary };
  } catch (error) {
    throw withLog(error, log.path);
  } finally {
    log.close();
  }
}

function contextOf(options: SyncOptions, writer: Writer, log: SyncLog): SyncContext {
  const { layout, policy, inherit, signal, before } = writer;
  const work = planWork(options, writer, (message) => writer.notice(message));
  const onRetry = (message: string): void => writer.onEvent({ kind: 'warning', message });
  return {
    ...work,
    writer,
    base: before === undefined ? undefined : layout.snapshot(before),
    inherit,
    signal,
    retries: new Retries({ ...policy.retry, signal, onRetry }),
    refuseShrinking: shrinkGuardOf(work, layout, before, policy.shrink),
    log: log.write,
  };
}

async function publishTree(context: SyncContext, id: string, built: BuiltTree): Promise<void> {
  const { writer, transfer, strategy, confirm } = context;
  await confirm?.();
  const how = { source: sourceName(transfer.source), strategy, clone: built.clone };
  await publishNew(writer, id, figuresOf(writer, built.plan, how), () => clearStaging(writer));
}

async function waitUntil(
  at: Date | undefined,
  signal: AbortSignal | undefined,
  onEvent: OnEvent,
): Promise<void> {
  if (at === undefined || at.getTime() <= Date.now()) return;
  onEvent({ kind: 'phase', phase: 'waiting' });
  onEvent({ kind: 'notice', message: `waiting until ${at.toISOString()}` });
  // The clock may be set meanwhile, and a timer holds at most 24 days: look every minute.
  for (let left = 1; left > 0; left = at.getTime() - Date.now()) {
    await pause(Math.min(left, 60_000), signal);
  }
}

async function heedSuperblock(
  { layout, onEvent }: Writer,
  unclean: UncleanPolicy = UNCLEAN_POLICIES[0],
): Promise<void> {
  const complaint = unclean === 'ignore' ? undefined : await complaintOfSuperblock(layout.root);
  if (complaint === undefined) return;
  if (unclean === 'warn') {
    onEvent({ kind: 'warning', message: `${complaint}: check it with e2fsck` });
    return;
  }
  throw new MirrorlatchError('IO', complaint, {
    hint: 'Unmount it and check it with e2fsck, or sync all the same with --unclean warn.',
  });
}

/** What lies there is in the new snapshot now, or no longer wanted. */
function clearStaging({ layout, lock }: Writer): void {
  lock.assertHeld();
  for (const name of readdirSync(layout.staging)) {
    const path = join(layout.staging, name);
    if (!lstatIfThere(path)?.isDirectory()) rmSync(path, { force: true });
    else if (readdirSync(path).length === 0) rmdirSync(path);
    else discard(layout, path);
  }
}

/** Names the log, if it was rsync that failed. */
function withLog(error: unknown, log: string): unknown {
  if (!(error instanceof MirrorlatchError) || error.details.rsync === undefined) return error;
  const { code, message, hint, cause, details } = error;
  return new MirrorlatchError(code, message, {
    hint: `${hint === undefined ? '' : `${hint} `}All that rsync said is in ${log}`,
    cause,
    details: { ...details, log },
  });
}
