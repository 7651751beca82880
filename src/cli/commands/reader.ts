import type { Command } from 'commander';
import { helpAfter } from '../help.ts';
import { printCode } from '../output.ts';

export function addReader(program: Command): void {
  program
    .command('reader')
    .summary('print the standalone reader')
    .description(
      'Prints the standalone reader, a POSIX sh script that needs only flock, unshare and mount. ' +
        'Every mirror contains it as ROOT/.mirrorlatch/reader.',
    )
    .addHelpText(
      'after',
      helpAfter(['mirrorlatch reader > /usr/local/bin/mirrorlatch-reader'], ['USAGE', 'IO']),
    )
    .action(async () => {
      const { readerText } = await import('../../reader/script.ts');
      printCode(readerText().trimEnd());
    });
}
