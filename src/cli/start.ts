import type { LoadCommand } from './commands.ts';
import { dieBy } from './interrupt.ts';
import { runCommandLine } from './program.ts';

/** Runs the command line of this process; no other place sets its exit code. */
export async function start(
  version: string,
  commands: Readonly<Record<string, LoadCommand>>,
): Promise<void> {
  // A reader that has seen enough, such as head(1), is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit();
    throw error;
  });

  // Where nobody listens any more (a closed pipe, a lost terminal) the work goes on all the same.
  process.stderr.on('error', () => {});

  const end = await runCommandLine(process.argv.slice(2), version, commands);
  process.exitCode = typeof end === 'number' ? end : dieBy(end);
}
