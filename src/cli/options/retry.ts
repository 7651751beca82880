import { Option } from 'commander';
import { showDuration } from '../../config/values.ts';
import { DEFAULT_RETRY, type Given, type RetryPolicy } from '../../mirror/settings/policy.ts';
import { count, duration } from '../values.ts';
import type { OptionGroup } from './group.ts';

export interface RetryFlags {
  retries?: number;
  /** ms */
  retryDelay?: number;
}

/** @param failure what is followed by another try, such as `COMMAND fails`. */
export function retryAfter(failure: string): OptionGroup<RetryFlags, Given<RetryPolicy>> {
  const { retries, delayMs } = DEFAULT_RETRY;
  return {
    options: [
      new Option(
        '--retries <n>',
        `how often to try again when ${failure} (default: ${retries})`,
      ).argParser(count(0)),
      new Option(
        '--retry-delay <duration>',
        `the pause before the first retry, doubled each time (default: ${showDuration(delayMs)})`,
      ).argParser(duration),
    ],
    read: (flags) => ({ retries: flags.retries, delayMs: flags.retryDelay }),
  };
}

/** For a sync. */
export const RETRY = retryAfter('the source or the network fails');
