import { Command, CommanderError } from 'commander';
import { asMirrorlatchError, EXIT_CODES, GUARD_FAILED, MirrorlatchError } from '../errors.ts';
import { withOwnersCommand } from './as-owner.ts';
import type { LoadCommand } from './commands.ts';
import type { CommandContext } from './context.ts';
import { abortOnSignals } from './interrupt.ts';
import { printError } from './output.ts';

/**
 * Runs one command line.
 *
 * @param words the words after the program's name.
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
    // A wrong command line is printed below like any other error, as text or as JSON.
    .configureOutput({ outputError: () => {} })
    .showSuggestionAfterError();
  const [name = ''] = own;
  // `help` lists all commands.
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
    // Without a command, commander has printed the help already.
    if (error instanceof CommanderError && error.code === 'commander.help') return EXIT_CODES.USAGE;
    const command = named === undefined ? undefined : name;
    const known =
      error instanceof CommanderError
        ? usageError(error, command, separator !== -1)
        : withOwnersCommand(asMirrorlatchError(error), words);
    const failed = endAfter(known, command);
    const exitCode = typeof failed === 'number' ? failed : known.exitCode;
    printError(known, exitCode, own.includes('--json'));
    return failed;
  }
}

/** Like env(1), `run` and `lock` have codes of their own for failures that are not the command's. */
function endAfter(
  { code, exitCode }: MirrorlatchError,
  command: string | undefined,
): number | NodeJS.Signals {
  if (command === 'run') return code === 'BUSY' ? exitCode : GUARD_FAILED;
  if (command !== 'lock') return exitCode;
  switch (code) {
    case 'SIGINT':
    case 'SIGTERM':
    case 'SIGHUP':
      return code;
    case 'BUSY':
    case 'HELD':
    case 'COMMAND_NOT_FOUND':
    case 'COMMAND_NOT_EXECUTABLE':
      return exitCode;
    default:
      return GUARD_FAILED;
  }
}

/** Commands that run another, whose options are easily taken for theirs. */
const RUNNERS: ReadonlySet<string> = new Set(['run', 'lock', 'watch']);

/** Commands that pass options on to rsync, which are easily taken for theirs. */
const SYNCERS: ReadonlySet<string> = new Set(['sync', 'init']);

/** Options of rsync that a sync has no use for: given after `--` they only replace those remembered. */
const NO_USE = /'(-[vq]|--verbose|--quiet)'/;

function separatorFor(command: string | undefined, { message, code }: CommanderError): string {
  if (command === undefined || message.includes('Did you mean')) return '';
  if (RUNNERS.has(command)) {
    return `Put the command to run after --: mirrorlatch ${command} MIRROR -- COMMAND. `;
  }
  return SYNCERS.has(command) && code === 'commander.unknownOption' && !NO_USE.test(message)
    ? `Put options of rsync after --: mirrorlatch ${command} ROOT -- --exclude=/iso/. `
    : '';
}

/**
 * @param command the command that was named, if it is one of ours.
 * @param isSeparated whether the command line has a `--`.
 */
function usageError(
  error: CommanderError,
  command: string | undefined,
  isSeparated: boolean,
): MirrorlatchError {
  const separator = isSeparated ? '' : separatorFor(command, error);
  const help =
    command === undefined
      ? 'See the commands with: mirrorlatch --help'
      : `See the options and examples with: mirrorlatch ${command} --help`;
  return new MirrorlatchError('USAGE', error.message.replace(/^error: /, ''), {
    hint: separator + help,
  });
}
