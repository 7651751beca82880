import { readFileSync } from 'node:fs';
import { keepIgnoringSignals } from '../system/ignored-signals.ts';
import { nameThisProcess } from '../system/proc.ts';
import { keepOwnFilesOpen } from '../system/umask.ts';
import type { LoadCommand } from './commands.ts';
import { dieBy } from './interrupt.ts';
import { lossOfOutput, printError, survivePrinting } from './output.ts';
import { runCommandLine } from './program.ts';

const { version } = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
);

/** Runs the command line of this process. Only this function sets the exit code. */
export async function start(commands: Readonly<Record<string, LoadCommand>>): Promise<void> {
  keepIgnoringSignals();
  nameThisProcess();
  keepOwnFilesOpen();
  survivePrinting();
  const end = await runCommandLine(process.argv.slice(2), version, commands);
  const loss = end === 0 ? await lossOfOutput() : undefined;
  if (loss !== undefined) printError(loss, loss.exitCode, false);
  process.exitCode = loss?.exitCode ?? (typeof end === 'number' ? end : dieBy(end));
}
