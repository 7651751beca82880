import type { Command } from 'commander';

/** The proxy of what a command has left running. Hidden, because only `run --http` starts it. */
export function addKeepProxy(program: Command): void {
  program
    .command('keep-proxy', { hidden: true })
    .description(
      'Keeps the proxy of run --http. It is started by run, for what a command has left running.',
    )
    .action(async () => {
      const { inherit } = await import('../../http/client/succession.ts');
      await inherit();
    });
}
