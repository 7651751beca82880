import { asMirrorlatchError, MirrorlatchError } from '../errors.ts';
import { currentId } from '../mirror/current.ts';
import { isInPlace, readGate, whyClosed } from '../mirror/gate.ts';
import { followHistory } from '../mirror/history-follower.ts';
import { type Layout, LIVE } from '../mirror/layout.ts';
import { describeLock, inspectLock, stateOfRecord } from '../mirror/lock-state.ts';
import { openMirror } from '../mirror/open.ts';
import { watchDirectory } from '../system/watcher.ts';

export interface WaitOptions {
  root: string;
  /** Wait for the next publication, not for the mirror to be readable. */
  forPublish?: boolean | undefined;
  /** How long at most; ms. */
  timeoutMs?: number | undefined;
  /** Look this often, without relying on events of the filesystem; ms. */
  pollMs?: number | undefined;
  signal?: AbortSignal | undefined;
  onWarning?: ((message: string) => void) | undefined;
}

export interface WaitResult {
  root: string;
  /** What is current, or with `forPublish` what was published. */
  id: string;
  path: string;
  waitedMs: number;
}

/** The awaited snapshot, or why there is none yet: a predicate of the mirror, for people. */
type Look = { id: string } | { why: string };

/**
 * Waits until a mirror can be read and nothing is being published, or until the first publication
 * after the call.
 *
 * @throws MirrorlatchError BUSY, naming what it waited for, when `timeoutMs` runs out.
 */
export async function wait(options: WaitOptions): Promise<WaitResult> {
  const { root, timeoutMs = Number.POSITIVE_INFINITY, pollMs, signal, onWarning } = options;
  const { layout } = openMirror(root);
  const startedAt = performance.now();
  const look = options.forPublish ? nextPublication(layout) : () => readableSnapshot(layout);
  const watcher = watchDirectory(layout.state, {
    pollMs,
    onWarning,
  });
  signal?.addEventListener('abort', watcher.wake);
  try {
    for (;;) {
      signal?.throwIfAborted();
      const found = look();
      const waitedMs = performance.now() - startedAt;
      if ('id' in found) {
        const path = layout.snapshot(found.id);
        return { root: layout.root, id: found.id, path, waitedMs: Math.round(waitedMs) };
      }
      if (waitedMs >= timeoutMs) throw stillBusy(layout, found.why);
      await watcher.change(timeoutMs - waitedMs);
    }
  } catch (error) {
    throw asMirrorlatchError(error, `the wait for ${layout.root} failed`);
  } finally {
    signal?.removeEventListener('abort', watcher.wake);
    await watcher.close();
  }
}

function readableSnapshot(layout: Layout): Look {
  const why = obstacleToReaders(layout);
  if (why !== undefined) return { why };
  const id = currentId(layout);
  return id === undefined ? { why: 'has no snapshot yet' } : { id };
}

/**
 * What keeps guarded readers out: the gate of an in-place mirror. Where every snapshot has a directory
 * of its own, only the moment of a flip is worth waiting out.
 */
function obstacleToReaders(layout: Layout): string | undefined {
  const lock = stateOfRecord(layout, true);
  const closed = isInPlace(layout) ? whyClosed(readGate(layout)) : undefined;
  if (closed !== undefined) return closed;
  const isPublishing =
    (lock.kind === 'held' || lock.kind === 'foreign') && lock.progress?.phase === 'publishing';
  return isPublishing ? 'is being published to' : undefined;
}

function nextPublication(layout: Layout): () => Look {
  const { current, history } = followHistory(layout);
  return () => {
    // A crash can delay the line of a publication: it may be that of what is current already.
    const published = history
      .next()
      .find((entry) => entry.event === 'published' && (entry.id !== current || entry.id === LIVE));
    return published?.event === 'published'
      ? { id: published.id }
      : { why: 'has published nothing new' };
  };
}

function stillBusy(layout: Layout, why: string): MirrorlatchError {
  const lock = inspectLock(layout);
  return new MirrorlatchError('BUSY', `${layout.root} ${why}: ${describeLock(lock)}`, {
    hint: 'Wait longer with --timeout, or look with: mirrorlatch status ROOT',
    details: { lock },
  });
}
