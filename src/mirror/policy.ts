/**
 * The options that several verbs share, in groups, each declared once with its defaults. A mirror's
 * settings replace a default, and the options of a call replace both: see `writer/policy.ts`.
 */

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** A group as a caller gives it: what is missing or undefined keeps its default. */
export type Given<Group> = { readonly [Name in keyof Group]?: Group[Name] | undefined };

/** How the writer's lock is taken. */
export interface LockPolicy {
  /** How long to wait for another writer; ms. */
  readonly waitMs: number;
  /** After how long without a heartbeat another host's lock is taken over; ms. */
  readonly staleAfterMs: number;
}

export const DEFAULT_LOCK: LockPolicy = { waitMs: 0, staleAfterMs: 10 * MINUTE };

/** Which snapshots stay. */
export interface RetentionPolicy {
  /** This many of the newest, `current` included. */
  readonly keepLast: number;
  /** Those published within this time; ms. */
  readonly keepWithinMs: number;
  /** Those that stopped being current less than this ago; ms. */
  readonly graceMs: number;
}

export const DEFAULT_RETENTION: RetentionPolicy = {
  keepLast: 3,
  keepWithinMs: 0,
  graceMs: 24 * HOUR,
};

/** How a sync goes on when the source or the network fails. */
export interface RetryPolicy {
  /** How often to try again. */
  readonly retries: number;
  /** The pause before the first retry, doubled each time; ms. */
  readonly delayMs: number;
}

export const DEFAULT_RETRY: RetryPolicy = { retries: 4, delayMs: 2 * SECOND };

/** How a writer deals with the readers that are inside a mirror in place. */
export interface DrainPolicy {
  /** How long to wait for them; ms. */
  readonly drainMs: number;
  /** What to do then: give up, or write although they are inside. */
  readonly afterDrain: 'give-up' | 'go-on';
}

export const AFTER_DRAIN = ['give-up', 'go-on'] as const;

export const DEFAULT_DRAIN: DrainPolicy = { drainMs: 5 * MINUTE, afterDrain: 'give-up' };

/** How much may vanish in one publication. */
export interface ShrinkPolicy {
  /** The largest share of files, or of bytes, that may vanish; percent. */
  readonly maxPercent: number;
  /** Publish however much vanishes. */
  readonly isAllowed: boolean;
}

export const DEFAULT_SHRINK: ShrinkPolicy = { maxPercent: 30, isAllowed: false };

/** `given`, completed by `defaults`. */
export function withDefaults<Group extends object>(
  defaults: Group,
  given: Given<Group> | undefined,
): Group {
  const named = Object.entries(given ?? {}).filter(([, value]) => value !== undefined);
  return { ...defaults, ...Object.fromEntries(named) };
}
