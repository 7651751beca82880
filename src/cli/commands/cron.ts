import type { Command } from 'commander';
import { EXIT_CODES } from '../../errors.ts';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { printCode } from '../output.ts';
import { printWarning } from '../terminal.ts';

interface Flags {
  all?: boolean;
  user?: string;
  own?: boolean;
}

export function addCron(program: Command, context: CommandContext): void {
  program
    .command('cron')
    .summary('print the lines of a crontab that sync mirrors of the configuration')
    .description(
      'Prints a file for /etc/cron.d that syncs mirrors of the configuration when their schedule says.',
    )
    .argument('[NAME...]', 'mirrors of the configuration')
    .option('--all', 'all of them')
    .option('--user <name>', 'the user that syncs them (default: the owner of each mirror)')
    .option('--own', 'print lines for the crontab of a user, which name none')
    .addHelpText(
      'after',
      helpAfter(
        ['mirrorlatch cron --all >/etc/cron.d/mirrorlatch', 'mirrorlatch cron debian --own'],
        ['USAGE', 'NO_MIRROR', 'CONFIGURATION'],
      ),
    )
    .action(async (names: string[], { all = false, user, own = false }: Flags) => {
      const { programPlace, scheduledMirrors } = await import('../scheduled-mirrors.ts');
      const { crontabFor } = await import('../../scheduling/crontab.ts');
      const configuration = await context.configuration();
      const mirrors = scheduledMirrors(configuration, { names, all, user });
      const place = programPlace(configuration.given);
      const { lines, refused } = crontabFor(mirrors, place, { withUser: !own });
      printCode(lines.join('\n'));
      for (const { name, schedule } of refused)
        printWarning(
          `cron has no line for the schedule ${JSON.stringify(schedule)} of ${name}, which is left out; systemd has: mirrorlatch systemd ${name}`,
        );
      if (refused.length > 0) context.setExitCode(EXIT_CODES.CONFIGURATION);
    });
}
