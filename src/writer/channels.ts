import { MirrorlatchError } from '../errors.ts';
import type { PlannedMove } from '../mirror/channels/channel-plan.ts';
import { channelPlan } from '../mirror/channels/channel-state.ts';
import { type Channel, channelAt } from '../mirror/channels/channels.ts';
import { appendHistory, publicationOf, readHistory } from '../mirror/history/history.ts';
import type { HistoryEntry } from '../mirror/history/history-line.ts';
import type { Layout } from '../mirror/layout.ts';
import { moveChannel, removeChannel } from '../mirror/publication.ts';
import { lstatIfThere } from '../system/files.ts';
import { quoteForSh } from '../system/quote.ts';
import { describeAnyway } from './anyway.ts';
import type { HookSubject } from './hooks.ts';
import type { Writer } from './writer.ts';

/**
 * Finds out whether `pointChannel` may let a channel name a snapshot; call it before anything is changed for that.
 *
 * @throws MirrorlatchError CONFIGURATION when something else has its name; HOOK_FAILED.
 */
export async function mayPointChannel(writer: Writer, channel: string, id: string): Promise<void> {
  const { layout, hooks } = writer;
  refuseInTheWay(layout, channel);
  const previous = channelAt(layout, channel)?.id;
  if (previous === id) return;
  await hooks.before('before-publish', subjectOf(writer, channel, id, previous), writer);
}

/**
 * Lets a channel name a snapshot, which it does not name yet. Call `mayPointChannel` first.
 *
 * @returns what it named until now.
 */
export function pointChannel(
  writer: Writer,
  channel: string,
  id: string,
  by: Extract<HistoryEntry, { event: 'promoted' }>['by'],
): string | undefined {
  const { layout, lock, signal } = writer;
  signal.throwIfAborted();
  const previous = channelAt(layout, channel)?.id;
  writer.enter('publishing');
  writer.recordPublication(moveChannel(layout, lock, channel, id, previous, by));
  writer.hooks.after('after-publish', subjectOf(writer, channel, id, previous));
  const anyway = describeAnyway(publicationOf(readHistory(layout), id)?.checked);
  if (anyway !== undefined)
    writer.onEvent({ kind: 'problem', message: `${id}, which ${channel} names now, ${anyway}` });
  return previous;
}

function subjectOf(
  { layout }: Writer,
  channel: string,
  id: string,
  previous: string | undefined,
): HookSubject {
  return { channel, id, previous: previous ?? null, tree: layout.snapshot(id) };
}

/** Takes a channel away. */
export function takeAway(writer: Writer, { name, id }: Channel): void {
  const { layout, lock, signal } = writer;
  signal.throwIfAborted();
  writer.enter('publishing');
  writer.recordPublication(removeChannel(layout, lock, name, id));
}

/**
 * Moves the channels that their rules move now. What was published is no failure for that: a channel that could not be
 * moved is, by the next command. It keeps none from its move but those that follow it.
 */
export async function followRules(writer: Writer): Promise<void> {
  const { layout, settings, signal } = writer;
  const tried: string[] = [];
  try {
    for (;;) {
      const [move] = channelPlan(layout, settings, { staying: tried }).moves;
      if (move === undefined) return;
      tried.push(move.channel);
      await follow(writer, move).catch((error: unknown) => {
        signal.throwIfAborted();
        writer.reportProblem(error, NOT_MOVED);
        recordRefusal(writer, move, error);
      });
    }
  } catch (error) {
    writer.reportProblem(error, NOT_MOVED);
  }
}

const NOT_MOVED = 'a channel could not be moved by its rule';

async function follow(writer: Writer, { channel, id }: PlannedMove): Promise<void> {
  await mayPointChannel(writer, channel, id);
  pointChannel(writer, channel, id, 'rule');
  writer.notice(`${channel} is now ${id}, by its rule`);
}

/** That a hook keeps a channel from its move, night after night, is nowhere else to be seen. */
function recordRefusal({ layout }: Writer, { channel, id }: PlannedMove, error: unknown): void {
  if (!(error instanceof MirrorlatchError) || error.code !== 'HOOK_FAILED') return;
  const at = new Date().toISOString();
  const { message } = error;
  const about = { phase: 'before-publish', snapshot: id, channel } as const;
  appendHistory(layout, { event: 'hook-failed', at, ...about, message });
}

/** @throws MirrorlatchError CONFIGURATION when what has the name of a channel is none. */
function refuseInTheWay(layout: Layout, channel: string): void {
  const path = layout.channel(channel);
  if (lstatIfThere(path) === undefined || channelAt(layout, channel) !== undefined) return;
  const [from, to] = [path, `${path}.old`].map(quoteForSh);
  throw new MirrorlatchError('CONFIGURATION', `${path} is no channel, and is left alone`, {
    hint: `Choose another name, or move it away with: mv -T ${from} ${to}`,
  });
}
