import { nameThisProcess } from '../system/proc.ts';
import type { LoadCommand } from './commands.ts';
import { dieBy } from './interrupt.ts';
import { runCommandLine } from './program.ts';

/** Runs the command line of this process. Only this function sets the exit code. */
export async function start(
  version: string,
  commands: Readonly<Record<string, LoadCommand>>,
): Promise<void> {
  nameThisProcess();
  // A reader that closes the pipe early, such as head(1), is not an error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit();
    throw error;
  });

  // The work continues even if standard error is closed, such as by a lost terminal.
  process.stderr.on('error', () => {});

  const end = await runCommandLine(process.argv.slice(2), version, commands);
  process.exitCode = typeof end === 'number' ? end : dieBy(end);
}
