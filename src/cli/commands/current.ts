import type { Command } from 'commander';
import type { CurrentSnapshot } from '../../reader/current.ts';
import type { CommandContext } from '../context.ts';
import { helpAfter } from '../help.ts';
import { printJson } from '../output.ts';

export function addCurrent(program: Command, _context: CommandContext): void {
  program
    .command('current')
    .summary('print the path of the current snapshot')
    .description(
      'Prints the real path of the current snapshot: it stays the same whatever is published. Trees with a symlink "current" that another program keeps will do too.',
    )
    .argument('<MIRROR>')
    .option('--json', 'print one object: path, id, previous, when it was published')
    .addHelpText(
      'after',
      helpAfter(
        ['cd "$(mirrorlatch current /srv/mirror/debian)"'],
        ['USAGE', 'NO_MIRROR', 'PERMISSION', 'CONFIGURATION', 'IO'],
        'Nothing keeps that snapshot from being removed in time: for that, see mirrorlatch run.',
      ),
    )
    .action(async (root: string, flags: { json?: boolean }) => {
      const { current } = await import('../../reader/current.ts');
      const found = current(root);
      if (flags.json) printJson(toJson(found));
      else process.stdout.write(Buffer.concat([bytesOf(found), Buffer.from('\n')]));
    });
}

function bytesOf({ path, pathBytes }: CurrentSnapshot): Buffer {
  return pathBytes ?? Buffer.from(path);
}

function toJson({ pathBytes, ...found }: CurrentSnapshot): unknown {
  return pathBytes === undefined ? found : { ...found, pathBytes: pathBytes.toString('hex') };
}
