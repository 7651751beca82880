import { type Command, Option } from 'commander';
import { duration } from '../values.ts';

export interface DrainFlags {
  /** ms. */
  drain?: number;
  afterDrain?: 'give-up' | 'go-on';
}

/** How whoever writes to a mirror in place deals with its readers. */
export function addDrainOptions(command: Command): Command {
  return command
    .option(
      '--drain <duration>',
      'in place: how long to wait for the readers that are inside (default: 5m)',
      duration,
    )
    .addOption(
      new Option('--after-drain <policy>', 'in place: what to do then (default: give-up)').choices([
        'give-up',
        'go-on',
      ]),
    );
}
