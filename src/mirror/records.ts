import * as z from 'zod/mini';
import { DEFAULT_RETENTION, DEFAULT_SHRINK } from './policy.ts';

/**
 * The shapes of what is read back from disk as JSON. A crash, another version or a person may have
 * left anything there, so nothing of it is believed unchecked.
 */

/** `.mirrorlatch/mirror.json`: what `init` or the first sync said, for all the syncs after it. */
const Settings = z.strictObject({
  format: z.literal(1),
  /** `in-place`: there is room for one tree only, and a gate keeps readers out while it is written. */
  mode: z.enum(['snapshots', 'in-place']),
  /** As rsync understands it, with a trailing slash. */
  source: z.optional(z.string()),
  rsyncOptions: z._default(z.array(z.string()), []),
  /** Snapshots that stay, counted from the newest, `current` included. */
  keepLast: z._default(z.int().check(z.minimum(1)), DEFAULT_RETENTION.keepLast),
  /** Snapshots younger than this stay too; ms. */
  keepWithinMs: z.optional(z.int().check(z.minimum(0))),
  /** How long a snapshot stays after it stopped being current; ms. */
  graceMs: z._default(z.int().check(z.minimum(0)), DEFAULT_RETENTION.graceMs),
  /** The path that readers knew before `init --adopt`, which leads to `current` since then. */
  adopted: z.optional(z.string()),
  /** A directory that is to be a clone of what is current, replaced by exchange. */
  serveAt: z.optional(z.string()),
  /** Share of files or bytes that may vanish in one sync; percent. */
  maxShrinkPercent: z._default(
    z.number().check(z.minimum(0), z.maximum(100)),
    DEFAULT_SHRINK.maxPercent,
  ),
});

export type Settings = z.infer<typeof Settings>;

/** `sync.lock/TOKEN/owner.json`: who holds the writer's lock. */
const LockOwner = z.object({
  host: z.object({ hostname: z.string(), machineId: z.string(), bootId: z.string() }),
  pid: z.number(),
  /** Tells the process from a later one with the same pid. */
  startTicks: z.string(),
  user: z.string(),
  /** What it does: `sync`, `prune`, … */
  command: z.string(),
  /** ISO 8601, UTC. */
  since: z.string(),
});

export type LockOwner = z.infer<typeof LockOwner>;

/** `sync.lock/TOKEN/progress.json`: what the holder says it is doing. */
const LockProgress = z.object({
  phase: z.string(),
  /** Share of the phase that is done, 0 to 1, where it is known. */
  done: z.optional(z.number()),
});

export type LockProgress = z.infer<typeof LockProgress>;

/** `gate.json`: whether the tree of an in-place mirror may be read, see `gate.ts`. */
const GateRecord = z.object({
  state: z.enum(['open', 'closing', 'closed', 'dirty']),
  /** Mode of the gate directory while it is open: what it gets back. */
  mode: z.int().check(z.minimum(0), z.maximum(0o7777)),
  /**
   * boot_id of the host, random(4), since when what lies behind the gate has been written: of that
   * which was not finished since then anything may be lost.
   */
  boot: z.string(),
  /** It was dirty when it was closed. */
  wasDirty: z.optional(z.boolean()),
  /** Who closed it or left it dirty: `sync`, `lock`, or `person` for `gate close`. */
  by: z.string(),
  /** For people: why it is as it is. */
  reason: z.string(),
  /** ISO 8601, UTC. */
  since: z.string(),
});

export type GateRecord = z.infer<typeof GateRecord>;

/** `staging/.ID.command.json`: how the tree came about that `lock` gives to a command. */
const CommandTreeRecord = z.object({
  /** The snapshot it was made of; null for an empty one. */
  base: z.nullable(z.string()),
  clone: z.enum(['btrfs', 'hardlink', 'reflink', 'copy', 'none']),
  /** The kernel and the disk since when its content is trusted. */
  trusted: z.string(),
  /** The ctime from which on the command may have touched it; ns since the epoch. */
  since: z.string().check(z.regex(/^\d+$/)),
});

export type CommandTreeRecord = z.infer<typeof CommandTreeRecord>;

/** The record, or one line about what is wrong with it. */
type Checked<Record> = { record: Record } | { problem: string };

export const checkSettings = checkerOf(Settings);
export const checkGateRecord = checkerOf(GateRecord);
export const checkLockOwner = checkerOf(LockOwner);
export const checkLockProgress = checkerOf(LockProgress);
export const checkCommandTree = checkerOf(CommandTreeRecord);

/** The value that a JSON text stands for, or undefined when it is none. */
export function parseJson(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

function checkerOf<Schema extends z.ZodMiniType>(schema: Schema) {
  return (value: unknown): Checked<z.infer<Schema>> => {
    const parsed = schema.safeParse(value);
    if (parsed.success) return { record: parsed.data };
    return { problem: z.prettifyError(parsed.error).replaceAll('\n', ' ') };
  };
}
