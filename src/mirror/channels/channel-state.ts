import { type HistoryEntry, readHistory } from '../history/history.ts';
import type { Layout } from '../layout.ts';
import type { Settings } from '../settings/records.ts';
import { snapshotIds } from '../survey.ts';
import { type ChannelPlan, planChannels } from './channel-plan.ts';
import { channelsOf } from './channels.ts';

interface ChannelPlanOptions {
  history?: readonly HistoryEntry[] | undefined;
  /** The channels that are not to be moved, though nobody holds them. */
  staying?: readonly string[] | undefined;
}

/** What the rules of a mirror say now: see `planChannels`. Without rules nothing is read. */
export function channelPlan(
  layout: Layout,
  { channels: rules, channelHolds = {} }: Pick<Settings, 'channels' | 'channelHolds'>,
  { history, staying = [] }: ChannelPlanOptions = {},
): ChannelPlan {
  if (rules === undefined) return { moves: [], promises: [] };
  const channels = channelsOf(layout);
  return planChannels({
    rules,
    held: [...Object.keys(channelHolds), ...staying],
    history: history ?? readHistory(layout),
    present: snapshotIds(layout),
    named: new Map(channels.map(({ name, id }) => [name, id])),
    now: Date.now(),
  });
}
