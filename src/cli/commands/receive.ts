import { Socket } from 'node:net';
import type { Command } from 'commander';
import type { CommandContext } from '../context.ts';

/** The far end of a push. Hidden, because only `sync` starts it, over ssh. */
export function addReceive(program: Command, context: CommandContext): void {
  program
    .command('receive', { hidden: true })
    .description('Receives a push. It is started over ssh, by a sync on another host.')
    .argument('<ROOT>')
    .action(async (root: string) => {
      const { receive } = await import('../../push/receive.ts');
      // Not process.stdout: when its reader is gone, the program ends at once.
      const output = new Socket({ fd: 1, readable: false });
      const signal = context.signal();
      context.setExitCode(await receive({ root, input: process.stdin, output, signal }));
    });
}
