import { Socket } from 'node:net';
import type { Command } from 'commander';
import type { CommandContext } from '../context.ts';

/** The other end of a push, which `sync` starts by ssh; nobody else has a use for it. */
export function addReceive(program: Command, context: CommandContext): void {
  program
    .command('receive', { hidden: true })
    .description('Takes what a sync on another host pushes. It is started by that sync, over ssh.')
    .argument('<ROOT>')
    .action(async (root: string) => {
      const { receive } = await import('../../push/receive.ts');
      // Not process.stdout: when nobody reads that any more, the program ends at once.
      const output = new Socket({ fd: 1, readable: false });
      const signal = context.signal();
      context.setExitCode(await receive({ root, input: process.stdin, output, signal }));
    });
}
