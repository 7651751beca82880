import type { Command } from 'commander';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { addOptions } from '../options/group.ts';
import { LOCK, type LockFlags } from '../options/lock.ts';
import { printJson, printLine } from '../output.ts';
import { createReporter } from '../terminal.ts';

export function addRollback(program: Command, context: CommandContext): void {
  const command = program
    .command('rollback')
    .summary('point current at an earlier snapshot')
    .description('Points current at an earlier snapshot, in one rename, as a sync does.')
    .argument('<ROOT>')
    .argument('[ID]', 'the snapshot (default: the previous one)');
  addOptions(command, LOCK)
    .option('--json', 'print one object about the result')
    .addHelpText(
      'after',
      helpAfter(
        [
          'mirrorlatch rollback /srv/mirror/debian',
          'mirrorlatch rollback /srv/mirror/debian 20261122T030000Z',
        ],
        ['USAGE', 'NO_MIRROR', 'BUSY', 'PERMISSION', 'CONFIGURATION', 'IO'],
      ),
    )
    .action(async (root: string, id: string | undefined, flags: LockFlags & { json?: boolean }) => {
      const { rollback } = await import('../../operations/rollback.ts');
      const { onEvent } = createReporter(flags.json ? 'quiet' : 'brief');
      const lock = LOCK.read(flags);
      const result = await rollback({ root, id, lock, signal: context.signal(), onEvent });
      if (flags.json) printJson(result);
      else if (result.id === result.previous) printLine(`current is already ${result.id}`);
      else printLine(`current is now ${result.id}; it was ${result.previous}`);
    });
}
