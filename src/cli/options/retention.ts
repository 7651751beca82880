import type { Command } from 'commander';
import { count, duration } from '../values.ts';

export interface RetentionFlags {
  keepLast?: number;
  keepWithin?: number;
  grace?: number;
}

/** The rules by which old snapshots stay, the same wherever they are given. */
export function addRetentionOptions(command: Command): Command {
  return command
    .option('--keep-last <n>', 'keep the newest so many snapshots (default: 3)', count(1))
    .option('--keep-within <duration>', 'keep those published within this time', duration)
    .option(
      '--grace <duration>',
      'keep those that stopped being current less than this ago (default: 24h)',
      duration,
    );
}
