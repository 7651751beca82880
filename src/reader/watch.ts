import { asMirrorlatchError, MirrorlatchError } from '../errors.ts';
import { channelAt } from '../mirror/channels/channels.ts';
import { previousId } from '../mirror/current.ts';
import type { HistoryEntry } from '../mirror/history/history.ts';
import { followHistory } from '../mirror/history/history-follower.ts';
import { isMoveOf, namedBy } from '../mirror/history/link-moves.ts';
import type { Layout } from '../mirror/layout.ts';
import { isInPlace, readGate } from '../mirror/locks/gate.ts';
import { stateOfRecord } from '../mirror/locks/lock-state.ts';
import { openMirror } from '../mirror/open.ts';
import { checkDuration, checkGroups, SHORTEST_POLL_MS } from '../mirror/settings/policy-rules.ts';
import type { GateRecord, LockOwner } from '../mirror/settings/records.ts';
import { checkProgram } from '../system/foreground.ts';
import { watchDirectory } from '../system/watcher.ts';
import { refusingGone } from './gone.ts';
import { type CommandEvent, type CommandOptions, SnapshotCommand } from './snapshot-command.ts';

export interface WatchOptions {
  root: string;
  /** Follow this channel in place of `current`: the command runs for what it comes to name. */
  channel?: string | undefined;
  /** Look this often, without relying on events of the filesystem; ms. */
  pollMs?: number | undefined;
  /** A command to run for each new snapshot. */
  command?: CommandOptions | undefined;
  /** Ends the watch. A running command gets the signal that the reason names, or SIGTERM. */
  signal?: AbortSignal | undefined;
  /** Called with each warning. */
  onWarning?: ((message: string) => void) | undefined;
}

/** What happens to a mirror; times are ISO 8601, UTC. */
export type WatchEvent =
  /** The first event: what is current when the watch begins, or what the channel names; null if there is none. */
  | {
      event: 'watching';
      at: string;
      channel?: string;
      id: string | null;
      previous: string | null;
    }
  | HistoryEntry
  /**
   * The writer's lock. `lock-left`: its holder ended without releasing it. A lock that is taken
   * and released between two looks goes unseen.
   */
  | { event: 'lock-taken' | 'lock-released' | 'lock-left'; at: string; owner: LockOwner }
  /** The gate of an in-place mirror has another state than at the last look. */
  | { event: 'gate'; at: string; state: GateRecord['state']; reason: string }
  | CommandEvent;

/**
 * Yields what happens to a mirror from the call on, in order, each event once: publications,
 * rollbacks, removals, syncs that found nothing to do or failed, the holders of the lock, and the
 * runs of the command. Ends when `signal` aborts.
 *
 * What happened is read from the mirror's history, never guessed from events of the filesystem:
 * those only make the next look come sooner.
 *
 * @throws MirrorlatchError NO_MIRROR, at the call, once the mirror has been gone for 10 s, or when its
 *   name leads to another; COMMAND_NOT_FOUND or COMMAND_NOT_EXECUTABLE, there or when a run of the
 *   command ends with 127 or 126.
 */
export function watch(options: WatchOptions): AsyncGenerator<WatchEvent, void> {
  const { pin, chdir, retry, words = [] } = options.command ?? {};
  checkGroups({ retry });
  checkDuration('pollMs', options.pollMs, SHORTEST_POLL_MS);
  if (pin === 'cwd' && chdir === 'no' && !words.some((word) => word.includes('{snapshot}'))) {
    throw new MirrorlatchError('USAGE', 'with --pin cwd and --chdir no nothing would be pinned', {
      hint: 'Leave one of them out, or write {snapshot} for the path of the snapshot.',
    });
  }
  const { layout } = openMirror(options.root);
  const [program] = words;
  // A path may lead into a snapshot that is still to come.
  if (program !== undefined && !/[/{]/.test(program)) checkProgram(Buffer.from(program));
  return tell(layout, followHistory(layout), options);
}

async function* tell(
  layout: Layout,
  { current, history }: ReturnType<typeof followHistory>,
  { root, channel, pollMs, command: commandOptions, signal, onWarning }: WatchOptions,
): AsyncGenerator<WatchEvent, void> {
  const watcher = watchDirectory(layout.state, {
    pollMs,
    onWarning,
  });
  const command =
    commandOptions &&
    new SnapshotCommand(layout.root, { channel, ...commandOptions }, () => watcher.wake());
  signal?.addEventListener('abort', watcher.wake);
  try {
    const lock = new LockObserver(layout);
    const gate = new GateObserver(layout);
    const refuseGone = refusingGone(layout, root);
    const first = channel === undefined ? current : channelAt(layout, channel)?.id;
    const at = new Date().toISOString();
    const before = channel === undefined ? (previousId(layout) ?? null) : null;
    const from = channel === undefined ? {} : { channel };
    yield { event: 'watching', at, ...from, id: first ?? null, previous: before };
    if (commandOptions?.initial && first !== undefined) command?.want(first);
    while (!signal?.aborted) {
      refuseGone();
      // The lock first: by then, history has what its holder did before releasing it.
      const { before, after } = lock.look();
      yield* before;
      for (const entry of history.next()) {
        yield entry;
        if (isMoveOf(channel ?? 'current', entry)) command?.want(namedBy(entry) ?? undefined);
      }
      yield* after;
      yield* gate.look();
      if (command !== undefined) yield* command.step();
      await watcher.change();
    }
    if (command !== undefined) yield* await command.stop(signalOf(signal.reason));
  } catch (error) {
    throw asMirrorlatchError(error, `the watch of ${layout.root} failed`);
  } finally {
    signal?.removeEventListener('abort', watcher.wake);
    // A command runs here only if the caller has left the loop early.
    await command?.stop('SIGTERM');
    await watcher.close();
  }
}

function signalOf(reason: unknown): NodeJS.Signals {
  const code = reason instanceof MirrorlatchError ? reason.code : undefined;
  return code === 'SIGINT' || code === 'SIGHUP' ? code : 'SIGTERM';
}

/** Compares the gate of an in-place mirror from one look to the next. */
class GateObserver {
  readonly #layout: Layout;
  #since: string | undefined;

  constructor(layout: Layout) {
    this.#layout = layout;
    this.look();
  }

  look(): WatchEvent[] {
    if (!isInPlace(this.#layout)) return [];
    const { state, reason, since } = readGate(this.#layout);
    if (since === this.#since) return [];
    this.#since = since;
    return [{ event: 'gate', at: since, state, reason }];
  }
}

type LockEvent = Extract<WatchEvent, { owner: LockOwner }>;

/** Compares the holder of the lock from one look to the next. */
class LockObserver {
  readonly #layout: Layout;
  #owner: LockOwner | undefined;

  constructor(layout: Layout) {
    this.#layout = layout;
    this.look();
  }

  /** The events to yield before and after what history has since the last look. */
  look(): { before: LockEvent[]; after: LockEvent[] } {
    const state = stateOfRecord(this.#layout, true);
    const isHeld = state.kind === 'held' || state.kind === 'foreign';
    // The record vanished while it was read, or a power cut tore it: there is no name.
    if (isHeld && state.owner === undefined) return { before: [], after: [] };
    const owner = isHeld ? state.owner : undefined;
    const last = this.#owner;
    this.#owner = owner;
    if (JSON.stringify(owner) === JSON.stringify(last)) return { before: [], after: [] };
    const at = new Date().toISOString();
    const taken: LockEvent[] = owner === undefined ? [] : [{ event: 'lock-taken', at, owner }];
    if (last === undefined) return { before: taken, after: [] };
    const end = state.kind === 'dead' ? 'lock-left' : 'lock-released';
    return { before: [], after: [{ event: end, at, owner: last }, ...taken] };
  }
}
