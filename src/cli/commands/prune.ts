import type { Command } from 'commander';
import { EXIT_CODES } from '../../errors.ts';
import type { PruneResult } from '../../writer/pruning.ts';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { MirrorArgument } from '../mirror-names.ts';
import { addOptions } from '../options/group.ts';
import { LOCK, type LockFlags } from '../options/lock.ts';
import { RETENTION, type RetentionFlags } from '../options/retention.ts';
import { printJson, printLine } from '../output.ts';
import { printTable } from '../table.ts';
import { createReporter, printWarning } from '../terminal.ts';
import { describeReaders } from './list.ts';

interface Flags extends LockFlags, RetentionFlags {
  dryRun?: boolean;
  json?: boolean;
}

export function addPrune(program: Command, context: CommandContext): void {
  const command = program
    .command('prune')
    .summary('remove old snapshots that nobody reads')
    .description(
      'Removes the snapshots that no retention rule keeps, but never current, previous, or a snapshot that is being read.',
    )
    .addArgument(new MirrorArgument('<ROOT>'));
  addOptions(command, RETENTION, LOCK)
    .option('-n, --dry-run', 'print what would be removed, and remove nothing')
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
      const { list } = await import('../../operations/status.ts');
      const order = flags.json ? [] : list(root).map(({ id }) => id);
      const result = await prune({
        root,
        retention: RETENTION.read(flags),
        dryRun: flags.dryRun,
        lock: LOCK.read(flags),
        signal: context.signal(),
        onEvent: createReporter(flags.json ? 'quiet' : 'normal').onEvent,
      });
      if (flags.json) printJson(result);
      else printResult(result, order, flags.dryRun === true);
      if (result.failed.length > 0) context.setExitCode(EXIT_CODES.IO);
    });
}

/** @param order the ids as `list` has them. */
function printResult(
  { removed, failed, kept }: PruneResult,
  order: readonly string[],
  dryRun: boolean,
): void {
  // A snapshot that was published meanwhile is the last.
  const place = (id = '') => order.indexOf(id) + 1 || order.length + 1;
  const fate = dryRun ? 'would be removed' : 'removed';
  const rows = [
    ...removed.map((id) => [id, fate, '']),
    ...failed.map(({ id }) => [id, 'cannot be removed', '']),
    ...kept.map(({ id, reasons, readers }) => [
      id,
      'kept',
      [reasons.join(', '), describeReaders(readers)].filter((text) => text !== '').join(': '),
    ]),
  ].sort(([a], [b]) => place(a) - place(b));
  if (rows.length === 0) printLine('there is no snapshot yet');
  else printTable(['SNAPSHOT', 'FATE', 'WHY'], rows);
  for (const { message } of failed) printWarning(message);
}
