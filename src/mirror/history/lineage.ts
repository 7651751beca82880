import type { HistoryEntry } from './history.ts';
import { isAfterGap, isLinkMove, type LinkMove, linkOf } from './link-moves.ts';
import { timesOfLines } from './snapshot-times.ts';

/** A snapshot that `current` or a channel came to name. */
export interface Ancestor {
  readonly id: string;
  /** When it came to name it, never too early; ms since the epoch. */
  readonly since: number;
}

/**
 * What `current` or a channel named, one after the other, without what it went back from: the last is what it
 * names now, and a rollback leads to the one before that.
 *
 * ```
 *   published a   [a]
 *   published b   [a b]
 *   published c   [a b c]
 *   rolled back   [a]          to a: neither b nor c is trusted any more
 *   published d   [a d]
 * ```
 *
 * A rollback to a snapshot that is not in the line says nothing of the others, and where lines of history are missing,
 * nobody knows which of them was gone back from: then the line begins anew.
 *
 * @param now ms since the epoch.
 * @returns those of `current` and of each channel, by its name.
 */
export function lineagesOf(
  history: readonly HistoryEntry[],
  now: number,
): Map<string, readonly Ancestor[]> {
  const times = timesOfLines(history, now);
  const lines = new Map<string, readonly Ancestor[]>();
  history.forEach((entry, number) => {
    if (!isLinkMove(entry)) return;
    const link = linkOf(entry);
    lines.set(link, withMove(lines.get(link) ?? [], entry, times[number] ?? now));
  });
  return lines;
}

/** A line after one more move. @param since when that was; ms since the epoch. */
export function withMove(
  line: readonly Ancestor[],
  move: LinkMove,
  since: number,
): readonly Ancestor[] {
  if (move.event === 'channel-removed') return [];
  const named = { id: move.id, since };
  if (isAfterGap(move, line.at(-1)?.id ?? null)) return [named];
  return goesBack(move, line) ? backTo(line, named) : [...line, named];
}

/** A rule goes back where what it follows has gone back. */
function goesBack(move: LinkMove, line: readonly Ancestor[]): boolean {
  if (move.event === 'rolled-back') return true;
  if (move.event !== 'promoted') return false;
  return move.by === 'rollback' || (move.by === 'rule' && line.some(({ id }) => id === move.id));
}

function backTo(line: readonly Ancestor[], named: Ancestor): Ancestor[] {
  const at = line.findLastIndex(({ id }) => id === named.id);
  return at === -1 ? [named] : line.slice(0, at + 1);
}
