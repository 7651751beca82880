import type { Command } from 'commander';
import { helpAfter } from '../help.ts';
import { MirrorArgument } from '../mirror-names.ts';
import { printJson, printLine } from '../output.ts';
import { tagsOf } from '../values.ts';

interface Flags {
  remove?: string[];
  json?: boolean;
}

export function addTag(program: Command): void {
  program
    .command('tag')
    .summary('give a snapshot tags, for the rule --keep-tag')
    .description(
      'Gives a snapshot tags, and takes others from it. The rule --keep-tag keeps all snapshots with a tag. Does not wait for a sync.',
    )
    .addArgument(new MirrorArgument())
    .argument('<ID>', 'the snapshot, by id or path, current, or previous')
    .argument('[TAG...]', 'the tags to give it', tagsOf)
    .option('--remove <tag>', 'take this tag from it; repeatable', tagsOf)
    .option('--json', 'print one object about the result')
    .addHelpText(
      'after',
      helpAfter(
        [
          'mirrorlatch tag /srv/mirror/debian current release-2.1 tested',
          'mirrorlatch tag /srv/mirror/debian 20261122T030000Z --remove tested',
        ],
        ['USAGE', 'NO_MIRROR', 'BUSY', 'PERMISSION', 'CONFIGURATION', 'IO'],
      ),
    )
    .action(async (root: string, id: string, add: string[], flags: Flags) => {
      const { tagSnapshot } = await import('../../operations/mark.ts');
      const tagged = tagSnapshot({ root, id, add, remove: flags.remove });
      if (flags.json) printJson(tagged);
      else if (tagged.tags.length === 0) printLine(`${tagged.id} has no tags`);
      else printLine(`${tagged.id} is tagged ${tagged.tags.join(', ')}`);
    });
}
