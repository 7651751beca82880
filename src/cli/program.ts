import { Command, CommanderError } from 'commander';
import { asMirrorlatchError, EXIT_CODES, GUARD_FAILED, MirrorlatchError } from '../errors.ts';
import { addCurrent } from './commands/current.ts';
import { addInit } from './commands/init.ts';
import { addList } from './commands/list.ts';
import { addPrune } from './commands/prune.ts';
import { addReader } from './commands/reader.ts';
import { addRollback } from './commands/rollback.ts';
import { addRun } from './commands/run.ts';
import { addShellInit } from './commands/shell-init.ts';
import { addShims } from './commands/shims.ts';
import { addStatus } from './commands/status.ts';
import { addSync } from './commands/sync.ts';
import { addUnlock } from './commands/unlock.ts';
import { addWait } from './commands/wait.ts';
import { addWatch } from './commands/watch.ts';
import { abortOnSignals } from './interrupt.ts';
import { printError } from './output.ts';

/**
 * Runs one command line to its end.
 *
 * @param words what follows the program's name.
 * @returns the exit code.
 */
export async function runCommandLine(words: readonly string[], version: string): Promise<number> {
  const separator = words.indexOf('--');
  const own = separator === -1 ? words : words.slice(0, separator);
  let exitCode = 0;
  const context = {
    operands: separator === -1 ? [] : words.slice(separator + 1),
    signal: abortOnSignals,
    setExitCode: (code: number) => {
      exitCode = code;
    },
  };
  const program = new Command('mirrorlatch')
    .description('Whole snapshots for rsync mirrors: readers never see a mix.')
    .version(version)
    .exitOverride()
    // A wrong command line is an error like every other: told below, as text or as JSON.
    .configureOutput({ outputError: () => {} })
    .showSuggestionAfterError();
  for (const add of [
    addInit,
    addSync,
    addStatus,
    addList,
    addRollback,
    addPrune,
    addUnlock,
    addRun,
    addReader,
    addShellInit,
    addShims,
    addCurrent,
    addWait,
    addWatch,
  ]) {
    add(program, context);
  }
  try {
    await program.parseAsync(own, { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    // Without any command it has shown the help already.
    if (error instanceof CommanderError && error.code === 'commander.help') return EXIT_CODES.USAGE;
    const known = error instanceof CommanderError ? usageError(error) : asMirrorlatchError(error);
    printError(known, own.includes('--json'));
    return own[0] === 'run' && known.code !== 'BUSY' ? GUARD_FAILED : known.exitCode;
  }
}

function usageError({ message }: CommanderError): MirrorlatchError {
  return new MirrorlatchError('USAGE', message.replace(/^error: /, ''), {
    hint: 'See the options and examples with: mirrorlatch COMMAND --help',
  });
}
