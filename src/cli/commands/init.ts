import type { Command } from 'commander';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { printJson, printLine } from '../output.ts';
import { percentage } from '../values.ts';
import { addRetentionOptions, type RetentionFlags } from './retention.ts';

interface Flags extends RetentionFlags {
  source?: string;
  maxShrink?: number;
  inPlace?: boolean;
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
      .usage('ROOT [options] [-- RSYNC_OPTIONS]')
      .argument('<ROOT>')
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
        ],
        ['USAGE', 'PERMISSION', 'CONFIGURATION', 'IO'],
      ),
    )
    .action(async (root: string, flags: Flags) => {
      const { init } = await import('../../operations/init.ts');
      const { layout, settings } = init({
        root,
        source: flags.source,
        rsyncOptions: context.operands,
        keepLast: flags.keepLast,
        keepWithinMs: flags.keepWithin,
        graceMs: flags.grace,
        maxShrinkPercent: flags.maxShrink,
        inPlace: flags.inPlace,
      });
      if (flags.json) printJson({ root: layout.root, settings });
      else
        printLine(
          `${layout.root} is a mirror of ${settings.source ?? 'a source that the first sync names'}`,
        );
    });
}
