import type { Command } from 'commander';
import type { CurrentSnapshot } from '../../reader/current.ts';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { MirrorArgument } from '../mirror-names.ts';
import { printJson } from '../output.ts';
import { channelName } from '../values.ts';

export function addCurrent(program: Command, _context: CommandContext): void {
  program
    .command('current')
    .summary('print the path of the current snapshot')
    .description(
      'Prints the real path of the current snapshot, which stays the same whatever is published. It also works for trees with a symlink "current" that other programs keep.',
    )
    .addArgument(new MirrorArgument())
    .option('--channel <name>', 'print that of the snapshot that this channel names', channelName)
    .option('--json', 'print one object: path, id, previous id, time of publication')
    .addHelpText(
      'after',
      helpAfter(
        ['cd "$(mirrorlatch current /srv/mirror/debian)"'],
        ['USAGE', 'NO_MIRROR', 'PERMISSION', 'CONFIGURATION', 'IO'],
        'The snapshot may be pruned later. To hold it for a command, use mirrorlatch run.',
      ),
    )
    .action(async (root: string, { channel, ...flags }: { channel?: string; json?: boolean }) => {
      const { current } = await import('../../reader/current.ts');
      const found = current(root, { channel });
      if (flags.json) printJson(toJson(found));
      else process.stdout.write(Buffer.concat([pathBytesOf(found), Buffer.from('\n')]));
    });
}

function pathBytesOf({ path, pathBytes }: CurrentSnapshot): Buffer {
  return pathBytes ?? Buffer.from(path);
}

function toJson({ pathBytes, ...found }: CurrentSnapshot): unknown {
  return pathBytes === undefined ? found : { ...found, pathBytes: pathBytes.toString('hex') };
}
