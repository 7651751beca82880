import * as z from 'zod/mini';
import { isNamePattern } from './name-pattern.ts';
import {
  CHECK_CHOICES,
  CHECK_KINDS,
  DEFAULT_RETENTION,
  DEFAULT_SHRINK,
  isChannelName,
  isNameWithin,
  isPathWithin,
  isTag,
} from './policy.ts';

/**
 * The schemas of the JSON files in a mirror. A crash, another version or a person may have left
 * anything there, so each file is checked when it is read.
 */

/** What a sync names of its source; `rsyncOptions` as after `--`. */
const Named = { source: z.optional(z.string()), rsyncOptions: z._default(z.array(z.string()), []) };

const countIfAny = z.optional(z.int().check(z.minimum(0)));

const tags = z.array(z.string().check(z.refine(isTag)));

const Hold = z.strictObject({ reason: z.string(), by: z.string(), since: z.string() });

const channel = z.string().check(z.refine(isChannelName));

const pathWithin = z.string().check(z.refine(isPathWithin));

/** `.mirrorlatch/mirror.json`: what `init` or the first sync set for all later syncs. */
const Settings = z.strictObject({
  format: z.literal(1),
  /** `in-place`: one tree, and a gate that keeps readers out while it is written. */
  mode: z.enum(['snapshots', 'in-place']),
  /** The source is in rsync's syntax, with a trailing slash; files in the options are absolute. */
  ...Named,
  /** What the first sync names besides, until it has published. A later one may correct it. */
  firstSync: z.optional(z.strictObject(Named)),
  /** See `RetentionPolicy`. */
  keepLast: z._default(z.int().check(z.minimum(1)), DEFAULT_RETENTION.keepLast),
  keepHourly: countIfAny,
  keepDaily: countIfAny,
  keepWeekly: countIfAny,
  keepMonthly: countIfAny,
  keepYearly: countIfAny,
  keepTags: z.optional(tags),
  /** ms */
  keepWithinMs: z.optional(z.int().check(z.minimum(0))),
  /** ms */
  graceMs: z._default(z.int().check(z.minimum(0)), DEFAULT_RETENTION.graceMs),
  /** A person keeps `current` at one snapshot: nothing is published until the hold is released. */
  hold: z.optional(Hold),
  /** By which rules channels move, see `ChannelRule`. */
  channels: z.optional(
    z.record(channel, z.strictObject({ from: z.string(), afterMs: z.int().check(z.minimum(0)) })),
  ),
  /** A person keeps these channels where they are: no rule moves them until the hold is released. */
  channelHolds: z.optional(z.record(channel, Hold)),
  /** The path of the adopted directory, now a symlink to `current`. */
  adopted: z.optional(z.string()),
  /** The path of a real directory that is kept equal to the current snapshot. */
  serveAt: z.optional(z.string()),
  /** The largest share of files or bytes that may vanish in one publication; percent. */
  maxShrinkPercent: z._default(
    z.number().check(z.minimum(0), z.maximum(100)),
    DEFAULT_SHRINK.maxPercent,
  ),
  /** The same for directories in the tree. */
  maxShrinkPercentIn: z.optional(
    z.record(z.string(), z.number().check(z.minimum(0), z.maximum(100))),
  ),
  /** See `ProbePolicy`. */
  probe: z.optional(z.array(pathWithin)),
  /** ms */
  probeMaxAgeMs: z.optional(z.int().check(z.minimum(0))),
  busyWhen: z.optional(z.array(pathWithin)),
  fileList: z.optional(z.string().check(z.refine((name) => name === '' || isNameWithin(name)))),
  /** See `CheckPolicy`. */
  check: z.optional(z.array(z.enum(CHECK_CHOICES))),
  checkCommand: z.optional(z.string()),
  /** ms */
  checkTimeoutMs: z.optional(z.int().check(z.minimum(0))),
  checkExcept: z.optional(z.array(z.string().check(z.refine(isNamePattern)))),
  checkKeyring: z.optional(z.string()),
  checkContent: z.optional(z.boolean()),
});

export type Settings = z.infer<typeof Settings>;

/** `.mirrorlatch/marks.json`: what people say of single snapshots, see `marks.ts`. */
const Marks = z.strictObject({
  format: z.literal(1),
  /** By their ids. */
  snapshots: z.record(
    z.string(),
    z.strictObject({
      tags,
      /** It is kept for ever. */
      pin: z.optional(
        z.strictObject({
          /** The user. */
          by: z.string(),
          /** ISO 8601, UTC. */
          since: z.string(),
          reason: z.optional(z.string()),
        }),
      ),
    }),
  ),
});

/** What people say of one snapshot. */
export type Mark = z.infer<typeof Marks>['snapshots'][string];
export type SnapshotPin = NonNullable<Mark['pin']>;

/** `sync.lock/TOKEN/owner.json`: the holder of the writer's lock. */
const LockOwner = z.object({
  host: z.object({
    hostname: z.string(),
    machineId: z.string(),
    bootId: z.string(),
    pidNamespace: z.optional(z.string()),
  }),
  pid: z.number(),
  /** The start time of the process (proc(5)), because a later process may have the same pid. */
  startTicks: z.string(),
  user: z.string(),
  /** The running command: `sync`, `prune`, … */
  command: z.string(),
  /** ISO 8601, UTC. */
  since: z.string(),
});

export type LockOwner = z.infer<typeof LockOwner>;

/** `sync.lock/TOKEN/progress.json`: what the holder is doing. */
const LockProgress = z.object({
  phase: z.string(),
  /** The share of the phase that is done, 0 to 1, if known. */
  done: z.optional(z.number()),
});

export type LockProgress = z.infer<typeof LockProgress>;

/** `gate.json`: whether the tree of an in-place mirror may be read, see `gate.ts`. */
const GateRecord = z.object({
  state: z.enum(['open', 'closing', 'closed', 'dirty']),
  /** The mode of the gate directory while the gate is open. */
  mode: z.int().check(z.minimum(0), z.maximum(0o7777)),
  /**
   * The boot_id of the host (random(4)) when the tree was last whole or first left dirty. Writes
   * since then that were not finished may be lost in a restart.
   */
  boot: z.string(),
  /** The tree was dirty when the gate was closed. */
  wasDirty: z.optional(z.boolean()),
  /** The command that set the state: `init`, `sync`, …; `person` for `gate open` and `gate close`. */
  by: z.string(),
  /** The reason for the state, as shown to readers. */
  reason: z.string(),
  /** ISO 8601, UTC. */
  since: z.string(),
});

export type GateRecord = z.infer<typeof GateRecord>;

/** `staging/.ID.command.json`: how the tree for a command of `lock` was made. */
const CommandTreeRecord = z.object({
  /** What `current` named when the tree was made; null before the first publication. */
  base: z.nullable(z.string()),
  clone: z.enum(['btrfs', 'hardlink', 'reflink', 'copy', 'none']),
  /** The kernel and the disk under which the content was written, see `trustMark`. */
  trusted: z.string(),
  /** The command may have changed entries with this ctime or a later one; ns since the epoch. */
  since: z.string().check(z.regex(/^\d+$/)),
});

export type CommandTreeRecord = z.infer<typeof CommandTreeRecord>;

/** The first line of `changes/ID`: see `recordChanges`. Each tree is named by its identity. */
const ChangesHeader = z.object({
  tree: z.string(),
  base: z.object({ id: z.string(), tree: z.string() }),
  /** What the tree has, directories included. */
  entries: z.int().check(z.minimum(0)),
  /** Of the names. */
  count: z.int().check(z.minimum(0)),
});

export type ChangesHeader = z.infer<typeof ChangesHeader>;

/** `.mirrorlatch/notices.json`: what each recipient was told of the mirror, see `Told`. */
const Notices = z.record(
  z.string(),
  z.object({
    /** Times in ms since the epoch, by kind and code. */
    last: z.record(z.string(), z.number()),
    open: z.record(z.string(), z.number()),
  }),
);
/** The first line of `sums/ID`: see `SumRecord`. */
const SumsHeader = z.object({
  /** The identity of the snapshot. */
  tree: z.string(),
  /** The name of the record that it leans on. */
  base: z.nullable(z.string()),
  /** When it was made; ISO 8601, UTC. */
  at: z.string(),
  /** It was not made at publication. */
  isLate: z.boolean(),
});

export type SumsHeader = z.infer<typeof SumsHeader>;

/** The first text of `checked`: the tree that it is about, see `verifiedIn`. */
const VerifiedHeader = z.object({
  id: z.string(),
  tree: z.string(),
  heads: z.optional(z.array(z.object({ kind: z.enum(CHECK_KINDS), name: z.string() }))),
});

const Size = z.object({ files: z.number(), bytes: z.number() });

/** `staging/.sizes.json`: what the tree of an in-place mirror had when it was last whole, see `sizesBefore`. */
const RecordedSizes = z.object({
  /** What it had of its source, as these options of rsync select it. */
  source: z.optional(
    z.object({ ...Size.shape, rsyncOptions: z.array(z.string()), without: z.array(z.string()) }),
  ),
  /** All that it had. */
  tree: z.optional(Size),
  /** Directories in it, relative to it. */
  within: z.array(z.tuple([z.string(), Size])),
});

export type RecordedSizes = z.infer<typeof RecordedSizes>;

/** `.mirrorlatch/file-list.json`: the snapshot that agrees with the list of files in it, see `ListedTree`. */
const ListedTree = z.object({
  id: z.string(),
  /** Tells its top directory from any other that may come to have this id. */
  birth: z.string(),
  /** The name of the list, at the top of the tree. */
  list: z.string(),
  /** By what a sync looked at all of its source, of which this snapshot comes: see `selectionOf`. */
  selection: z.string(),
  /** When that look began; ms since the epoch. */
  lookedAt: z.number(),
  /** What the list does not name, one character per byte (latin1). */
  unlisted: z.array(z.string()),
  /** The totals of the source, as rsync counts them. */
  source: z.object({
    files: z.number(),
    directories: z.number(),
    entries: z.number(),
    bytes: z.number(),
  }),
});

export type ListedTree = z.infer<typeof ListedTree>;

/** `ROOT/current.json`, for readers that come by HTTP: see `current-json.ts`. */
const CurrentRecord = z.object({
  format: z.literal(1),
  /** What `current` names. */
  id: z.string(),
  /** Its tree, from the URL of this record on. */
  path: z.string(),
  /** What `previous` names. */
  previous: z.nullable(z.string()),
  /** When it was made and published; ISO 8601, UTC. A rollback to it does not change this. */
  publishedAt: z.string(),
});

export type CurrentRecord = z.infer<typeof CurrentRecord>;

/** The record, or one line that says what is wrong with it. */
export type Checked<Record> = { record: Record } | { problem: string };

export const checkSettings = checkerOf(Settings);
export const checkMarks = checkerOf(Marks);
export const checkNotices = checkerOf(Notices);
export const checkGateRecord = checkerOf(GateRecord);
export const checkLockOwner = checkerOf(LockOwner);
export const checkLockProgress = checkerOf(LockProgress);
export const checkCommandTree = checkerOf(CommandTreeRecord);
export const checkChangesHeader = checkerOf(ChangesHeader);
export const checkSumsHeader = checkerOf(SumsHeader);
export const checkVerifiedHeader = checkerOf(VerifiedHeader);
export const checkRecordedSizes = checkerOf(RecordedSizes);
export const checkListedTree = checkerOf(ListedTree);
export const checkCurrentRecord = checkerOf(CurrentRecord);

/** The value of a JSON text; undefined if the text is missing or invalid. */
export function parseJson(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A check of unknown values against a schema. */
export function checkerOf<Schema extends z.ZodMiniType>(schema: Schema) {
  return (value: unknown): Checked<z.infer<Schema>> => {
    const parsed = schema.safeParse(value);
    if (parsed.success) return { record: parsed.data };
    return { problem: parsed.error.issues.map(describeIssue).join('; ') };
  };
}

/** What is wrong, and where. The messages of zod/mini say neither. */
function describeIssue(issue: z.core.$ZodIssue): string {
  const where = issue.path.length === 0 ? '' : `of ${JSON.stringify(issue.path.join('.'))}, `;
  switch (issue.code) {
    case 'unrecognized_keys':
      return `${where}the key ${issue.keys.map((key) => JSON.stringify(key)).join(', ')} is unknown`;
    case 'invalid_type':
      return `${where}the value is no ${issue.expected}`;
    case 'invalid_value':
      return `${where}the value is none of ${issue.values.map((value) => JSON.stringify(value)).join(', ')}`;
    case 'too_small':
      return `${where}the value is less than ${issue.minimum}`;
    case 'too_big':
      return `${where}the value is more than ${issue.maximum}`;
    default:
      return `${where}the value is invalid`;
  }
}
