import { asMirrorlatchError, MirrorlatchError } from '../errors.ts';
import { channelId } from '../mirror/channels/channels.ts';
import { currentId } from '../mirror/current.ts';
import { followHistory } from '../mirror/history/history-follower.ts';
import { type Layout, LIVE } from '../mirror/layout.ts';
import {
  describeLock,
  inspectLock,
  refuseInsideLock,
  stateOfRecord,
} from '../mirror/locks/lock-state.ts';
import { obstacleAt } from '../mirror/locks/obstacle.ts';
import { openMirror } from '../mirror/open.ts';
import { checkDuration, SHORTEST_POLL_MS } from '../mirror/settings/policy-rules.ts';
import { snapshotIds } from '../mirror/survey.ts';
import { quoteForSh } from '../system/quote.ts';
import { watchDirectory } from '../system/watcher.ts';
import { refusingGone } from './gone.ts';

export interface WaitOptions {
  root: string;
  /** Wait for this channel in place of `current`. */
  channel?: string | undefined;
  /** Wait for the next publication, or move of the channel, not for the mirror to be readable. */
  forPublish?: boolean | undefined;
  /** How long at most; ms. */
  timeoutMs?: number | undefined;
  /** Look this often, without relying on events of the filesystem; ms. */
  pollMs?: number | undefined;
  signal?: AbortSignal | undefined;
  onWarning?: ((message: string) => void) | undefined;
  /** Called once, after a moment, with what it waits for: a sentence. */
  onWait?: ((message: string) => void) | undefined;
}

export interface WaitResult {
  root: string;
  /** What is current, or with `forPublish` what was published. */
  id: string;
  path: string;
  waitedMs: number;
}

/** A wait that is shorter needs no explanation; ms. */
const MOMENT_MS = 500;

/** The awaited snapshot, or why there is none yet: a predicate of the mirror, for people. */
type Look = { id: string } | { why: string };

/**
 * Waits until a mirror can be read and nothing is being published, or until the first publication
 * after the call.
 *
 * @throws MirrorlatchError BUSY, naming what it waited for, when `timeoutMs` runs out, or at once when that
 *   waits for this process; UNAVAILABLE when the writer behind the gate of an in-place mirror is dead;
 *   NO_MIRROR, at the call, once the mirror has been gone for 10 s, or when `root` leads to another, and when there is
 *   no such channel.
 */
export async function wait(options: WaitOptions): Promise<WaitResult> {
  const { root, timeoutMs = Number.POSITIVE_INFINITY, pollMs, signal, onWarning, onWait } = options;
  checkDuration('timeoutMs', timeoutMs);
  checkDuration('pollMs', pollMs, SHORTEST_POLL_MS);
  const { layout } = openMirror(root);
  const startedAt = performance.now();
  const { channel } = options;
  const look = options.forPublish
    ? nextPublication(layout, channel)
    : () => readableSnapshot(layout, channel);
  const watcher = watchDirectory(layout.state, {
    pollMs,
    onWarning,
  });
  signal?.addEventListener('abort', watcher.wake);
  const refuseGone = refusingGone(layout, root);
  let explain = onWait;
  try {
    for (;;) {
      signal?.throwIfAborted();
      refuseGone();
      const found = look();
      const waitedMs = performance.now() - startedAt;
      if ('id' in found) {
        const path = layout.snapshot(found.id);
        return { root: layout.root, id: found.id, path, waitedMs: Math.round(waitedMs) };
      }
      // What a command of `lock` waits for here comes only after that command.
      refuseInsideLock(layout, found.why, stateOfRecord(layout, true));
      if (waitedMs >= timeoutMs) throw stillBusy(layout, found.why);
      if (waitedMs >= MOMENT_MS) {
        explain?.(`${layout.root} ${found.why}`);
        explain = undefined;
      }
      const momentMs = explain === undefined ? Number.POSITIVE_INFINITY : MOMENT_MS - waitedMs;
      await watcher.change(Math.min(timeoutMs - waitedMs, momentMs));
    }
  } catch (error) {
    throw asMirrorlatchError(error, `the wait for ${layout.root} failed`);
  } finally {
    signal?.removeEventListener('abort', watcher.wake);
    await watcher.close();
  }
}

/**
 * What keeps guarded readers out is the gate of an in-place mirror. Where every snapshot has a
 * directory of its own, only the moment of a flip is worth waiting out.
 *
 * @throws MirrorlatchError UNAVAILABLE when the writer behind the gate is dead: no end can be waited for.
 */
function readableSnapshot(layout: Layout, channel: string | undefined): Look {
  const obstacle = obstacleAt(layout);
  if (obstacle?.isAbandoned) throw abandoned(layout, obstacle.why);
  if (obstacle !== undefined) return { why: obstacle.why };
  const lock = stateOfRecord(layout, true);
  const isHeld = lock.kind === 'held' || lock.kind === 'foreign';
  if (isHeld && lock.progress?.phase === 'publishing') {
    return { why: 'is being published to' };
  }
  const id = channel === undefined ? currentId(layout) : channelId(layout, channel);
  if (id !== undefined) return { id };
  return snapshotIds(layout).length === 0
    ? { why: 'has no snapshot yet' }
    : { why: 'has snapshots, but its symlink current is missing: the next sync makes it' };
}

function nextPublication(layout: Layout, channel: string | undefined): () => Look {
  const { current, history } = followHistory(layout);
  if (channel !== undefined) {
    return () => {
      const move = history
        .next()
        .find((entry) => entry.event === 'promoted' && entry.channel === channel);
      if (move?.event === 'promoted') return { id: move.id };
      return { why: `has moved ${channel} to nothing new` };
    };
  }
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
  // A gate that a person has closed has nothing to do with the lock.
  const holder = obstacleAt(layout)?.isClosedByHand ? '' : `: ${describeLock(lock)}`;
  return new MirrorlatchError('BUSY', `${layout.root} ${why}${holder}`, {
    hint: `Wait longer with --timeout, or look with: mirrorlatch status ${quoteForSh(layout.root)}`,
    details: { lock },
  });
}

function abandoned(layout: Layout, why: string): MirrorlatchError {
  const root = quoteForSh(layout.root);
  return new MirrorlatchError('UNAVAILABLE', `${layout.root} ${why}`, {
    hint: `Its owner repairs the gate with: mirrorlatch unlock ${root} --wait 1m. Until the next sync or lock the tree is half written.`,
  });
}
