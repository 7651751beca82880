import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { MirrorlatchError } from '../../errors.ts';
import { readableName } from '../../mirror/names.ts';
import type { ShimsResult } from '../../reader/shim-files.ts';
import { IF_UNAVAILABLE, type IfUnavailable } from '../../reader/shims.ts';
import { isExecutable } from '../../system/file-access.ts';
import { quoteForSh } from '../../system/quote.ts';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { aliasGroups } from '../options/configured-aliases.ts';
import { addGuardOptions, type GuardFlags, guardOptions } from '../options/guard.ts';
import { printJson, printLine } from '../output.ts';
import { printTable } from '../table.ts';
import { printWarning } from '../terminal.ts';

type ShimsFlags = GuardFlags & { ifUnavailable: IfUnavailable; json?: boolean };

export function addShims(program: Command, context: CommandContext): void {
  addGuardOptions(
    program
      .command('shims')
      .summary('write executables that guard commands of the same names')
      .description(
        'Writes small executables into a directory that you put first in PATH: that of sudo (secure_path), ' +
          'cron, systemd units or scripts. Each runs the command of the same name, guarded.',
      )
      .argument('<DIR>', 'the directory; made if it is missing')
      .argument('[COMMAND...]', 'the commands that read the mirror; with --remove, all by default'),
  )
    .addOption(
      new Option('--if-unavailable <what>', 'if the mirror is not there: fail, or run unguarded')
        .choices(IF_UNAVAILABLE)
        .default(IF_UNAVAILABLE[0]),
    )
    .option('--json', 'print one object about the result')
    .addHelpText(
      'after',
      helpAfter(
        [
          'mirrorlatch shims /usr/local/lib/mirrorlatch/bin --mirror /srv/mirror/debian apt-get apt',
          'mirrorlatch shims /usr/local/lib/mirrorlatch/bin --http http://mirror.example.org/debian/current/ apt-get apt',
          'mirrorlatch shims /usr/local/lib/mirrorlatch/bin --remove',
        ],
        ['USAGE', 'PERMISSION', 'CONFIGURATION', 'IO'],
        'A shim passes on the exit code of the command. It also exits with 75 and 125 as run does, and\n' +
          'with 127 if there is no such command.',
      ),
    )
    .action(async (directory: string, named: string[], flags: ShimsFlags) => {
      const { removeShims, writeShims } = await import('../../reader/shim-files.ts');
      const commands = [...named, ...context.operands];
      refuseCommandAsDirectory(directory, commands, flags.mirror);
      if (flags.remove) {
        report(removeShims(directory, commands), flags);
        return;
      }
      const { chooseGuard } = await import('../../reader/choose-guard.ts');
      const onWarning = flags.json ? undefined : printWarning;
      const groups = await aliasGroups(commands, flags, context);
      const written = groups.map((group) => {
        const options = guardOptions({ ...flags, mirror: [...group.roots] }, onWarning);
        const guard = chooseGuard({ ...options, onWarning });
        const { ifUnavailable } = flags;
        return writeShims({ directory, commands: group.commands, guard, ifUnavailable });
      });
      const shims = written.flatMap((one) => one.shims);
      const result = { directory: written[0]?.directory ?? directory, shims };
      report(result, flags);
      for (const command of groups.flatMap((group) => group.commands)) {
        if (!flags.json && !isCommand(command, result.directory))
          printWarning(`there is no command ${shown(command)}: its shim ends with 127`);
      }
      if (!flags.json && !isInPath(result.directory)) {
        printLine(`Put ${shown(result.directory)} before the other directories of PATH.`);
      }
    });
}

function report({ directory, shims }: ShimsResult, { json }: ShimsFlags): void {
  if (json) printJson({ directory, shims });
  else if (shims.length === 0) printLine(`there are no shims in ${shown(directory)}`);
  else {
    printTable(
      ['command', 'shim', ''],
      shims.map(({ command, path, outcome }) => [shown(command), shown(path), outcome]),
    );
  }
}

/** Without DIR, the first command would be taken for it. */
function refuseCommandAsDirectory(
  directory: string,
  commands: readonly string[],
  mirrors: readonly string[] = [],
): void {
  if (directory.includes('/') || existsSync(directory) || !isCommand(directory)) return;
  const named = mirrors.flatMap((root) => ['--mirror', root]);
  const words = [...named, directory, ...commands].map(quoteForSh).join(' ');
  throw new MirrorlatchError('USAGE', `${shown(directory)} is a command: DIR is missing`, {
    hint: `Name the directory for the shims first: mirrorlatch shims /usr/local/sbin ${words}`,
  });
}

/** Whether PATH, or that of root, has a command of this name outside of the shims' directory. */
function isCommand(name: string, ignored?: string): boolean {
  const directories = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`.split(':');
  return directories.some(
    (directory) => directory !== '' && directory !== ignored && isExecutable(join(directory, name)),
  );
}

function isInPath(directory: string): boolean {
  return (process.env['PATH'] ?? '').split(':').includes(directory);
}

function shown(name: string): string {
  return readableName(Buffer.from(name).toString('latin1')).name;
}
