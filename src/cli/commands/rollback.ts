import type { Command } from 'commander';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { printJson, printLine } from '../output.ts';
import { duration } from '../values.ts';

export function addRollback(program: Command, context: CommandContext): void {
  program
    .command('rollback')
    .summary('point current at an earlier snapshot')
    .description('Points current at an earlier snapshot, in one rename, as a sync does.')
    .argument('<ROOT>')
    .argument('[ID]', 'the snapshot (default: the previous one)')
    .option('--wait <duration>', 'wait for another writer', duration)
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
    .action(
      async (root: string, id: string | undefined, flags: { wait?: number; json?: boolean }) => {
        const { rollback } = await import('../../operations/rollback.ts');
        const result = await rollback({ root, id, waitMs: flags.wait, signal: context.signal() });
        if (flags.json) printJson(result);
        else if (result.id === result.previous) printLine(`current is ${result.id} already`);
        else printLine(`current is ${result.id} now; it was ${result.previous}`);
      },
    );
}
