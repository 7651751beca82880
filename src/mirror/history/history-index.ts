import type { CheckedRecord, HistoryEntry } from './history-line.ts';

export type Published = Extract<HistoryEntry, { event: 'published' }>;
type Unchanged = Extract<HistoryEntry, { event: 'unchanged' }>;
/** How a sync or a command ended; an adoption counts as one. */
export type Ended = Published | Unchanged | Extract<HistoryEntry, { event: 'failed' }>;
/** A hook that failed, which has not ended the work. */
export type HookFailure = Extract<HistoryEntry, { event: 'hook-failed' }>;
export type Verified = Extract<HistoryEntry, { event: 'verified' }>;
export type Flip = Extract<HistoryEntry, { event: 'published' | 'rolled-back' }>;
/** A channel came to name a snapshot, or was removed. */
export type ChannelMove = Extract<HistoryEntry, { event: 'promoted' | 'channel-removed' }>;

/** The last entries of each kind that history is asked for, so that no question reads all of it again. */
export interface HistoryIndex {
  /** The last publication of each id. */
  readonly publications: ReadonlyMap<string, Published>;
  /** The last flip to each id. */
  readonly flips: ReadonlyMap<string, Flip>;
  /** The last line by which `current` or a channel stopped naming each id. */
  readonly departures: ReadonlyMap<string, Flip | ChannelMove>;
  /** The moves of each channel, oldest first. */
  readonly moves: ReadonlyMap<string, readonly ChannelMove[]>;
  /** The last entry that is about each id, whatever it says. */
  readonly mentions: ReadonlyMap<string, HistoryEntry>;
  /** The last look at each id by `verify` since its publication, unless an earlier one knows more. */
  readonly verifications: ReadonlyMap<string, Verified>;
  /** The last publication of each id, or the last sync since that left it current. */
  readonly looks: ReadonlyMap<string, Published | Unchanged>;
  /** The ids to which a rollback came after that look. */
  readonly unlookedSinceRollback: ReadonlySet<string>;
  /** The ids that a flip names and no removal since. */
  readonly unpruned: ReadonlySet<string>;
  /** The last failure of the hook of each phase, and before each channel, unless what it is about has happened anew. */
  readonly hookFailures: ReadonlyMap<string, HookFailure>;
  readonly lastFlip: Flip | undefined;
  readonly lastSync: Ended | undefined;
  /** The last sync or command that succeeded. An adopted tree may be of any age. */
  readonly lastSuccess: Published | Unchanged | undefined;
  readonly lastAdoption: Published | undefined;
  /** The last publication by an rsync of ours. */
  readonly lastTransfer: Published | undefined;
  /** Whether that came after the adoption. */
  readonly hasTransferredSinceAdoption: boolean;
}

const indexes = new WeakMap<readonly HistoryEntry[], HistoryIndex>();

/** The index of a history, which is made in one pass, when it is asked for first. */
export function indexOf(history: readonly HistoryEntry[]): HistoryIndex {
  const known = indexes.get(history);
  if (known !== undefined) return known;
  const index = makeIndex(history);
  indexes.set(history, index);
  return index;
}

function makeIndex(history: readonly HistoryEntry[]): HistoryIndex {
  const publications = new Map<string, Published>();
  const flips = new Map<string, Flip>();
  const departures = new Map<string, Flip | ChannelMove>();
  const moves = new Map<string, ChannelMove[]>();
  const mentions = new Map<string, HistoryEntry>();
  const verifications = new Map<string, Verified>();
  const looks = new Map<string, Published | Unchanged>();
  const unlookedSinceRollback = new Set<string>();
  const unpruned = new Set<string>();
  const hookFailures = new Map<string, HookFailure>();
  const movesOf = (channel: string): ChannelMove[] => {
    const known = moves.get(channel) ?? [];
    moves.set(channel, known);
    return known;
  };
  let lastFlip: Flip | undefined;
  let lastSync: Ended | undefined;
  let lastSuccess: Published | Unchanged | undefined;
  let lastAdoption: Published | undefined;
  let lastTransfer: Published | undefined;
  let hasTransferredSinceAdoption = false;
  for (const entry of history) {
    if ('id' in entry && entry.event !== 'verified') mentions.set(entry.id, entry);
    switch (entry.event) {
      case 'unchanged':
        looks.set(entry.current, entry);
        unlookedSinceRollback.delete(entry.current);
        lastSync = lastSuccess = entry;
        continue;
      case 'pruned':
        unpruned.delete(entry.id);
        continue;
      case 'published':
        lastSync = entry;
        publications.set(entry.id, entry);
        verifications.delete(entry.id);
        looks.set(entry.id, entry);
        unlookedSinceRollback.delete(entry.id);
        if (isAdoption(entry)) {
          lastAdoption = entry;
          hasTransferredSinceAdoption = false;
        } else lastSuccess = entry;
        if (entry.rsyncOptions !== undefined) {
          lastTransfer = entry;
          hasTransferredSinceAdoption = true;
        }
        break;
      case 'rolled-back':
        unlookedSinceRollback.add(entry.id);
        break;
      case 'promoted':
      case 'channel-removed':
        hookFailures.delete('after-publish');
        hookFailures.delete(refusalBefore(entry.channel));
        if (entry.previous !== null) departures.set(entry.previous, entry);
        movesOf(entry.channel).push(entry);
        continue;
      case 'verified':
        if (supersedes(entry, verifications.get(entry.id))) verifications.set(entry.id, entry);
        continue;
      case 'failed':
        lastSync = entry;
        hookFailures.delete('on-failure');
        hookFailures.delete('on-recovery');
        continue;
      case 'hook-failed':
        hookFailures.set(
          entry.channel === undefined ? entry.phase : refusalBefore(entry.channel),
          entry,
        );
        continue;
      case 'prune-failed':
        continue;
      default:
        entry satisfies never;
        continue;
    }
    hookFailures.delete('after-publish');
    flips.set(entry.id, entry);
    if (entry.previous !== null) departures.set(entry.previous, entry);
    unpruned.add(entry.id);
    lastFlip = entry;
  }
  return {
    publications,
    flips,
    departures,
    moves,
    mentions,
    verifications,
    looks,
    unlookedSinceRollback,
    unpruned,
    hookFailures,
    lastFlip,
    lastSync,
    lastSuccess,
    lastAdoption,
    lastTransfer,
    hasTransferredSinceAdoption,
  };
}

/** The key of the hook that keeps a channel from its move, among `hookFailures`. */
export function refusalBefore(channel: string): string {
  return `before-publish of ${channel}`;
}

/** What was found damaged by its content does not become whole because nobody reads it again. */
function supersedes(next: Verified, before: Verified | undefined): boolean {
  return next.content || next.damaged > 0 || !before?.content || before.damaged === 0;
}

/** Whether a directory was adopted: its tree was there before, and may be of any age. */
export function isAdoption({ source, strategy, rsyncOptions }: Published): boolean {
  return source !== undefined && strategy === undefined && rsyncOptions === undefined;
}

/** Whether a person published a tree although a check had found something wrong with it. */
export function wasPublishedAnyway(checked: CheckedRecord | null | undefined): boolean {
  return (checked?.findings ?? 0) > 0;
}

/** Whether `current` came to name another snapshot by this. */
export function isFlip(entry: HistoryEntry): entry is Flip {
  return entry.event === 'published' || entry.event === 'rolled-back';
}
