import type { Command } from 'commander';
import type { Mirror } from '../../mirror/open.ts';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { addOptions } from '../options/group.ts';
import { LOCK, type LockFlags } from '../options/lock.ts';
import { RETENTION, type RetentionFlags } from '../options/retention.ts';
import { MAX_SHRINK, SHRINK, type ShrinkFlags } from '../options/shrink.ts';
import { printJson, printLine } from '../output.ts';
import { createReporter } from '../terminal.ts';

interface Flags extends LockFlags, RetentionFlags, ShrinkFlags {
  source?: string;
  inPlace?: boolean;
  adopt?: string;
  serveAt?: string;
  unadopt?: string;
  json?: boolean;
}

export function addInit(program: Command, context: CommandContext): void {
  const command: Command = program
    .command('init')
    .summary('make a mirror, or change its settings')
    .description('Makes a mirror of the directory ROOT, or changes the settings of a mirror.')
    .usage('[ROOT] [options] [-- RSYNC_OPTIONS]')
    .argument('[ROOT]')
    .option('--source <SRC>', 'what the mirror is synced from')
    .option('--in-place', 'keep one tree, written behind a gate, where there is no room for two')
    .option('--adopt <DIR>', 'make the mirror of a directory that rsync has filled')
    .option('--unadopt <DIR>', 'give an adopted directory back')
    .option('--serve-at <DIR>', 'keep a real directory, too, that holds what is current');
  addOptions(command, RETENTION, MAX_SHRINK, LOCK)
    .option('--json', 'print the settings')
    .addHelpText(
      'after',
      helpAfter(
        [
          'mirrorlatch init /srv/mirror/debian --source rsync://mirror.example.org/debian/ --keep-last 7',
          'mirrorlatch init --adopt /srv/debian       # becomes a symlink into /srv/debian.mirror',
        ],
        ['USAGE', 'BUSY', 'PERMISSION', 'CONFIGURATION', 'IO'],
        'What follows -- is remembered, and given to rsync by each sync.',
      ),
    )
    .action(async (root: string | undefined, flags: Flags) => {
      const settings = {
        source: flags.source,
        rsyncOptions: context.operands,
        retention: RETENTION.read(flags),
        shrink: SHRINK.read(flags),
        serveAt: flags.serveAt,
      };
      const { adopt: adopted, unadopt: givenBack, inPlace, json } = flags;
      const directory = adopted ?? givenBack;
      if (directory === undefined) {
        if (root === undefined) command.error("error: missing required argument 'ROOT'");
        const operations = await import('../../operations/init.ts');
        return report(operations.init({ root, inPlace, ...settings }), json);
      }
      const { adopt, unadopt } = await import('../../operations/adopt.ts');
      const { onEvent } = createReporter(json ? 'quiet' : 'normal');
      const session = { lock: LOCK.read(flags), signal: context.signal(), onEvent };
      if (adopted === undefined) {
        const found = await unadopt({ directory, root, ...session });
        if (json) printJson(found);
        else
          printLine(`${found.directory} is a directory again; see what is left in ${found.root}`);
        return;
      }
      const mode = inPlace ? 'in-place' : 'snapshots';
      report(await adopt({ directory, root, mode, settings, ...session }), json);
    });
}

function report({ layout, settings }: Mirror, asJson: boolean | undefined): void {
  if (asJson) {
    printJson({ root: layout.root, settings });
    return;
  }
  const source = settings.source ?? 'a source that the first sync names';
  const path =
    settings.adopted === undefined ? '' : `; ${settings.adopted} leads to what is current`;
  printLine(`${layout.root} is a mirror of ${source}${path}`);
}
