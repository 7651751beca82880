import { Command, CommanderError } from 'commander';
import { asMirrorlatchError, EXIT_CODES, GUARD_FAILED, MirrorlatchError } from '../errors.ts';
import type { LoadCommand } from './commands.ts';
import type { CommandContext } from './context.ts';
import { abortOnSignals } from './interrupt.ts';
import { printError } from './output.ts';

/**
 * Runs one command line to its end.
 *
 * @param words what follows the program's name.
 * @param commands by name.
 * @returns the exit code, or the signal to die by.
 */
export async function runCommandLine(
  words: readonly string[],
  version: string,
  commands: Readonly<Record<string, LoadCommand>>,
): Promise<number | NodeJS.Signals> {
  const separator = words.indexOf('--');
  const own = separator === -1 ? words : words.slice(0, separator);
  let end: number | NodeJS.Signals = 0;
  const context: CommandContext = {
    operands: separator === -1 ? [] : words.slice(separator + 1),
    signal: abortOnSignals,
    setExitCode: (code: number) => {
      end = code;
    },
    endBySignal: (signal: NodeJS.Signals) => {
      end = signal;
    },
  };
  const program = new Command('mirrorlatch')
    .description('Whole snapshots for rsync mirrors: readers never see a mix.')
    .version(version)
    .exitOverride()
    // A wrong command line is an error like every other: told below, as text or as JSON.
    .configureOutput({ outputError: () => {} })
    .showSuggestionAfterError();
  const [name = ''] = own;
  // What help lists are all commands.
  const named = name !== 'help' && Object.hasOwn(commands, name) ? commands[name] : undefined;
  for (const load of named === undefined ? Object.values(commands) : [named]) {
    const add = await load();
    add(program, context);
  }
  try {
    await program.parseAsync(own, { from: 'user' });
    return end;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    // Without any command it has shown the help already.
    if (error instanceof CommanderError && error.code === 'commander.help') return EXIT_CODES.USAGE;
    const known =
      error instanceof CommanderError ? usageError(error, own[0]) : asMirrorlatchError(error);
    printError(known, own.includes('--json'));
    if (own[0] === 'run') return known.code === 'BUSY' ? known.exitCode : GUARD_FAILED;
    return own[0] === 'lock' ? endOfLock(known) : known.exitCode;
  }
}

/** As env(1) and flock(1) have it: what is not the command's own has codes of its own. */
function endOfLock({ code, exitCode }: MirrorlatchError): number | NodeJS.Signals {
  switch (code) {
    case 'SIGINT':
    case 'SIGTERM':
    case 'SIGHUP':
      return code;
    case 'BUSY':
    case 'COMMAND_NOT_FOUND':
    case 'COMMAND_NOT_EXECUTABLE':
      return exitCode;
    default:
      return GUARD_FAILED;
  }
}

/** Those that run a command, which has options of its own. */
const RUNNERS: ReadonlySet<string> = new Set(['run', 'lock', 'watch']);

function usageError({ message }: CommanderError, name = 'COMMAND'): MirrorlatchError {
  const dashes = `What it shall run goes behind two dashes: mirrorlatch ${name} MIRROR -- COMMAND. `;
  return new MirrorlatchError('USAGE', message.replace(/^error: /, ''), {
    hint: `${RUNNERS.has(name) ? dashes : ''}See the options and examples with: mirrorlatch COMMAND --help`,
  });
}
