import { HOOK_PHASES, type HookPhase } from '../settings/policy.ts';

/** One line of `.mirrorlatch/history.jsonl`. Each event of the mirror appends a line. */
export type HistoryEntry =
  | ({ event: 'published' } & Flip & Partial<SyncFigures>)
  | ({ event: 'rolled-back' } & Flip)
  | ({
      event: 'unchanged';
      current: string;
      /** It was published without a check that was wanted by then. */
      isUnchecked?: boolean;
    } & Stamp &
      Partial<LookFigures>)
  | ({ event: 'failed'; id: string; code: string; message: string } & CheckFailure & Stamp)
  | ({ event: 'pruned'; id: string } & Stamp)
  /** No rule keeps it, but it could not be removed. */
  | ({ event: 'prune-failed'; id: string; message: string } & Stamp)
  /** How many entries of a tree are not as they were recorded; `content`: all that was recorded of it was read. */
  | ({ event: 'verified'; id: string; content: boolean; damaged: number } & Stamp)
  /** A hook of the configuration failed, and that has not ended the work. */
  | ({
      event: 'hook-failed';
      phase: HookPhase;
      snapshot: string | null;
      message: string;
      /** The channel that its rule would have moved to the snapshot, if the hook had not failed. */
      channel?: string;
    } & Stamp)
  | ({ event: 'promoted' } & Promotion)
  | ({
      event: 'channel-removed';
      channel: string;
      previous: string;
      after?: string | null;
    } & Stamp);

/** What a check has refused a tree for. */
export interface CheckFailure {
  /** The first few. */
  findings?: FindingRecord[];
  /** How many there are in all, if that is more. */
  count?: number;
  /** The tree was right until the hook before the publication changed it. */
  isOfHook?: boolean;
}

/** What moves a channel. `recovery`: it was found moved, and nobody knows by what. */
export const MOVERS = ['promote', 'rollback', 'rule', 'recovery'] as const;

/** By what a sync knew its source without a look at all of it: its stamps, or the list of files that it publishes. */
export const QUICK_LOOKS = ['probe', 'file-list'] as const;
export type QuickLook = (typeof QUICK_LOOKS)[number];

interface Stamp {
  /** ISO 8601, UTC. */
  at: string;
}

interface Flip extends Stamp {
  /** What `current` named from then on. */
  id: string;
  /** What it named before. */
  previous: string | null;
  /** What the move of the same link before it in the file names, if those between the two were trimmed as too old. */
  after?: string | null | undefined;
}

interface Promotion extends Flip {
  /** The channel that named `id` from then on, and `previous` before. */
  channel: string;
  by: (typeof MOVERS)[number];
  /** What it named before is not known: lines are missing. */
  isLost?: boolean | undefined;
}

/** How a sync looked at its source. */
export interface LookFigures {
  source: string;
  /** Those that the user gave. */
  rsyncOptions?: readonly string[];
  /** What was turned off, see `DefaultName`. */
  without?: readonly string[];
  /** Undefined for a look at all of it. */
  look?: QuickLook | undefined;
  /** When the last look at all of it began, if this was none; ISO 8601, UTC. */
  lookedAt?: string | undefined;
  seconds: number;
  leftOut?: LeftOutRecord[] | undefined;
}

/** How a snapshot was made. */
export interface SyncFigures extends LookFigures {
  strategy: string;
  clone: string;
  /** The whole tree: regular files and their bytes. */
  files: number;
  bytes: number;
  newFiles: number;
  /** Content that came from the source, or was made by a command; bytes. */
  newBytes: number;
  deletedFiles: number;
  /** The id of its log, if it was made in place: `id` is then that of the tree. */
  log?: string;
  /** Of the whole tree; unknown if another version has made it. */
  writableByAll?: WritableByAll;
  checked?: CheckedRecord;
}

/** What a check has found to be wrong with an entry of a tree, see `CheckFinding`. */
export interface FindingRecord {
  name: string;
  kind: string;
  expected: string;
  found: string;
  by: string;
}

/** What was checked of a tree before its publication. */
export interface CheckedRecord {
  /** See `CheckKind`. */
  kinds: string[];
  /** The files of which something was said. */
  files: number;
  /** The keys that had to have signed it. */
  keyring?: string;
  /** Its packages were read, too. */
  content?: boolean;
  /** How much was wrong although it was published. */
  findings: number;
  /** The first of that. */
  wrong?: FindingRecord[];
  /** The user who has published it all the same. */
  anyway?: { by: string };
  /** And how much of it by a pattern of `--check-except` each, which is not counted there. */
  excepted?: { pattern: string; count: number }[];
}

/** Files and directories to which every user may write. */
export interface WritableByAll {
  count: number;
  /** The first few of their names, printable; `.` is the top directory. */
  names: string[];
}

/** Entries that the source has and the tree lacks, for one reason. */
export interface LeftOutRecord {
  /** See `LeftOutWhy`. */
  why: string;
  count: number;
  /** The first few of their names, printable. */
  names: string[];
}

type Check = (value: unknown) => boolean;

// History has thousands of lines: a schema of zod takes ten times as long as these.
const isText: Check = (value) => typeof value === 'string';
const isNumber: Check = (value) => Number.isFinite(value);
const isFlag: Check = (value) => typeof value === 'boolean';
const isTime: Check = (value) => typeof value === 'string' && !Number.isNaN(Date.parse(value));
const oneOf =
  (values: readonly unknown[]): Check =>
  (value) =>
    values.includes(value);
const either =
  (nothing: null | undefined, check: Check): Check =>
  (value) =>
    value === nothing || check(value);
const optional = (check: Check) => either(undefined, check);
const listOf =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(check);
const shape = (fields: Readonly<Record<string, Check>>): Check => {
  const checks = Object.entries(fields);
  return (value) =>
    typeof value === 'object' &&
    value !== null &&
    checks.every(([name, check]) => check((value as Record<string, unknown>)[name]));
};

const stamp = { at: isTime };
const flip = {
  ...stamp,
  id: isText,
  previous: either(null, isText),
  after: optional(either(null, isText)),
};
const look = {
  source: optional(isText),
  rsyncOptions: optional(listOf(isText)),
  without: optional(listOf(isText)),
  look: optional(oneOf(QUICK_LOOKS)),
  lookedAt: optional(isTime),
  seconds: optional(isNumber),
  leftOut: optional(listOf(shape({ why: isText, count: isNumber, names: listOf(isText) }))),
} satisfies Record<keyof LookFigures, Check>;
const finding = {
  name: isText,
  kind: isText,
  expected: isText,
  found: isText,
  by: isText,
} satisfies Record<keyof FindingRecord, Check>;

const figures = {
  ...look,
  strategy: optional(isText),
  clone: optional(isText),
  files: optional(isNumber),
  bytes: optional(isNumber),
  newFiles: optional(isNumber),
  newBytes: optional(isNumber),
  deletedFiles: optional(isNumber),
  log: optional(isText),
  writableByAll: optional(shape({ count: isNumber, names: listOf(isText) })),
  checked: optional(
    shape({
      kinds: listOf(isText),
      files: isNumber,
      keyring: optional(isText),
      content: optional(isFlag),
      findings: isNumber,
      wrong: optional(listOf(shape(finding))),
      anyway: optional(shape({ by: isText })),
      excepted: optional(listOf(shape({ pattern: isText, count: isNumber }))),
    }),
  ),
} satisfies Record<keyof SyncFigures, Check>;

const HISTORY_LINES = new Map<unknown, Check>(
  Object.entries({
    published: shape({ ...flip, ...figures }),
    'rolled-back': shape(flip),
    unchanged: shape({ ...stamp, current: isText, isUnchecked: optional(isFlag), ...look }),
    failed: shape({
      ...stamp,
      id: isText,
      code: isText,
      message: isText,
      findings: optional(listOf(shape(finding))),
      count: optional(isNumber),
      isOfHook: optional(isFlag),
    }),
    pruned: shape({ ...stamp, id: isText }),
    'prune-failed': shape({ ...stamp, id: isText, message: isText }),
    'hook-failed': shape({
      ...stamp,
      phase: oneOf(HOOK_PHASES),
      snapshot: either(null, isText),
      message: isText,
      channel: optional(isText),
    }),
    promoted: shape({ ...flip, channel: isText, by: oneOf(MOVERS), isLost: optional(isFlag) }),
    'channel-removed': shape({
      ...stamp,
      channel: isText,
      previous: isText,
      after: optional(either(null, isText)),
    }),
    verified: shape({ ...stamp, id: isText, content: isFlag, damaged: isNumber }),
  } satisfies Record<HistoryEntry['event'], Check>),
);

/** Whether an unknown value can be used as a line of history. */
export function isHistoryEntry(value: unknown): value is HistoryEntry {
  const event = typeof value === 'object' && value !== null && 'event' in value && value.event;
  return HISTORY_LINES.get(event)?.(value) ?? false;
}
