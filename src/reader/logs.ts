import { closeSync, constants, lstatSync, openSync, readSync } from 'node:fs';
import { errnoOf, MirrorlatchError } from '../errors.ts';
import type { HistoryEntry } from '../mirror/history/history.ts';
import { HistoryFile } from '../mirror/history/history-file.ts';
import { KEPT_LOGS, type LogFile, logFiles } from '../mirror/history/logs.ts';
import type { Layout } from '../mirror/layout.ts';
import { glanceAtLock } from '../mirror/locks/lock-state.ts';
import { openMirror } from '../mirror/open.ts';
import type { LockOwner } from '../mirror/settings/records.ts';
import { snapshotNamed } from '../mirror/snapshot-path.ts';
import { snapshotIds } from '../mirror/survey.ts';
import { userName } from '../system/proc.ts';
import { quoteForSh } from '../system/quote.ts';
import { watchDirectory } from '../system/watcher.ts';

/** What rsync said in one sync. */
export interface LogInfo {
  id: string;
  path: string;
  bytes: number;
  /** When it was written to last; ISO 8601, UTC. */
  writtenAt: string;
  /** `running`: that sync is at work. Null if history does not say what came of it. */
  outcome: 'published' | 'failed' | 'pruned' | 'running' | null;
}

/**
 * The logs of a mirror, the one written last at the end.
 *
 * @throws MirrorlatchError NO_MIRROR
 */
export function logs(root: string): LogInfo[] {
  return logsOf(openMirror(root).layout);
}

/**
 * The log of a sync.
 *
 * @param name the id or the path of its snapshot; `last`, the one written last; or `failed`, that of the
 *   last sync that failed.
 * @throws MirrorlatchError NO_MIRROR; USAGE when there is no such log, saying why.
 */
export function findLog(root: string, name: string): LogInfo {
  const { layout } = openMirror(root);
  const found = logsOf(layout);
  switch (name) {
    case 'last':
      return found.at(-1) ?? refuse(layout, 'no sync has left a log', hintToSync(layout));
    case 'failed':
      return logOfFailure(layout, found);
    default: {
      const id = snapshotNamed(layout, name);
      return found.find((log) => log.id === id) ?? refuseMissing(layout, id);
    }
  }
}

/**
 * Yields what a log has.
 *
 * @throws MirrorlatchError PERMISSION: only the owner of the mirror may read it.
 */
export async function* readLog({ path }: Pick<LogInfo, 'path'>): AsyncGenerator<Buffer, void> {
  const descriptor = openLog(path);
  try {
    yield* readOn(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

export interface FollowOptions {
  root: string;
  /** Ends it. */
  signal?: AbortSignal | undefined;
  /** Called once if the kernel provides no events. */
  onWarning?: ((message: string) => void) | undefined;
}

/**
 * Yields what the running sync has logged, and what it logs from now on, until it ends.
 *
 * @throws MirrorlatchError UNAVAILABLE when no sync is running; as `readLog`.
 */
export async function* followLog(options: FollowOptions): AsyncGenerator<Buffer, void> {
  const { root, signal, onWarning } = options;
  const { layout } = openMirror(root);
  const sync = runningSync(layout);
  if (sync === undefined) {
    throw new MirrorlatchError('UNAVAILABLE', `no sync of ${layout.root} is running`, {
      hint: `See the log of the last one with: mirrorlatch logs ${quoteForSh(layout.root)} last`,
    });
  }
  const watcher = watchDirectory(layout.logs, { onWarning });
  signal?.addEventListener('abort', watcher.wake);
  let descriptor: number | undefined;
  try {
    while (!signal?.aborted) {
      // Before the log: what was written until then is read below.
      const isRunning = JSON.stringify(runningSync(layout)) === JSON.stringify(sync);
      // It begins its log a little later than its work.
      const log = descriptor === undefined ? logOfRunning(logFiles(layout), sync) : undefined;
      if (log !== undefined) descriptor = openLog(log.path);
      if (descriptor !== undefined) yield* readOn(descriptor);
      if (!isRunning) return;
      await watcher.change();
    }
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
    signal?.removeEventListener('abort', watcher.wake);
    await watcher.close();
  }
}

function logsOf(layout: Layout): LogInfo[] {
  const found = logFiles(layout);
  const events = lastEvents(layout, new Set(found.map(({ id }) => id)));
  const sync = runningSync(layout);
  const running = sync && logOfRunning(found, sync);
  return found.map(({ id, path, bytes, writtenNs }) => ({
    id,
    path,
    bytes,
    writtenAt: new Date(Number(writtenNs / 1_000_000n)).toISOString(),
    outcome: path === running?.path ? 'running' : outcomeBy(events.get(id)),
  }));
}

/** Only what fails or is pruned has not been published, or is no more. */
function outcomeBy(event: HistoryEntry['event'] | undefined): LogInfo['outcome'] {
  if (event === undefined || event === 'failed' || event === 'pruned') return event ?? null;
  return 'published';
}

/** What happened last to each of these ids, as far as history says; no more of it is read than that takes. */
function lastEvents(
  layout: Layout,
  ids: ReadonlySet<string>,
): ReadonlyMap<string, HistoryEntry['event']> {
  const events = new Map<string, HistoryEntry['event']>();
  fromTheEnd(layout, (entry) => {
    const id = logIdOf(entry);
    if (id !== undefined && ids.has(id) && !events.has(id)) events.set(id, entry.event);
    return events.size === ids.size;
  });
  return events;
}

/** The id of the log that an entry is about, if there is one. */
function logIdOf(entry: HistoryEntry): string | undefined {
  if (entry.event === 'published' && entry.log !== undefined) return entry.log;
  return 'id' in entry ? entry.id : undefined;
}

/** The first entry that is wanted, from the last one on back. */
function fromTheEnd(
  layout: Layout,
  isWanted: (entry: HistoryEntry) => boolean,
): HistoryEntry | undefined {
  const file = new HistoryFile(layout);
  try {
    for (const { entry } of file.backwards()) if (isWanted(entry)) return entry;
    return undefined;
  } finally {
    file.close();
  }
}

/** The sync that holds the lock. */
function runningSync(layout: Layout): LockOwner | undefined {
  const lock = glanceAtLock(layout);
  if (lock.kind !== 'held' && lock.kind !== 'foreign') return undefined;
  return lock.owner?.command === 'sync' ? lock.owner : undefined;
}

/** The log written last, unless an earlier sync wrote it. */
function logOfRunning(found: readonly LogFile[], { since }: LockOwner): LogFile | undefined {
  const last = found.at(-1);
  return last !== undefined && Number(last.writtenNs / 1_000_000n) >= Date.parse(since)
    ? last
    : undefined;
}

function logOfFailure(layout: Layout, found: readonly LogInfo[]): LogInfo {
  const failure = fromTheEnd(layout, ({ event }) => event === 'failed');
  if (failure?.event !== 'failed') return refuse(layout, 'no sync has failed, by its history');
  return (
    found.find(({ id }) => id === failure.id) ??
    refuse(
      layout,
      `the last sync that failed, ${failure.id}, has no log`,
      `rsync may not have run; ${WHICH_ARE_KEPT}. It failed because: ${failure.message}`,
    )
  );
}

const WHICH_ARE_KEPT = `logs are kept for snapshots that are there, and of other syncs for the last ${KEPT_LOGS}`;

function hintToSync({ root }: Layout): string {
  return `One comes with: mirrorlatch sync ${quoteForSh(root)}`;
}

function refuseMissing(layout: Layout, id: string): never {
  const isKnown = lastEvents(layout, new Set([id])).has(id) || snapshotIds(layout).includes(id);
  if (!isKnown) return refuse(layout, `there is no sync ${JSON.stringify(id)}`);
  return refuse(
    layout,
    `the sync ${id} has no log`,
    `It made none, such as one of an adoption or of lock, or it was removed: ${WHICH_ARE_KEPT}.`,
  );
}

/** @param hint by default how to see what there is. */
function refuse({ root }: Layout, what: string, hint?: string): never {
  throw new MirrorlatchError('USAGE', `${what} in ${root}`, {
    hint: hint ?? `See what there is with: mirrorlatch logs ${quoteForSh(root)}`,
  });
}

function openLog(path: string): number {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  try {
    return openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    if (errnoOf(error) !== 'EACCES') throw error;
    const { uid } = lstatSync(path);
    const owner = { uid, name: userName(uid) };
    throw new MirrorlatchError('PERMISSION', `${path} may be read by ${owner.name} alone`, {
      hint: 'It names files in directories that others may not enter. Run it as that user.',
      cause: error,
      details: { owner },
    });
  }
}

/** What there is between the last read and the end. */
function* readOn(descriptor: number): Generator<Buffer, void> {
  for (;;) {
    const chunk = Buffer.alloc(64 * 1024);
    const length = readSync(descriptor, chunk);
    if (length === 0) return;
    yield chunk.subarray(0, length);
  }
}
