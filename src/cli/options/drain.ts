import { Option } from 'commander';
import { showDuration } from '../../config/values.ts';
import {
  AFTER_DRAIN,
  DEFAULT_DRAIN,
  type DrainPolicy,
  type Given,
} from '../../mirror/settings/policy.ts';
import { duration } from '../values.ts';
import type { OptionGroup } from './group.ts';

export interface DrainFlags {
  /** ms */
  drain?: number;
  afterDrain?: DrainPolicy['afterDrain'];
}

/** What a writer does about the readers inside an in-place mirror. */
export const DRAIN: OptionGroup<DrainFlags, Given<DrainPolicy>> = {
  options: [
    new Option(
      '--drain <duration>',
      `in place: how long to wait until the readers inside have left (default: ${showDuration(DEFAULT_DRAIN.drainMs)})`,
    ).argParser(duration),
    new Option(
      '--after-drain <policy>',
      `in place: what to do if they have not left by then (default: ${DEFAULT_DRAIN.afterDrain})`,
    ).choices(AFTER_DRAIN),
  ],
  read: ({ drain, afterDrain }) => ({ drainMs: drain, afterDrain }),
};
