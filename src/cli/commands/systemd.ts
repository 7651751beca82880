import type { Command } from 'commander';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { printCode, printLine } from '../output.ts';
import { printWarning } from '../terminal.ts';

interface Flags {
  all?: boolean;
  user?: string;
  install?: boolean;
  directory: string;
}

export function addSystemd(program: Command, context: CommandContext): void {
  program
    .command('systemd')
    .summary('print or install the units that sync mirrors of the configuration')
    .description(
      'Prints the timers and services of systemd that sync mirrors of the configuration, or installs and starts them.',
    )
    .argument('[NAME...]', 'mirrors of the configuration')
    .option('--all', 'all of them')
    .option('--install', 'write the units, and start their timers')
    .option('--user <name>', 'the user that syncs them (default: the owner of each mirror)')
    .option('--directory <DIR>', 'where units are installed', '/etc/systemd/system')
    .addHelpText(
      'after',
      helpAfter(
        ['mirrorlatch systemd debian', 'mirrorlatch systemd --all --install'],
        ['USAGE', 'NO_MIRROR', 'PERMISSION', 'CONFIGURATION', 'IO', 'UNAVAILABLE'],
      ),
    )
    .action(async (names: string[], { all = false, user, install, directory }: Flags) => {
      const { programPlace, scheduledMirrors } = await import('../scheduled-mirrors.ts');
      const { unitsFor } = await import('../../scheduling/systemd-units.ts');
      const configuration = await context.configuration();
      const mirrors = scheduledMirrors(configuration, { names, all, user });
      const place = programPlace(configuration.given);
      const units = mirrors.flatMap((mirror) => unitsFor(mirror, place));
      if (!install) {
        for (const { name, text } of units) printCode(`# ${directory}/${name}\n${text}`);
        return;
      }
      const { installUnits } = await import('../../scheduling/install-units.ts');
      const { written, isStarted } = await installUnits(units, directory);
      for (const path of written) printLine(path);
      if (!isStarted)
        printWarning('systemd does not run here, so the units were written, but not started');
    });
}
