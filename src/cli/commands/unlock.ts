import type { Command } from 'commander';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { MirrorArgument } from '../mirror-names.ts';
import { addOptions } from '../options/group.ts';
import { LOCK, type LockFlags } from '../options/lock.ts';
import { printJson, printLine } from '../output.ts';
import { createReporter } from '../terminal.ts';

export function addUnlock(program: Command, context: CommandContext): void {
  const command = program
    .command('unlock')
    .summary('remove a lock that nobody holds')
    .description(
      'Removes the lock of a holder that is gone, and repairs the gate that it left closed. Refuses to remove any other.',
    )
    .addArgument(new MirrorArgument());
  addOptions(command, LOCK)
    .option('--quiet', 'say nothing if nobody held the lock')
    .option('--json', 'print one object about the result')
    .addHelpText(
      'after',
      helpAfter(
        [
          'mirrorlatch unlock /srv/mirror/debian',
          'mirrorlatch unlock /srv/mirror/debian --quiet      # after each sync, from systemd',
        ],
        ['USAGE', 'NO_MIRROR', 'BUSY', 'PERMISSION', 'CONFIGURATION', 'IO'],
      ),
    )
    .action(async (root: string, flags: LockFlags & { quiet?: boolean; json?: boolean }) => {
      const { unlock } = await import('../../operations/unlock.ts');
      const { onEvent } = createReporter(flags.json ? 'quiet' : 'normal');
      const lock = LOCK.read(flags);
      const result = await unlock({ root, lock, signal: context.signal(), onEvent });
      if (flags.json) printJson(result);
      else if (result.removed.kind !== 'free') printLine(`removed the lock: ${result.message}`);
      else if (!flags.quiet) printLine('nobody held the lock');
    });
}
