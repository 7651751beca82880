/**
 * The options that several verbs share, in groups, each declared once with its defaults. A mirror's
 * settings override the defaults, and the options of a call override both, see `writer/policy.ts`.
 */

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** A group as given by a caller. Options that are missing or undefined keep their defaults. */
export type Given<Group> = { readonly [Name in keyof Group]?: Group[Name] | undefined };

/** How the writer's lock is taken. */
export interface LockPolicy {
  /** How long to wait for another writer; ms. */
  readonly waitMs: number;
  /** A lock of another host is stale after this long without a heartbeat, and taken over; ms. */
  readonly staleAfterMs: number;
}

export const DEFAULT_LOCK: LockPolicy = { waitMs: 0, staleAfterMs: 10 * MINUTE };

/** Which snapshots are kept: those that any of these rules names. */
export interface RetentionPolicy {
  /** This many of the newest, `current` included. */
  readonly keepLast: number;
  /** The newest of each of so many hours, days, … in UTC that have any; 0 for none. */
  readonly keepHourly: number;
  readonly keepDaily: number;
  readonly keepWeekly: number;
  readonly keepMonthly: number;
  readonly keepYearly: number;
  /** Those with any of these tags. */
  readonly keepTags: readonly string[];
  /** Those published less than this long ago; ms. */
  readonly keepWithinMs: number;
  /** Those that stopped being current less than this long ago; ms. */
  readonly graceMs: number;
}

export const DEFAULT_RETENTION: RetentionPolicy = {
  keepLast: 3,
  keepHourly: 0,
  keepDaily: 0,
  keepWeekly: 0,
  keepMonthly: 0,
  keepYearly: 0,
  keepTags: [],
  keepWithinMs: 0,
  graceMs: 24 * HOUR,
};

/** The rules of retention among other options or settings, whose names they share. */
export function rulesIn({
  keepLast,
  keepHourly,
  keepDaily,
  keepWeekly,
  keepMonthly,
  keepYearly,
  keepTags,
  keepWithinMs,
  graceMs,
}: Given<RetentionPolicy>): {
  [Name in keyof RetentionPolicy]: RetentionPolicy[Name] | undefined;
} {
  const periods = { keepHourly, keepDaily, keepWeekly, keepMonthly, keepYearly };
  return { keepLast, ...periods, keepTags, keepWithinMs, graceMs };
}

/** What a sync does when the source or the network fails. */
export interface RetryPolicy {
  /** The number of further attempts. */
  readonly retries: number;
  /** The pause before the first retry, doubled each time; ms. */
  readonly delayMs: number;
}

export const DEFAULT_RETRY: RetryPolicy = { retries: 4, delayMs: 2 * SECOND };

/** What a writer does about the readers inside an in-place mirror. */
export interface DrainPolicy {
  /** How long to wait until they have left; ms. */
  readonly drainMs: number;
  /** What to do if they have not: give up, or write while they are inside. */
  readonly afterDrain: 'give-up' | 'go-on';
}

export const AFTER_DRAIN = ['give-up', 'go-on'] as const;

export const DEFAULT_DRAIN: DrainPolicy = { drainMs: 5 * MINUTE, afterDrain: 'give-up' };

/** The moments at which a hook runs, see `writer/hooks.ts`. */
export const HOOK_PHASES = [
  'before-sync',
  'before-publish',
  'after-publish',
  'on-failure',
  'on-recovery',
] as const;

export type HookPhase = (typeof HOOK_PHASES)[number];

/** Which commands run around the work of a writer. */
export interface HookPolicy {
  /** A program and its arguments for a phase; empty for none. */
  readonly commands: { readonly [Phase in HookPhase]?: readonly string[] | undefined };
  /** How long each may take; ms, 0 for ever. */
  readonly timeoutMs: number;
}

export const DEFAULT_HOOKS: HookPolicy = { commands: {}, timeoutMs: 10 * MINUTE };

/** By which a channel follows `current` or another channel. */
export interface ChannelRule {
  /** `current`, or the other channel. */
  readonly from: string;
  /** How long that has to have had a snapshot, without going back from it, before the channel gets it; ms. */
  readonly afterMs: number;
}

/** How much may vanish in one publication. */
export interface ShrinkPolicy {
  /** The largest share of files, or of bytes, that may vanish; percent. */
  readonly maxPercent: number;
  /** The same for single directories, relative to the tree: `pool` to 10. */
  readonly maxPercentIn: Readonly<Record<string, number>>;
  /** Publish no matter how much vanishes. */
  readonly isAllowed: boolean;
}

export const DEFAULT_SHRINK: ShrinkPolicy = {
  maxPercent: 30,
  maxPercentIn: {},
  isAllowed: false,
};

/** How a sync finds out, before it looks at all of its source, whether it has to, and whether it may. */
export interface ProbePolicy {
  /**
   * Files of the source that change whenever it does, relative to it; `auto` stands for the well-known
   * ones that `current` has. While all of them are the same bytes, a sync looks no further.
   */
  readonly paths: readonly string[];
  /** The longest time between two looks at everything; ms. */
  readonly maxAgeMs: number;
  /** Entries that the source has while it is being updated, relative to it. */
  readonly busyWhen: readonly string[];
  /**
   * The list of all its files that the source has at its top: what differs between that of `current` and
   * the next one is all that a sync looks at. `auto` stands for the one that `current` has; empty for none.
   */
  readonly fileList: string;
}

export const DEFAULT_PROBE: ProbePolicy = {
  paths: [],
  maxAgeMs: 24 * HOUR,
  busyWhen: [],
  fileList: '',
};

/** The kinds of repositories that say themselves what their files are. */
export const CHECK_KINDS = [
  'sha256sums',
  'apt',
  'rpm-md',
  'arch',
  'alpine',
  'pypi',
  'npm',
] as const;

export type CheckKind = (typeof CHECK_KINDS)[number];

/** `auto`: the kinds that a tree has; `none`: no check at all, whatever else is said. */
export const CHECK_CHOICES = ['auto', 'none', ...CHECK_KINDS] as const;

export type CheckChoice = (typeof CHECK_CHOICES)[number];

/** By what a new tree has to prove right before it is published. */
export interface CheckPolicy {
  readonly kinds: readonly CheckChoice[];
  /** For `sh -c`: it says no by its exit code. Empty for none. */
  readonly command: string;
  /** How long that may take; ms, 0 for ever. */
  readonly timeoutMs: number;
  /** Patterns on names in the tree: what is wrong with these refuses nothing, see `Exceptions`. */
  readonly except: readonly string[];
  /** The absolute path of the keys that may sign; empty if signatures are not checked. */
  readonly keyring: string;
  /** Read the packages, too, and not only what lists them. */
  readonly content: boolean;
  /** Publish whatever the checks say. */
  readonly publishesAnyway: boolean;
}

export const DEFAULT_CHECK: CheckPolicy = {
  kinds: [],
  command: '',
  timeoutMs: 10 * MINUTE,
  except: [],
  keyring: '',
  content: false,
  publishesAnyway: false,
};

/** Whether choices of checks can be meant together: `none` turns off all others. */
export function canBeTogether(kinds: readonly CheckChoice[]): boolean {
  return !kinds.includes('none') || kinds.every((kind) => kind === 'none');
}

/** Whether there is anything to check. */
export function isCheckWanted({ kinds, command }: Pick<CheckPolicy, 'kinds' | 'command'>): boolean {
  return !kinds.includes('none') && (kinds.length > 0 || command !== '');
}

/** Those that look at no signature. */
const UNSIGNED: readonly CheckChoice[] = ['sha256sums', 'pypi', 'npm'];

/** What to say where a keyring demands nothing, because no kind of check would look at a signature; empty elsewhere. */
export function idleKeyring({ kinds, keyring }: Pick<CheckPolicy, 'kinds' | 'keyring'>): string[] {
  if (keyring === '' || !kinds.every((kind) => UNSIGNED.includes(kind))) return [];
  return ['no signature is checked: check-keyring needs a kind of check with signatures, or auto'];
}

/**
 * Whether a value is the path of one entry in a tree, relative to it. A name with a wildcard may exist, but
 * who writes one expects it to match.
 */
export function isPathWithin(value: unknown): value is string {
  return (
    typeof value === 'string' &&
    !/[\0\n*?\uFFFD]/.test(value) &&
    value.split('/').every((part) => !['', '.', '..'].includes(part))
  );
}

/** Whether a value is the name of an entry at the top of a tree. */
export function isNameWithin(value: unknown): value is string {
  return isPathWithin(value) && !value.includes('/');
}

/** Whether a value can be a tag of snapshots: a word that is safe in a shell, a list and a line of text. */
export function isTag(value: unknown): value is string {
  return typeof value === 'string' && /^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$/.test(value);
}

/** These have a meaning of their own in ROOT, in the URLs of `serve`, in rules, or where a snapshot is named. */
export const TAKEN_NAMES: readonly string[] = [
  ...['current', 'previous', 'snapshots', 'gate', 'live', 'latest', 'pins', 'none'],
  // Every object has a property of this name.
  'constructor',
];

/** Whether a value can name a channel: it needs no quoting in a shell or a URL. */
export function isChannelName(value: unknown): value is string {
  return (
    typeof value === 'string' &&
    /^[a-z0-9][a-z0-9._-]{0,63}$/.test(value) &&
    !value.endsWith('.json') &&
    // As a person calls what was moved out of the way.
    !/^(current|previous)\./.test(value) &&
    !TAKEN_NAMES.includes(value)
  );
}

/** `given`, with `defaults` for the options that are missing or undefined. */
export function withDefaults<Group extends object>(
  defaults: Group,
  given: Given<Group> | undefined,
): Group {
  const named = Object.entries(given ?? {}).filter(
    ([, value]) => (value ?? undefined) !== undefined,
  );
  return { ...defaults, ...Object.fromEntries(named) };
}
