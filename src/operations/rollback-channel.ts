import { MirrorlatchError } from '../errors.ts';
import { channelAt, noChannel } from '../mirror/channels/channels.ts';
import { readHistory } from '../mirror/history/history.ts';
import { indexOf } from '../mirror/history/history-index.ts';
import { lineagesOf } from '../mirror/history/lineage.ts';
import { describeHold, holdChannel } from '../mirror/settings/settings.ts';
import { snapshotIds } from '../mirror/survey.ts';
import { quoteForSh } from '../system/quote.ts';
import { mayPointChannel } from '../writer/channels.ts';
import type { Writer } from '../writer/writer.ts';
import {
  type ChannelResult,
  heldAt,
  moved,
  refuseUnpublished,
  resultOf,
  snapshotMeant,
} from './promote.ts';

interface ChannelRollback {
  channel: string;
  /** By default what the channel named before, without what it has gone back from. */
  id?: string | undefined;
  hold?: string | undefined;
  release?: boolean | undefined;
}

/**
 * Points a channel at an earlier snapshot; a second time goes further back, not forth.
 *
 * @throws MirrorlatchError NO_MIRROR when there is no such channel, USAGE when there is nothing to go back to, HELD
 *   for a held channel without `id`, `hold` or `release`.
 */
export async function rollbackChannel(
  writer: Writer,
  options: ChannelRollback,
): Promise<ChannelResult> {
  const { layout, settings } = writer;
  const { channel, id: given, hold, release } = options;
  const now = channelAt(layout, channel)?.id;
  if (now === undefined) throw noChannel(layout, channel);
  if (release) return released(writer, channel, now);
  if (given === undefined && hold === undefined) refuseToGuess(writer, channel);
  const id = given === undefined ? targetOf(writer, options, now) : snapshotMeant(layout, given);
  refuseUnpublished(layout, id, given);
  await mayPointChannel(writer, channel, id);
  const left = hold === undefined ? settings : heldAt(writer, channel, hold);
  return moved(writer, left, channel, id, 'rollback');
}

/** What the channel named before is what the hold is to keep readers from. */
function refuseToGuess({ layout, settings }: Writer, channel: string): void {
  const hold = settings.channelHolds?.[channel];
  if (hold === undefined) return;
  const again = `mirrorlatch rollback ${quoteForSh(layout.root)} --channel ${channel}`;
  throw new MirrorlatchError(
    'HELD',
    `${channel} is ${describeHold(hold)}; a rollback would leave what it is held at`,
    {
      hint: `To go to another snapshot, name it: ${again} ID. To end the hold: ${again} --release`,
    },
  );
}

function targetOf(writer: Writer, { channel, hold }: ChannelRollback, now: string): string {
  const { layout, settings } = writer;
  const history = readHistory(layout);
  const last = indexOf(history).moves.get(channel)?.at(-1);
  const wentBack = last?.event === 'promoted' && last.by === 'rollback';
  // Whoever holds a channel that has just gone back means it to stay there.
  if (hold !== undefined && (wentBack || settings.channelHolds?.[channel] !== undefined))
    return now;
  const there = snapshotIds(layout);
  const before = (lineagesOf(history, Date.now()).get(channel) ?? []).filter(
    ({ id }) => id !== now,
  );
  const target = before.findLast(({ id }) => there.includes(id))?.id;
  if (target === undefined) {
    const at = quoteForSh(layout.root);
    throw new MirrorlatchError(
      'USAGE',
      `${channel} of ${layout.root} has named no other snapshot that is still there`,
      {
        hint: `Name one from: mirrorlatch list ${at}, with: mirrorlatch rollback ${at} --channel ${channel} ID`,
      },
    );
  }
  const latest = before.at(-1)?.id;
  if (latest !== target)
    writer.notice(
      `${latest}, which ${channel} named before, is gone; ${target} is the latest before it`,
    );
  return target;
}

function released(writer: Writer, channel: string, id: string): ChannelResult {
  const { layout, settings } = writer;
  const hold = settings.channelHolds?.[channel];
  writer.notice(
    hold === undefined
      ? `there was no hold on ${channel}`
      : `this ends the hold: ${channel} was ${describeHold(hold)}`,
  );
  return resultOf(holdChannel(layout, channel, undefined), channel, id, id);
}
