import type { Command } from 'commander';
import { helpAfter } from '../help.ts';
import { printLine } from '../output.ts';

export function addReader(program: Command): void {
  program
    .command('reader')
    .summary('print the standalone client')
    .description(
      'Prints the standalone client, one POSIX sh script that needs flock, unshare and mount alone. ' +
        'Every mirror holds it as ROOT/.mirrorlatch/reader.',
    )
    .addHelpText(
      'after',
      helpAfter(['mirrorlatch reader > /usr/local/bin/mirrorlatch-reader'], ['USAGE', 'IO']),
    )
    .action(async () => {
      const { readerText } = await import('../../reader/script.ts');
      printLine(readerText().trimEnd());
    });
}
