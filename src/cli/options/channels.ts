import { Option } from 'commander';
import { showDuration } from '../../config/values.ts';
import type { ChannelRule } from '../../mirror/settings/policy.ts';
import type { GivenRules } from '../../mirror/settings/settings.ts';
import { channelRules } from '../values.ts';
import type { OptionGroup } from './group.ts';

export interface ChannelFlags {
  channel?: GivenRules;
}

/** `testing after 7d`, as `readChannelRule` reads it. */
export function showRule({ from, afterMs }: ChannelRule): string {
  return afterMs === 0 ? from : `${from} after ${showDuration(afterMs)}`;
}

/** By which rules channels move. */
export const CHANNELS: OptionGroup<ChannelFlags, GivenRules | undefined> = {
  options: [
    new Option(
      '--channel <rule>',
      "let a channel follow current or another channel, such as 'production=testing after 7d'; none ends its rule; may be repeated",
    ).argParser(channelRules),
  ],
  read: ({ channel }) => channel,
};
