import { MirrorlatchError } from '../errors.ts';
import { parseChannelName } from '../mirror/channels/channel-names.ts';
import { channelAt, noChannel } from '../mirror/channels/channels.ts';
import { currentId, previousId } from '../mirror/current.ts';
import { readHistory } from '../mirror/history/history.ts';
import type { Layout } from '../mirror/layout.ts';
import { openMirrorWithSnapshots } from '../mirror/open.ts';
import type { ChannelRule, Given, HookPolicy, LockPolicy } from '../mirror/settings/policy.ts';
import type { Settings } from '../mirror/settings/records.ts';
import { describeHold, holdChannel } from '../mirror/settings/settings.ts';
import { snapshotNamed } from '../mirror/snapshot-path.ts';
import { isOfPerson, snapshotIds } from '../mirror/survey.ts';
import { processUser } from '../system/proc.ts';
import { quoteForSh } from '../system/quote.ts';
import { mayPointChannel, pointChannel, takeAway } from '../writer/channels.ts';
import type { OnEvent } from '../writer/events.ts';
import { withWriter } from '../writer/session.ts';
import type { Writer } from '../writer/writer.ts';

export interface PromoteOptions {
  root: string;
  /** The channel to make or to move. */
  to: string;
  /** The snapshot: its id or path, `current` (default), `previous`, or the name of another channel. */
  id?: string | undefined;
  /** Take the channel away. */
  remove?: boolean | undefined;
  /** Why no rule is to move the channel from now on, until a `rollback` of it with `release`. */
  hold?: string | undefined;
  lock?: Given<LockPolicy> | undefined;
  /** In place of what the configuration says. */
  hooks?: Given<HookPolicy> | undefined;
  signal?: AbortSignal | undefined;
  onEvent?: OnEvent | undefined;
}

/** What became of a channel. */
export interface ChannelResult {
  channel: string;
  /** What it names now; null if it was removed. */
  id: string | null;
  /** What it named until now; null if it is new. */
  previous: string | null;
  /** Why no rule moves it; null if it is not held. */
  hold: string | null;
  /** The rule that moves it at the end of each sync; null if it has none. */
  rule: ChannelRule | null;
}

/**
 * Makes a channel, or lets it name another snapshot, in one rename; or takes it away.
 *
 * @throws MirrorlatchError USAGE for a name that no channel can have, and when there is no such snapshot;
 *   NO_MIRROR when the channel to be removed does not exist; CONFIGURATION when something else has the name of the
 *   channel; BUSY while a sync runs.
 */
export async function promote(options: PromoteOptions): Promise<ChannelResult> {
  const { root, id: given, remove, hold, lock, hooks, signal, onEvent } = options;
  const channel = parseChannelName(options.to);
  const { layout } = openMirrorWithSnapshots(root);
  refuseContradiction(options);
  const failure = `the channel ${channel} of ${layout.root} could not be changed`;
  const session = { command: 'promote', failure, lock, hooks, signal, onEvent };
  // As it is named now: another snapshot may be published during the wait for the lock.
  const asked = snapshotMeant(layout, given ?? 'current');
  const { result } = await withWriter(layout, session, async (writer) => {
    if (remove) return removed(writer, channel);
    const id = asked ?? snapshotMeant(layout, given ?? 'current');
    refuseUnpublished(layout, id, given);
    await mayPointChannel(writer, channel, id);
    const settings = hold === undefined ? writer.settings : heldAt(writer, channel, hold);
    return moved(writer, settings, channel, id, 'promote');
  });
  return result;
}

/** Lets a channel name a snapshot, if it does not yet. */
export function moved(
  writer: Writer,
  settings: Settings,
  channel: string,
  id: string,
  by: 'promote' | 'rollback',
): ChannelResult {
  const before = channelAt(writer.layout, channel)?.id;
  if (before !== id) pointChannel(writer, channel, id, by);
  return resultOf(settings, channel, id, before);
}

export function resultOf(
  { channels, channelHolds }: Settings,
  channel: string,
  id: string | null,
  previous: string | undefined,
): ChannelResult {
  const hold = channelHolds?.[channel]?.reason ?? null;
  return { channel, id, previous: previous ?? null, hold, rule: channels?.[channel] ?? null };
}

/** Holds a channel. This comes before its move, so that after a crash no rule undoes that. */
export function heldAt(writer: Writer, channel: string, reason: string): Settings {
  const { layout, settings } = writer;
  const before = settings.channelHolds?.[channel];
  if (before !== undefined)
    writer.notice(`${channel} was ${describeHold(before)}; the new reason replaces that one`);
  const by = processUser(process.pid) ?? '?';
  return holdChannel(layout, channel, { reason, by, since: new Date().toISOString() });
}

/** The id that a word means: `current`, `previous`, a channel, or a snapshot; undefined if that is not there. */
export function snapshotMeant(layout: Layout, word: string): string | undefined {
  if (word === 'current') return currentId(layout);
  if (word === 'previous') return previousId(layout);
  const id = channelAt(layout, word)?.id ?? snapshotNamed(layout, word);
  return snapshotIds(layout).includes(id) ? id : undefined;
}

/** @throws MirrorlatchError USAGE */
export function refuseUnpublished(
  layout: Layout,
  id: string | undefined,
  given: string | undefined,
): asserts id is string {
  const at = quoteForSh(layout.root);
  const isThere = id !== undefined && snapshotIds(layout).includes(id);
  if (!isThere) {
    const what = given === undefined ? 'no snapshot yet' : `no snapshot ${JSON.stringify(given)}`;
    throw new MirrorlatchError('USAGE', `${layout.root} has ${what}`, {
      hint: `See what there is with: mirrorlatch list ${at}`,
    });
  }
  if (!isOfPerson(layout, readHistory(layout))(id)) return;
  throw new MirrorlatchError('USAGE', `${id} was not made by mirrorlatch: no channel can name it`, {
    hint: `To make it a snapshot like the others, publish it: mirrorlatch rollback ${at} ${quoteForSh(id)}`,
  });
}

function removed(writer: Writer, channel: string): ChannelResult {
  const { layout, settings } = writer;
  const found = channelAt(layout, channel);
  if (found === undefined) throw noChannel(layout, channel);
  if (settings.channels?.[channel] !== undefined) {
    throw new MirrorlatchError('USAGE', `${channel} has a rule, which would make it again`, {
      hint: `End the rule first: mirrorlatch init ${quoteForSh(layout.root)} --channel ${channel}=none`,
    });
  }
  const isHeld = settings.channelHolds?.[channel] !== undefined;
  const left = isHeld ? holdChannel(layout, channel, undefined) : settings;
  takeAway(writer, found);
  return resultOf(left, channel, null, found.id);
}

function refuseContradiction({ id, hold, remove = false }: PromoteOptions): void {
  const given = id === undefined ? '--hold' : 'a snapshot';
  if (remove && (id !== undefined || hold !== undefined)) {
    throw new MirrorlatchError('USAGE', `--remove cannot be combined with ${given}`, {
      hint: 'It takes the channel away, whatever it names.',
    });
  }
  refuseEmptyReason(hold);
}

/** @throws MirrorlatchError USAGE */
export function refuseEmptyReason(hold: string | undefined): void {
  if (hold?.trim() !== '') return;
  throw new MirrorlatchError('USAGE', 'the reason of --hold is empty', {
    hint: "Say why, for those who find the mirror held: --hold 'the upstream is broken'",
  });
}
