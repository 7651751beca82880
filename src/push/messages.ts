import * as z from 'zod/mini';
import { EXIT_CODES } from '../errors.ts';
import { MADE_BY } from '../mirror/clone.ts';
import { QUICK_LOOKS } from '../mirror/history/history-line.ts';
import { LIVE } from '../mirror/layout.ts';
import { isNamePattern } from '../mirror/settings/name-pattern.ts';
import {
  AFTER_DRAIN,
  CHECK_CHOICES,
  type CheckPolicy,
  type DrainPolicy,
  isTag,
  type LockPolicy,
  type ProbePolicy,
  type RetentionPolicy,
  type RetryPolicy,
  type ShrinkPolicy,
} from '../mirror/settings/policy.ts';
import { checkerOf } from '../mirror/settings/records.ts';
import { isSnapshotId } from '../mirror/snapshot-id.ts';
import { CLONE_CHOICES, STRATEGIES, UNCLEAN_POLICIES } from '../operations/sync/context.ts';
import { DEFAULT_NAMES } from '../rsync/arguments.ts';
import { LEFT_OUT_WHYS } from '../rsync/itemize.ts';
import type { Phase } from '../writer/events.ts';

/**
 * What the two ends of a push say to each other. Neither believes the other unchecked.
 *
 * ```
 * pusher                                receiver
 *        <- greeting (PROTOCOL)
 *   request ->
 *        <- event …                     how the sync gets on
 *        <- run N, data N …             an rsync has been started: serve it
 *   data N …, ended N ->                what the server of the tree says, until it has ended
 *        <- close N                     that rsync has ended
 *        <- ready                       the new tree is whole
 *   publish ->
 *        <- entries …, result           or at any time: failed
 * ```
 * Both send `alive` when there is nothing else to say.
 */
export const PROTOCOL = 5;

const count = z.int().check(z.minimum(0));
const amount = z.number().check(z.minimum(0));
const percent = amount.check(z.maximum(100));
const snapshotId = z.string().check(z.refine(isSnapshotId));

const tag = z.string().check(z.refine(isTag));

/** The one tree of an in-place mirror has a name of its own. */
const treeId = z.string().check(z.refine((id) => id === LIVE || isSnapshotId(id)));

/** A group of `mirror/settings/policy.ts`, with a check for each option; any of them may be missing. */
function group<Group>(shape: { [Name in keyof Group]: z.ZodMiniType<Group[Name]> }) {
  return z.optional(z.partial(z.strictObject(shape)));
}

const Request = z.strictObject({
  kind: z.literal('request'),
  /** What the pusher calls its tree. */
  name: z.string().check(z.maxLength(8192)),
  /** Where that tree lies, for a push from a host to itself. */
  place: z.strictObject({ bootId: z.string(), path: z.string(), inode: z.string() }),
  /** `plan`: only find out what a sync would do. */
  verb: z.enum(['sync', 'plan']),
  rsyncOptions: z.array(z.string()),
  options: z.strictObject({
    otherSource: z.optional(z.boolean()),
    strategy: z.optional(z.enum(STRATEGIES)),
    clone: z.optional(z.enum(CLONE_CHOICES)),
    without: z.optional(z.array(z.enum(DEFAULT_NAMES))),
    id: z.optional(snapshotId),
    /** Milliseconds since the epoch. */
    at: z.optional(amount.check(z.maximum(8.64e15))),
    unclean: z.optional(z.enum(UNCLEAN_POLICIES)),
    prune: z.optional(z.boolean()),
    tags: z.optional(z.array(tag)),
    lock: group<LockPolicy>({ waitMs: amount, staleAfterMs: amount }),
    retention: group<RetentionPolicy>({
      keepLast: count,
      keepHourly: count,
      keepDaily: count,
      keepWeekly: count,
      keepMonthly: count,
      keepYearly: count,
      keepTags: z.array(tag),
      keepWithinMs: amount,
      graceMs: amount,
    }),
    retry: group<RetryPolicy>({ retries: count, delayMs: amount }),
    drain: group<DrainPolicy>({ drainMs: amount, afterDrain: z.enum(AFTER_DRAIN) }),
    shrink: group<ShrinkPolicy>({
      maxPercent: percent,
      maxPercentIn: z.record(z.string(), percent),
      isAllowed: z.boolean(),
    }),
    probe: group<ProbePolicy>({
      paths: z.array(z.string()),
      maxAgeMs: amount,
      busyWhen: z.array(z.string()),
      fileList: z.string(),
    }),
    // A command to run and a file to read are for the receiving host to say.
    check: group<Omit<CheckPolicy, 'command' | 'keyring'>>({
      kinds: z.array(z.enum(CHECK_CHOICES)),
      timeoutMs: amount,
      except: z.array(z.string().check(z.refine(isNamePattern))),
      content: z.boolean(),
      publishesAnyway: z.boolean(),
    }),
  }),
});

export type PushRequest = z.infer<typeof Request>;

const data = { kind: z.literal('data'), run: count };
const alive = { kind: z.literal('alive') };

const PusherMessage = z.discriminatedUnion('kind', [
  Request,
  z.strictObject(data),
  z.strictObject({ kind: z.literal('ended'), run: count }),
  z.strictObject({ kind: z.literal('publish') }),
  z.strictObject(alive),
]);

export type PusherMessage = z.infer<typeof PusherMessage>;

const Figures = z.object({
  newFiles: amount,
  changedFiles: amount,
  linkedFiles: amount,
  otherChanges: amount,
  deletedFiles: amount,
  transferBytes: amount,
  deletedBytes: amount,
  newInodes: amount,
  source: z.object({ files: amount, directories: amount, entries: amount, bytes: amount }),
  leftOut: z.array(
    z.object({ why: z.enum(LEFT_OUT_WHYS), count: amount, names: z.array(z.string()) }),
  ),
  lost: z.record(
    z.string(),
    z.object({ files: amount, bytes: amount, growth: z.number(), moreFiles: z.number() }),
  ),
  writableByAll: z.object({ count: amount, names: z.array(z.string()) }),
});

const PHASES: { readonly [Name in Phase]: Name } = {
  waiting: 'waiting',
  probing: 'probing',
  planning: 'planning',
  cloning: 'cloning',
  closing: 'closing',
  comparing: 'comparing',
  transferring: 'transferring',
  settling: 'settling',
  checking: 'checking',
  publishing: 'publishing',
  pruning: 'pruning',
  verifying: 'verifying',
  reading: 'reading',
};

const Event = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('phase'),
    phase: z.enum(PHASES),
  }),
  z.object({ kind: z.literal('planned'), plan: Figures }),
  z.object({
    kind: z.literal('progress'),
    bytes: amount,
    totalBytes: amount,
    files: amount,
    totalFiles: amount,
  }),
  z.object({ kind: z.enum(['notice', 'warning', 'problem']), message: z.string() }),
]);

const Entry = z.object({
  change: z.enum(['new', 'changed', 'attributes', 'deleted']),
  type: z.enum(['file', 'directory', 'symlink', 'device', 'special']),
  name: z.string(),
  size: amount,
  modified: z.string(),
});

const summary = { strategy: z.enum([...STRATEGIES, 'in-place']), plan: Figures, seconds: amount };

const pruned = z.optional(
  z.object({
    removed: z.array(snapshotId),
    failed: z.array(z.object({ id: snapshotId, message: z.string() })),
    kept: z.array(
      z.object({
        id: snapshotId,
        reasons: z.array(z.string()),
        readers: z.array(z.looseObject({})),
      }),
    ),
  }),
);
/** Of a result that came without a look at all of the source. */
const lookedAt = z.optional(z.string().check(z.refine((at) => !Number.isNaN(Date.parse(at)))));
const recovered = z.array(z.looseObject({ kind: z.string() }));

const Result = z.discriminatedUnion('outcome', [
  z.looseObject({
    outcome: z.literal('published'),
    id: treeId,
    previous: z.nullable(treeId),
    path: z.string(),
    clone: z.enum(MADE_BY),
    look: z.optional(z.literal('file-list')),
    lookedAt,
    recovered,
    pruned,
    ...summary,
  }),
  z.looseObject({
    outcome: z.literal('unchanged'),
    id: treeId,
    recovered,
    pruned,
    ...summary,
    // A look at the stamps alone makes none.
    plan: z.optional(Figures),
    look: z.optional(z.enum(QUICK_LOOKS)),
    stamps: z.optional(z.array(z.string())),
    lookedAt,
  }),
  z.looseObject({
    outcome: z.literal('planned'),
    current: z.nullable(treeId),
    refusal: z.nullable(z.string()),
    ...summary,
  }),
]);

export type PushOutcome = z.infer<typeof Result>;

const ReceiverMessage = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('greeting'), protocol: count }),
  z.object({ kind: z.literal('event'), event: Event }),
  z.object({ kind: z.literal('run'), run: count }),
  z.object(data),
  z.object({ kind: z.literal('close'), run: count }),
  z.object({ kind: z.literal('ready') }),
  z.object({ kind: z.literal('entries'), entries: z.array(Entry) }),
  z.object({ kind: z.literal('result'), result: Result }),
  z.object({
    kind: z.literal('failed'),
    code: z.enum(Object.keys(EXIT_CODES) as (keyof typeof EXIT_CODES)[]),
    message: z.string(),
    hint: z.optional(z.string()),
    details: z.record(z.string(), z.unknown()),
  }),
  z.object(alive),
]);

export type ReceiverMessage = z.infer<typeof ReceiverMessage>;

export const checkPusherMessage = checkerOf(PusherMessage);
export const checkReceiverMessage = checkerOf(ReceiverMessage);
