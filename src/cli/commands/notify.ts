import type { Command } from 'commander';
import { asMirrorlatchError, EXIT_CODES, type MirrorlatchError } from '../../errors.ts';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { printError, printJson, printLine } from '../output.ts';
import { recipientsOf } from '../recipients.ts';
import { byName } from '../scheduled-mirrors.ts';

interface Flags {
  all?: boolean;
  json?: boolean;
}

const MORE_HELP = `A sync of a mirror of the configuration does this at its end. Call it from a timer or cron, too, so that people
learn of a mirror that no sync brings up to date. The same is never told twice within an hour.`;

export function addNotify(program: Command, context: CommandContext): void {
  const command = program
    .command('notify')
    .summary('tell people of mirrors that failed, are stale, or are well again')
    .description(
      'Tells those that the configuration names what they do not know yet: that a mirror failed, is stale, or is well again.',
    )
    .argument('[NAME...]', 'mirrors of the configuration')
    .option('--all', 'all of them')
    .option('--json', 'print what was sent, as an array')
    .addHelpText(
      'after',
      helpAfter(
        ['mirrorlatch notify --all', '*/15 * * * *  root  mirrorlatch notify --all'],
        ['USAGE', 'NO_MIRROR', 'UNAVAILABLE', 'PERMISSION', 'CONFIGURATION', 'IO'],
        MORE_HELP,
      ),
    )
    .action(async (names: string[], { all = false, json = false }: Flags) => {
      if (all === names.length > 0)
        command.error(
          all ? 'error: --all is for all mirrors: name none' : 'error: no mirror was named',
        );
      const { mirrors } = (await context.configuration()).read();
      const wanted = all ? [...mirrors.values()] : names.map((name) => byName(mirrors, name));
      const { notify } = await import('../../notices/notify.ts');
      const sent: object[] = [];
      let exitCode = 0;
      const fail = (error: MirrorlatchError, code = error.exitCode) => {
        printError(error, code, false);
        exitCode = Math.max(exitCode, code);
      };
      for (const { name, root, table } of wanted) {
        const to = recipientsOf(table);
        if (to === undefined) continue;
        try {
          const result = await notify({ root, name, maxAgeMs: table['max-age'], to });
          sent.push(...result.sent);
          for (const error of result.failed) fail(error, EXIT_CODES.UNAVAILABLE);
        } catch (error) {
          fail(asMirrorlatchError(error));
        }
      }
      if (json) printJson(sent);
      else for (const { subject } of sent as { subject: string }[]) printLine('sent:', subject);
      if (exitCode !== 0) context.setExitCode(exitCode);
    });
}
