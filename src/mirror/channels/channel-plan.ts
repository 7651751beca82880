import { type HistoryEntry, verificationOf } from '../history/history.ts';
import { lineagesOf, withMove } from '../history/lineage.ts';
import { showSpan } from '../units.ts';
import type { ChannelRules } from './channel-rules.ts';

/** What a mirror has when its rules are looked at. */
export interface ChannelState {
  readonly rules: ChannelRules;
  /** The channels that a person holds where they are, or that have been tried already. */
  readonly held: readonly string[];
  readonly history: readonly HistoryEntry[];
  /** The ids of the snapshots that are there. */
  readonly present: readonly string[];
  /** What each channel names, by its name. */
  readonly named: ReadonlyMap<string, string>;
  /** ms since the epoch */
  readonly now: number;
}

/** A channel that is to name another snapshot now. */
export interface PlannedMove {
  readonly channel: string;
  readonly id: string;
}

/** A snapshot that a channel is to name later. */
export interface PlannedPromotion {
  readonly channel: string;
  readonly id: string;
  /** How long that will take; ms. 0 if the next command does it, Infinity if its hold keeps it from that. */
  readonly inMs: number;
}

export interface ChannelPlan {
  /** In this order: what others follow comes first. */
  readonly moves: readonly PlannedMove[];
  /** Of each channel the soonest first, those of `moves` included. */
  readonly promises: readonly PlannedPromotion[];
}

/**
 * What the rules say now. A channel gets the newest snapshot that what it follows came to name so long ago, and has not
 * gone back from since, and in which `verify` has found no damage. It goes back only from a snapshot from which that has: where a person has moved it ahead of its
 * rule, it stays until the rule gets there, and while there is no such snapshot, too. Pure.
 */
export function planChannels(state: ChannelState): ChannelPlan {
  const { rules, held, history, present, named, now } = state;
  const moves: PlannedMove[] = [];
  const promises: PlannedPromotion[] = [];
  const lines = lineagesOf(history, now);
  const isThere = new Set(present);
  const isDamaged = (id: string) => (verificationOf(history, id)?.damaged ?? 0) > 0;
  for (const channel of inOrder(rules)) {
    const { from = '', afterMs = 0 } = rules[channel] ?? {};
    const line = (lines.get(from) ?? []).filter(({ id }) => isThere.has(id));
    const due = line.findLastIndex(({ id, since }) => since + afterMs <= now && !isDamaged(id));
    const previous = named.get(channel) ?? null;
    const isAhead = line.findLastIndex(({ id }) => id === previous) >= due;
    const chosen = line[due]?.id;
    if (chosen !== undefined && !isAhead) {
      const isHeld = held.includes(channel);
      promises.push({ channel, id: chosen, inMs: isHeld ? Number.POSITIVE_INFINITY : 0 });
      if (!isHeld) {
        moves.push({ channel, id: chosen });
        const move = {
          event: 'promoted',
          at: '',
          channel,
          id: chosen,
          previous,
          by: 'rule',
        } as const;
        lines.set(channel, withMove(lines.get(channel) ?? [], move, now));
      }
    }
    // What was current twice is promised once, for the sooner of its times.
    const promised = new Set(promises.flatMap((one) => (one.channel === channel ? one.id : [])));
    for (const { id, since } of line.slice(due + 1)) {
      if (isDamaged(id) || promised.has(id)) continue;
      promised.add(id);
      promises.push({ channel, id, inMs: since + afterMs - now });
    }
  }
  return { moves, promises };
}

/** The channels with rules, each after the one that it follows. Those that follow each other in a circle are left out. */
function inOrder(rules: ChannelRules): string[] {
  const ordered: string[] = [];
  let left = Object.keys(rules).sort();
  for (;;) {
    const next = left.filter((channel) => !left.includes(rules[channel]?.from ?? ''));
    if (next.length === 0) return ordered;
    ordered.push(...next);
    left = left.filter((channel) => !next.includes(channel));
  }
}

/** Why a rule still needs a snapshot: a predicate of it. */
export function describePromise({ channel, inMs }: PlannedPromotion): string {
  if (inMs === 0) return `will be ${channel} after the next command`;
  if (inMs === Number.POSITIVE_INFINITY) return `will be ${channel} when its hold ends`;
  return `will be ${channel} in ${showSpan(inMs)}`;
}
