import { Argument, type Command } from 'commander';
import { COMPLETED_SHELLS, type CompletedShell, completionScript } from '../completion-script.ts';
import { helpAfter } from '../help.ts';
import { printCode } from '../output.ts';

export function addCompletion(program: Command): void {
  program
    .command('completion')
    .summary('print shell code that completes command lines')
    .description(
      'Prints shell code for ~/.bashrc or the like, by which TAB completes commands, options, paths and snapshots.',
    )
    .addArgument(new Argument('<SHELL>').choices(COMPLETED_SHELLS))
    .addHelpText(
      'after',
      helpAfter(
        [
          'eval "$(mirrorlatch completion bash)"',
          'eval "$(mirrorlatch completion zsh)"      # after compinit',
          'mirrorlatch completion fish | source',
        ],
        ['USAGE', 'IO'],
      ),
    )
    .action((shell: CompletedShell) => {
      printCode(completionScript(shell).trimEnd());
    });
}
