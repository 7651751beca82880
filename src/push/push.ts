import { hostname, userInfo } from 'node:os';
import { MirrorlatchError } from '../errors.ts';
import { commandThere } from '../mirror/open.ts';
import { checkRsync, checkSource } from '../mirror/plan/preflight.ts';
import { DEFAULT_RETRY, withDefaults } from '../mirror/settings/policy.ts';
import { checkGroups, checkStart } from '../mirror/settings/policy-rules.ts';
import { type PlannedSync, withAllEntries } from '../operations/sync/plan-sync.ts';
import type { SyncResult } from '../operations/sync/sync.ts';
import type { SyncOptions } from '../operations/sync/work.ts';
import type { Entry } from '../rsync/itemize.ts';
import { dividePushOptions } from '../rsync/pushed.ts';
import { splitShell } from '../rsync/remote-shell.ts';
import { Retries } from '../rsync/retries.ts';
import { type Destination, parseDestination, parseSource, type Source } from '../rsync/source.ts';
import { thisHost } from '../system/host.ts';
import { commandOverSsh, quoteForSh } from '../system/quote.ts';
import { type Answer, converse } from './conversation.ts';
import type { PushOutcome, PushRequest } from './messages.ts';
import { harmless, inodeOf } from './wire.ts';

/**
 * The end of a push that lies beside the source; `receive.ts` is the other one.
 *
 * There is one ssh session, and it carries everything. The sync itself runs beside the mirror, in
 * `mirrorlatch receive`, and pulls: for each rsync that it starts there, this end starts a server of
 * the source and joins the two. To push by a local rsync instead would need a second session, whose
 * rsync on the other host is nobody's child there: it could outlive the first, and write on without
 * the lock. And a plan, a clone and what an earlier try left are only at hand where the mirror is.
 *
 * The other host can read what it is sent anyway, and nothing else: see `pushed.ts`.
 */
export interface PushOptions extends Omit<SyncOptions, 'root' | 'source' | 'pushed' | 'hooks'> {
  /** A local directory. The mirror cannot remember it, so it has to be named. */
  source: string | undefined;
  /** `ssh://[user@]host[:port]/ROOT` or `[user@]host:ROOT`. */
  destination: string;
  /** How mirrorlatch is started there, for the shell of that host; by default `mirrorlatch`. */
  remoteProgram?: string | undefined;
}

/** How long to wait for the lock that a session of ours may still hold which was cut off; ms. */
const CUT_OFF_MS = 30_000;

/**
 * Brings a mirror on another host up to a local source, in one step for its readers.
 *
 * @throws MirrorlatchError; nothing is published then, and what was transferred is kept there.
 */
export async function push(options: PushOptions): Promise<SyncResult> {
  const { outcome } = await ask('sync', options);
  if (outcome.outcome === 'planned') throw wrongAnswer(outcome);
  return { ...outcome, source: nameOfSource(options) } as SyncResult;
}

/**
 * Finds out what a push would do, without a lock and without changing anything.
 *
 * @throws MirrorlatchError when the plan cannot be made.
 */
export async function planPush(options: PushOptions): Promise<PlannedSync> {
  return withAllEntries(await planPushSpooled(options));
}

/** The same as `planPush` in little memory, however many entries differ. */
export async function planPushSpooled(options: PushOptions): Promise<PlannedSync<Iterable<Entry>>> {
  const { outcome, entries } = await ask('plan', options);
  if (outcome.outcome !== 'planned') throw wrongAnswer(outcome);
  const refusal = outcome.refusal === null ? null : harmless(outcome.refusal);
  return { ...outcome, refusal, entries, source: nameOfSource(options) };
}

/** Asks the other host, as often as the retries allow. */
async function ask(verb: PushRequest['verb'], options: PushOptions): Promise<Answer> {
  const { signal = new AbortController().signal, onEvent = () => {} } = options;
  checkGroups(options);
  checkStart(options.at);
  const destination = parseDestination(options.destination);
  if (destination === undefined) {
    throw new MirrorlatchError('USAGE', `${options.destination} is no mirror on another host`, {
      hint: 'Give host:ROOT or ssh://[user@]host[:port]/ROOT.',
    });
  }
  refuseForeignCheck(options, destination);
  const source = sourceOf(options);
  if (source.kind !== 'local') {
    throw new MirrorlatchError('USAGE', 'the source and the mirror are both on another host', {
      hint: `Run the sync where the mirror is: ${commandOverSsh(destination.host, ['mirrorlatch', 'sync', options.source ?? 'SRC', destination.root])}`,
    });
  }
  const path = checkSource(source, options.destination);
  await checkRsync();
  const divided = dividePushOptions(options.rsyncOptions ?? []);
  const retries = new Retries({
    ...withDefaults(DEFAULT_RETRY, options.retry),
    signal,
    onRetry: (message) => onEvent({ kind: 'warning', message }),
  });
  const session = {
    destination,
    remoteShell: divided.remoteShell ?? splitShell(process.env['RSYNC_RSH'] || 'ssh'),
    remoteProgram: options.remoteProgram ?? 'mirrorlatch',
    path,
    signal,
    onEvent,
  };
  const first = requestFor(verb, { ...options, rsyncOptions: divided.options }, path);
  for (let request = first; ; request = withPatience(first)) {
    const answer = await converse({ ...session, request });
    if ('outcome' in answer) return answer;
    await retries.again(answer);
  }
}

/**
 * What runs a command there, or reads a file of its own there, is for that host to say.
 *
 * @throws MirrorlatchError USAGE
 */
function refuseForeignCheck({ check = {} }: PushOptions, destination: Destination): void {
  const [name, value] =
    check.command === undefined ? ['keyring', check.keyring] : ['command', check.command];
  if (value === undefined) return;
  const words = value === '' ? [`--no-check-${name}`] : [`--check-${name}`, 'VALUE'];
  throw new MirrorlatchError('USAGE', `${words[0]} is not taken from another host`, {
    hint: `Set it there: ${commandThere(destination, ['init', destination.root, ...words])}`,
  });
}

/** Every option that concerns the other end, so that the compiler names one that is forgotten. */
type Sent = Record<
  Exclude<
    keyof PushOptions,
    'source' | 'destination' | 'remoteProgram' | 'rsyncOptions' | 'signal' | 'onEvent'
  >,
  unknown
>;

function requestFor(verb: PushRequest['verb'], options: PushOptions, path: string): PushRequest {
  const {
    otherSource,
    clone,
    id,
    unclean,
    prune,
    lock,
    retention,
    retry,
    drain,
    shrink,
    probe,
    check,
  } = options;
  const tags = options.tags && [...options.tags];
  // An in-place mirror has a strategy of its own, and knows it.
  const strategy = options.strategy === 'in-place' ? undefined : options.strategy;
  const without = options.without && [...options.without];
  const at = options.at?.getTime();
  const sent = {
    otherSource,
    strategy,
    clone,
    without,
    id,
    at,
    unclean,
    prune,
    tags,
  } satisfies Partial<Sent>;
  // A command to run and a file to read are for the receiving host to say.
  const { command: _, keyring: _file, kinds, except, ...others } = check ?? {};
  const wanted = { ...others, kinds: kinds && [...kinds], except: except && [...except] };
  const groups = {
    lock,
    retention,
    retry,
    drain,
    shrink,
    probe,
    check: wanted,
  } satisfies Partial<Sent>;
  return {
    kind: 'request',
    name: nameOfSource(options),
    place: { bootId: thisHost().bootId, path, inode: inodeOf(path) },
    verb,
    rsyncOptions: [...(options.rsyncOptions ?? [])],
    options: { ...sent, ...groups } satisfies Sent,
  };
}

/** The same request after a session was cut off, which may hold the lock for a while. */
function withPatience(request: PushRequest): PushRequest {
  const { lock } = request.options;
  const waitMs = Math.max(lock?.waitMs ?? 0, CUT_OFF_MS);
  return { ...request, options: { ...request.options, lock: { ...lock, waitMs } } };
}

function nameOfSource(options: PushOptions): string {
  return `${userInfo().username}@${hostname()}:${sourceOf(options).argument}`;
}

function sourceOf({ source, destination }: PushOptions): Source {
  if (source !== undefined) return parseSource(source);
  throw new MirrorlatchError('USAGE', `${destination} is on another host, and no source is named`, {
    hint: `Name it each time: mirrorlatch sync SRC ${quoteForSh(destination)}`,
  });
}

function wrongAnswer({ outcome }: PushOutcome): MirrorlatchError {
  return new MirrorlatchError('INTERNAL', `the other end answered with ${outcome}`);
}
