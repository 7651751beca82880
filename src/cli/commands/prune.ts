import type { Command } from 'commander';
import type { PruneResult } from '../../operations/prune.ts';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { printJson, printLine } from '../output.ts';
import { printTable } from '../table.ts';
import { duration } from '../values.ts';
import { describeReaders } from './list.ts';
import { addRetentionOptions, type RetentionFlags } from '../options/retention.ts';

interface Flags extends RetentionFlags {
  dryRun?: boolean;
  wait?: number;
  json?: boolean;
}

export function addPrune(program: Command, context: CommandContext): void {
  addRetentionOptions(
    program
      .command('prune')
      .summary('remove old snapshots that nobody reads')
      .description(
        'Removes the snapshots that no rule keeps: never current, previous, or one that is read.',
      )
      .argument('<ROOT>'),
  )
    .option('-n, --dry-run', 'only tell what would go')
    .option('--wait <duration>', 'wait for another writer', duration)
    .option('--json', 'print one object about the result')
    .addHelpText(
      'after',
      helpAfter(
        ['mirrorlatch prune /srv/mirror/debian --keep-last 7 --keep-within 30d --grace 24h'],
        ['USAGE', 'NO_MIRROR', 'BUSY', 'PERMISSION', 'CONFIGURATION', 'IO'],
      ),
    )
    .action(async (root: string, flags: Flags) => {
      const { prune } = await import('../../operations/prune.ts');
      const result = await prune({
        root,
        keepLast: flags.keepLast,
        keepWithinMs: flags.keepWithin,
        graceMs: flags.grace,
        dryRun: flags.dryRun,
        waitMs: flags.wait,
        signal: context.signal(),
      });
      if (flags.json) printJson(result);
      else printResult(result, flags.dryRun === true);
    });
}

function printResult({ removed, kept }: PruneResult, dryRun: boolean): void {
  const fate = dryRun ? 'would go' : 'removed';
  const rows = [
    ...removed.map((id) => [id, fate, '']),
    ...kept.map(({ id, reasons, readers }) => [
      id,
      'kept',
      [reasons.join(', '), describeReaders(readers)].filter((text) => text !== '').join(': '),
    ]),
  ].sort(([a = ''], [b = '']) => a.localeCompare(b));
  if (rows.length === 0) printLine('there is no snapshot yet');
  else printTable(['SNAPSHOT', 'FATE', 'WHY'], rows);
}
