import { Argument, type Command } from 'commander';
import { aliasesFor, SHELLS, type Shell, withoutAliases } from '../../reader/aliases.ts';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { aliasGroups } from '../options/configured-aliases.ts';
import { addGuardOptions, type GuardFlags, guardOptions, someCommands } from '../options/guard.ts';
import { printCode } from '../output.ts';
import { printWarning } from '../terminal.ts';

export function addShellInit(program: Command, context: CommandContext): void {
  addGuardOptions(
    program
      .command('shell-init')
      .summary('print shell code that guards the commands you type')
      .description(
        'Prints shell code for ~/.bashrc or the like. Each of the named commands then sees one snapshot only.',
      )
      .addArgument(new Argument('<SHELL>').choices(SHELLS))
      .argument('[COMMAND...]', 'the commands that read the mirror'),
  )
    .option('--sudo', 'also guard a command that directly follows sudo')
    .addHelpText(
      'after',
      helpAfter(
        [
          'eval "$(mirrorlatch shell-init bash --mirror /srv/mirror/debian --sudo apt-get apt)"',
          'mirrorlatch shell-init fish --mirror /srv/mirror/debian --sudo apt-get apt | source',
          'eval "$(mirrorlatch shell-init bash)"            # the aliases of the configuration',
          'eval "$(mirrorlatch shell-init bash --http http://mirror.example.org/debian/current/ apt-get apt)"',
          'eval "$(mirrorlatch shell-init bash --remove --sudo apt-get apt)"',
        ],
        ['USAGE'],
        'Aliases have no effect in scripts, or after sudo with options. For those, use mirrorlatch shims.',
      ),
    )
    .action(async (shell: Shell, named: string[], flags: GuardFlags & { sudo?: boolean }) => {
      const given = [...named, ...context.operands];
      const { sudo = false } = flags;
      const groups = await aliasGroups(given, flags, context);
      if (flags.remove) {
        const commands = someCommands(groups.flatMap((group) => group.commands));
        printCode(withoutAliases(shell, { commands, sudo }));
        return;
      }
      const { chooseGuard } = await import('../../reader/choose-guard.ts');
      for (const { roots, commands } of groups) {
        const guard = chooseGuard(guardOptions({ ...flags, mirror: [...roots] }, printWarning));
        printCode(aliasesFor(shell, guard, { commands, sudo }));
      }
    });
}
