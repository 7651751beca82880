import type { Command } from 'commander';
import { EXIT_CODES } from '../../errors.ts';
import type { Reader } from '../../mirror/locks/readers.ts';
import { showBytes } from '../../mirror/units.ts';
import type { PrunePlan } from '../../operations/prune.ts';
import type { PruneResult } from '../../writer/pruning.ts';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { MirrorArgument } from '../mirror-names.ts';
import { addOptions } from '../options/group.ts';
import { LOCK, type LockFlags } from '../options/lock.ts';
import { RETENTION, type RetentionFlags } from '../options/retention.ts';
import { printJson, printLine } from '../output.ts';
import { describeReaders } from '../readers.ts';
import { printTable } from '../table.ts';
import { createReporter, printWarning } from '../terminal.ts';
import { showAge } from '../units.ts';

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
    .addArgument(new MirrorArgument());
  addOptions(command, RETENTION, LOCK)
    .option('-n, --dry-run', 'print what would happen to each snapshot and why, and remove nothing')
    .option('--json', 'print one object about the result')
    .addHelpText(
      'after',
      helpAfter(
        ['mirrorlatch prune /srv/mirror/debian --keep-last 7 --keep-within 30d --grace 24h'],
        ['USAGE', 'NO_MIRROR', 'BUSY', 'PERMISSION', 'CONFIGURATION', 'IO'],
      ),
    )
    .action(async (root: string, flags: Flags) => {
      const { planPrune, prune } = await import('../../operations/prune.ts');
      const { onEvent } = createReporter(flags.json ? 'quiet' : 'normal');
      const options = { root, retention: RETENTION.read(flags), onEvent };
      if (flags.dryRun) {
        const plan = planPrune(options);
        if (flags.json) printJson(plan);
        else printPlan(plan);
        if (plan.failed.length > 0) context.setExitCode(EXIT_CODES.IO);
        return;
      }
      const { list } = await import('../../operations/list.ts');
      const order = flags.json ? [] : list(root).map(({ id }) => id);
      const lock = LOCK.read(flags);
      const result = await prune({ ...options, lock, signal: context.signal() });
      if (flags.json) printJson(result);
      else printResult(result, order);
      if (result.failed.length > 0) context.setExitCode(EXIT_CODES.IO);
    });
}

function printPlan({ snapshots }: PrunePlan): void {
  if (snapshots.length === 0) {
    printLine('there is no snapshot yet');
    return;
  }
  printTable(
    ['SNAPSHOT', 'AGE', 'SIZE', 'FATE', 'WHY'],
    snapshots.map(({ id, publishedAt, bytes, fate, reasons, readers }) => [
      id,
      showAge(publishedAt),
      showBytes(bytes),
      fate === 'stuck' ? 'cannot be removed' : fate,
      describeReasons(reasons, readers),
    ]),
  );
}

function describeReasons(reasons: readonly string[], readers: readonly Reader[]): string {
  return [reasons.join(', '), describeReaders(readers)].filter((text) => text !== '').join(': ');
}

/** @param order the ids as `list` has them. */
function printResult({ removed, failed, kept }: PruneResult, order: readonly string[]): void {
  // A snapshot that was published meanwhile is the last.
  const place = (id = '') => order.indexOf(id) + 1 || order.length + 1;
  const rows = [
    ...removed.map((id) => [id, 'removed', '']),
    ...failed.map(({ id }) => [id, 'cannot be removed', '']),
    ...kept.map(({ id, reasons, readers }) => [id, 'kept', describeReasons(reasons, readers)]),
  ].sort(([a], [b]) => place(a) - place(b));
  if (rows.length === 0) printLine('there is no snapshot yet');
  else printTable(['SNAPSHOT', 'FATE', 'WHY'], rows);
  for (const { message } of failed) printWarning(message);
}
