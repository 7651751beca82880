import type { Command } from 'commander';
import type { Mirror } from '../../operations/mirror.ts';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { printJson, printLine } from '../output.ts';
import { percentage } from '../values.ts';
import { addRetentionOptions, type RetentionFlags } from '../options/retention.ts';

interface Flags extends RetentionFlags {
  source?: string;
  maxShrink?: number;
  inPlace?: boolean;
  adopt?: string;
  serveAt?: string;
  unadopt?: string;
  json?: boolean;
}

export function addInit(program: Command, context: CommandContext): void {
  addRetentionOptions(
    program
      .command('init')
      .summary('make a mirror, or change its settings')
      .description(
        'Makes a mirror of the directory ROOT, or changes the settings of the one that is there.',
      )
      .usage('[ROOT] [options] [-- RSYNC_OPTIONS]')
      .argument('[ROOT]')
      .option(
        '--adopt <DIR>',
        'make it of a directory that rsync has filled; a symlink takes its place',
      )
      .option('--unadopt <DIR>', 'give that directory back')
      .option(
        '--serve-at <DIR>',
        'a real directory that holds what is current too, replaced by exchange',
      )
      .option('--source <SRC>', 'where it is synced from')
      .option(
        '--max-shrink <percent>',
        'refuse a sync when more files or bytes would vanish (default: 30)',
        percentage,
      )
      .option(
        '--in-place',
        'one tree, written in place behind a gate: where there is no room for two',
      ),
  )
    .option('--json', 'print the settings')
    .addHelpText(
      'after',
      helpAfter(
        [
          'mirrorlatch init /srv/mirror/debian --source rsync://mirror.example.org/debian/ --keep-last 7',
          'mirrorlatch init --adopt /srv/debian                 # it becomes a symlink into /srv/debian.mirror',
        ],
        ['USAGE', 'PERMISSION', 'CONFIGURATION', 'IO'],
      ),
    )
    .action(async (root: string | undefined, flags: Flags, command: Command) => {
      const settings = {
        source: flags.source,
        rsyncOptions: context.operands,
        keepLast: flags.keepLast,
        keepWithinMs: flags.keepWithin,
        graceMs: flags.grace,
        maxShrinkPercent: flags.maxShrink,
        serveAt: flags.serveAt,
      };
      const { adopt: adopted, unadopt: givenBack, inPlace } = flags;
      const directory = adopted ?? givenBack;
      if (directory === undefined) {
        if (root === undefined) command.error("error: missing required argument 'ROOT'");
        const { init } = await import('../../operations/init.ts');
        return tell(init({ root, inPlace, ...settings }), flags.json);
      }
      const { adopt, unadopt } = await import('../../operations/adopt.ts');
      const signal = context.signal();
      if (adopted === undefined) {
        const found = await unadopt({ directory, root, signal });
        if (flags.json) printJson(found);
        else
          printLine(`${found.directory} is a directory again; see what is left in ${found.root}`);
        return;
      }
      const mode = inPlace ? 'in-place' : 'snapshots';
      tell(await adopt({ directory, root, mode, settings, signal }), flags.json);
    });
}

function tell({ layout, settings }: Mirror, asJson: boolean | undefined): void {
  if (asJson) {
    printJson({ root: layout.root, settings });
    return;
  }
  const source = settings.source ?? 'a source that the first sync names';
  const path =
    settings.adopted === undefined ? '' : `; ${settings.adopted} leads to what is current`;
  printLine(`${layout.root} is a mirror of ${source}${path}`);
}
