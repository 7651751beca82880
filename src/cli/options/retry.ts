import { Option } from 'commander';
import { DEFAULT_RETRY, type Given, type RetryPolicy } from '../../mirror/policy.ts';
import { showDuration } from '../units.ts';
import { count, duration } from '../values.ts';
import type { OptionGroup } from './group.ts';

export interface RetryFlags {
  retries?: number;
  /** ms */
  retryDelay?: number;
}

/** What a sync does when the source or the network fails. */
export const RETRY: OptionGroup<RetryFlags, Given<RetryPolicy>> = {
  options: [
    new Option(
      '--retries <n>',
      `how often to try again when the source or the network fails (default: ${DEFAULT_RETRY.retries})`,
    ).argParser(count(0)),
    new Option(
      '--retry-delay <duration>',
      `the pause before the first retry, doubled each time (default: ${showDuration(DEFAULT_RETRY.delayMs)})`,
    ).argParser(duration),
  ],
  read: ({ retries, retryDelay }) => ({ retries, delayMs: retryDelay }),
};
