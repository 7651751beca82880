import { Option } from 'commander';
import { showDuration } from '../../config/values.ts';
import { DEFAULT_LOCK, type Given, type LockPolicy } from '../../mirror/settings/policy.ts';
import { duration } from '../values.ts';
import type { OptionGroup } from './group.ts';

export interface LockFlags {
  /** ms; false for --no-wait. */
  wait?: number | boolean;
  staleAfter?: number;
}

const STALE_AFTER = new Option(
  '--stale-after <duration>',
  `take over another host's lock after this long without a heartbeat (default: ${showDuration(DEFAULT_LOCK.staleAfterMs)})`,
).argParser(duration);

/** How the writer's lock is taken. */
export const LOCK: OptionGroup<LockFlags, Given<LockPolicy>> = {
  options: [
    new Option(
      '--wait <duration>',
      'how long to wait for another writer; also ends processes that a killed sync left',
    ).argParser(duration),
    new Option('--no-wait', 'do not wait (default)'),
    STALE_AFTER,
  ],
  read: ({ wait, staleAfter }) => ({
    waitMs: typeof wait === 'number' ? wait : undefined,
    staleAfterMs: staleAfter,
  }),
};
