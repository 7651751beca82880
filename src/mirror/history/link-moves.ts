import { type HistoryEntry, isFlip } from './history.ts';
import type { ChannelMove, Flip } from './history-index.ts';

/** A line of history by which `current` or a channel came to name something else. */
export type LinkMove = Flip | ChannelMove;

/** `current`, or the name of the channel. */
export function linkOf(move: LinkMove): string {
  return isFlip(move) ? 'current' : move.channel;
}

export function isLinkMove(entry: HistoryEntry): entry is LinkMove {
  return isFlip(entry) || entry.event === 'promoted' || entry.event === 'channel-removed';
}

export function isMoveOf(link: string, entry: HistoryEntry): entry is LinkMove {
  return isLinkMove(entry) && linkOf(entry) === link;
}

/** What the link named from then on; null if that was its end. */
export function namedBy(move: LinkMove): string | null {
  return move.event === 'channel-removed' ? null : move.id;
}

/** The id that the move of the same link before this one named in the lines that are left; null if there is none. */
export function moveBefore({ previous, after = previous }: LinkMove): string | null {
  return after;
}

/**
 * Whether lines are missing between a move and the one of the same link before it, or before the first: then any
 * snapshot may have been named until then.
 *
 * @param last what the move before it named; null if there is none.
 */
export function isAfterGap(move: LinkMove, last: string | null): boolean {
  const isLost = move.event === 'promoted' && move.isLost === true;
  return isLost || moveBefore(move) !== last;
}
