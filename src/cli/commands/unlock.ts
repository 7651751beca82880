import type { Command } from 'commander';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { LOCK, STALE_AFTER } from '../options/lock.ts';
import { printJson, printLine } from '../output.ts';

export function addUnlock(program: Command, context: CommandContext): void {
  program
    .command('unlock')
    .summary('remove a lock that nobody holds')
    .description(
      'Removes the lock of a holder that is gone, and repairs the gate that it left closed. Refuses to remove any other.',
    )
    .argument('<ROOT>')
    .addOption(STALE_AFTER)
    .option('--json', 'print one object about the result')
    .addHelpText(
      'after',
      helpAfter(
        ['mirrorlatch unlock /srv/mirror/debian'],
        ['USAGE', 'NO_MIRROR', 'BUSY', 'PERMISSION', 'CONFIGURATION', 'IO'],
      ),
    )
    .action(async (root: string, flags: { staleAfter?: number; json?: boolean }) => {
      const { unlock } = await import('../../operations/unlock.ts');
      const result = await unlock({ root, lock: LOCK.read(flags), signal: context.signal() });
      if (flags.json) printJson(result);
      else if (result.removed.kind === 'free') printLine('nobody held the lock');
      else printLine(`removed the lock: ${result.message}`);
    });
}
