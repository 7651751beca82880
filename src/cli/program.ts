import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { Command, CommanderError } from 'commander';
import {
  asMirrorlatchError,
  EXIT_CODES,
  GUARD_FAILED,
  hasCode,
  MirrorlatchError,
} from '../errors.ts';
import { goBy } from '../mirror/settings/configured.ts';
import { askForNearest, shownName, splitOptions, together } from '../rsync/options.ts';
import { quoteForSh } from '../system/quote.ts';
import { withOwnersCommand } from './as-owner.ts';
import type { LoadCommand } from './commands.ts';
import type { CommandContext } from './context.ts';
import { abortOnSignals } from './interrupt.ts';
import { withMeantMirror, withNamedMirror } from './meant-mirror.ts';
import { onlyMirror, replaceNames, withConfigured } from './mirror-names.ts';
import {
  type DividedLine,
  dividePastedLine,
  findOption,
  type OwnOption,
  withRsyncOptionsLast,
  withSeparator,
} from './misplaced-options.ts';
import { printError } from './output.ts';
import { proposeWithConfiguration } from './proposals.ts';

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
  const { typed, file } = takeConfigOption(separator === -1 ? words : words.slice(0, separator));
  if (file !== undefined && file !== '')
    proposeWithConfiguration(resolve(file), Object.keys(commands));
  let end: number | NodeJS.Signals = 0;
  const context = {
    operands: separator === -1 ? [] : words.slice(separator + 1),
    signal: abortOnSignals,
    setExitCode: (code: number) => {
      end = code;
    },
    endBySignal: (signal: NodeJS.Signals) => {
      end = signal;
    },
    configuration: onlyOnce(async () => {
      const { openConfiguration } = await import('../config/source.ts');
      return openConfiguration(file ?? process.env['MIRRORLATCH_CONFIG'], process.env);
    }),
  } satisfies CommandContext;
  const program = new Command('mirrorlatch')
    .description('Whole snapshots for rsync mirrors: readers never see a mix.')
    .version(version)
    .option('--config <file>', 'read this configuration, and no other')
    .exitOverride()
    // A wrong command line is printed below like any other error, as text or as JSON.
    .configureOutput({ outputError: () => {} })
    .showSuggestionAfterError()
    // In 80 columns, the usual 40 leave descriptions unbroken beside names as long as ours.
    .configureHelp({ minWidthToWrap: 24 })
    .hook('preAction', (_, command) => goByConfiguration(command, context.configuration));
  const [name = ''] = typed;
  // `help` lists all commands.
  const named = name !== 'help' && Object.hasOwn(commands, name) ? commands[name] : undefined;
  for (const load of named === undefined ? Object.values(commands) : [named]) {
    const add = await load();
    add(program, context);
  }
  const line = name === 'sync' ? dividePastedLine(typed, optionsWithHelp(program)) : undefined;
  const own = line?.own ?? typed;
  context.operands.unshift(...(line?.rsync ?? []));
  try {
    refuseOtherThanUtf8(own);
    refuseOptionsAsValues(program, own);
    await program.parseAsync(own, { from: 'user' });
    return end;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    // Without a command, commander has printed the help already.
    if (error instanceof CommanderError && error.code === 'commander.help') return EXIT_CODES.USAGE;
    const command = named === undefined ? undefined : name;
    const known =
      error instanceof CommanderError
        ? withRefusals(
            usageError(error, own, await facts(program, commands, command, separator !== -1)),
            error.code === 'commander.unknownOption' ? line : undefined,
            optionsWithHelp(program),
          )
        : withOwnersCommand(withMeantMirror(asMirrorlatchError(error), words), words);
    const meant = hasCode(known, 'NO_MIRROR')
      ? await withConfiguration(known, context.configuration)
      : known;
    const failed = endAfter(meant, command);
    const exitCode = typeof failed === 'number' ? failed : meant.exitCode;
    printError(meant, exitCode, own.includes('--json'));
    return failed;
  }
}

/** How much of the configuration a command needs. Those that change a mirror need all of it, without a mistake; marks go by no setting. */
const NEEDS: Readonly<Record<string, 'names' | 'settings'>> = {
  complete: 'names',
  completion: 'names',
  current: 'names',
  help: 'names',
  history: 'names',
  'keep-proxy': 'names',
  logs: 'names',
  pin: 'names',
  reader: 'names',
  run: 'names',
  'shell-init': 'names',
  shims: 'names',
  tag: 'names',
  unpin: 'names',
  wait: 'names',
  watch: 'names',
  check: 'settings',
  doctor: 'settings',
  explain: 'settings',
  list: 'settings',
  notify: 'settings',
  serve: 'settings',
  show: 'settings',
  status: 'settings',
};

async function goByConfiguration(
  command: Command,
  read: CommandContext['configuration'],
): Promise<void> {
  await replaceNames(command, read);
  const need = NEEDS[command.name()];
  if (need === 'names') return;
  const configuration = await read();
  const problem = configuration.problem();
  if (problem !== undefined && need === undefined) throw problem;
  goBy(configuration);
  const root = onlyMirror(command);
  if (root === undefined) return;
  const options = withConfigured(command, configuration.flagsFor(root));
  for (const [name, value] of Object.entries(options))
    if (value !== command.getOptionValue(name))
      command.setOptionValueWithSource(name, value, 'config');
}

async function withConfiguration(
  error: MirrorlatchError,
  read: CommandContext['configuration'],
): Promise<MirrorlatchError> {
  const configuration = await read();
  return withNamedMirror(error, configuration.read(), configuration.problem());
}

/** `--config FILE`, which may stand before or after the verb. */
function takeConfigOption(words: readonly string[]): {
  typed: readonly string[];
  file: string | undefined;
} {
  const at = words.findIndex((word) => word === '--config' || word.startsWith('--config='));
  if (at === -1) return { typed: words, file: undefined };
  const [word = '', next] = words.slice(at, at + 2);
  const isApart = word === '--config';
  const file = isApart ? next : word.slice('--config='.length);
  return { typed: words.toSpliced(at, isApart ? 2 : 1), file: file ?? '' };
}

function onlyOnce<Value>(make: () => Promise<Value>): () => Promise<Value> {
  let made: Promise<Value> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

/** What is wrong with the options of a line of rsync, all at once: the first unknown one hides no other. */
function withRefusals(
  error: MirrorlatchError,
  line: DividedLine | undefined,
  options: readonly OwnOption[],
): MirrorlatchError {
  if (line === undefined) return error;
  const unknown = line.own.filter((word) => /^-./.test(word) && !findOption(word, options));
  const problems = unknown.map((word) => {
    const problem = `unknown option '${word}'`;
    const question = askForNearest(shownName([word]));
    const message = question === '' ? problem : `${problem}.${question}`;
    return new MirrorlatchError('USAGE', message, { hint: error.hint });
  });
  // One of ours is meant rather.
  const [first = error] = /Did you mean/.test(error.message) ? [] : problems;
  return together(first, [
    ...problems.slice(1),
    ...splitOptions(line.rsync).flatMap(({ refusal = [] }) => refusal),
  ]);
}

/** The options of the one command that was loaded. */
function optionsWithHelp({ commands: [command] }: Command): OwnOption[] {
  return [...(command?.options ?? []), { long: '--help', required: false }];
}

/** Node has replaced the invalid bytes, so that a path would name something else. */
function refuseOtherThanUtf8(words: readonly string[]): void {
  const word = words.find((one) => one.includes('\uFFFD'));
  if (word === undefined) return;
  throw new MirrorlatchError('USAGE', `${JSON.stringify(word)} is not valid UTF-8`, {
    hint: 'Reach that path by a symlink whose name is.',
  });
}

/**
 * Refuses an option that is followed by another, although it needs a value: commander takes whatever
 * follows.
 *
 * @param words those before a `--`.
 */
function refuseOptionsAsValues(program: Command, [name = '', ...words]: readonly string[]): void {
  const verb = program.commands.find((command) => command.name() === name);
  // As `gate` has its own.
  const { options = [] } = verb?.commands.find((inner) => inner.name() === words[0]) ?? verb ?? {};
  const named = (word: string | undefined) =>
    options.find(({ long, short }) => word !== undefined && (word === long || word === short));
  for (let at = 0; at < words.length; at += 1) {
    const [word = '', value = ''] = words.slice(at, at + 2);
    if (named(word)?.required !== true) continue;
    at += 1;
    if (!value.startsWith('--')) continue;
    const isSwapped = named(value)?.required === false && /^[^-]/.test(words[at + 1] ?? '');
    const swapped = words.toSpliced(at - 1, 2, value, word);
    const line = ['mirrorlatch', name, ...swapped].map(quoteForSh).join(' ');
    throw new MirrorlatchError('USAGE', `${word} is missing its value: ${value} follows it`, {
      hint: isSwapped ? `Did you mean: ${line}` : `A value like that is written: ${word}=${value}`,
    });
  }
}

/** Like env(1), `run` and `lock` have codes of their own for failures that are not the command's. */
function endAfter(
  { code, exitCode }: MirrorlatchError,
  command: string | undefined,
): number | NodeJS.Signals {
  if (command !== 'run' && command !== 'lock') return exitCode;
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

/** Options of rsync that a mirror has no use for, so that they are not worth a hint. */
const NO_USE = /'(-[vq]|--verbose|--quiet)'/;

/** So many commands have an option that says nothing of which of them was meant. */
const MANY = 3;

/** What there is to know about a command line that is wrong. */
interface Facts {
  /** The command that was named, if it is one of ours. */
  command: string | undefined;
  options: readonly OwnOption[];
  /** Those of all commands, by name, if the command line does not have a `--`. */
  others: ReadonlyMap<string, readonly OwnOption[]>;
  isSeparated: boolean;
}

async function facts(
  program: Command,
  commands: Readonly<Record<string, LoadCommand>>,
  command: string | undefined,
  isSeparated: boolean,
): Promise<Facts> {
  const options = program.commands.find((one) => one.name() === command)?.options ?? [];
  return { command, options, others: await optionsOf(commands), isSeparated };
}

/** The options of all commands. Only an error loads them all. */
async function optionsOf(
  commands: Readonly<Record<string, LoadCommand>>,
): Promise<Map<string, readonly OwnOption[]>> {
  const all = new Command();
  const context: CommandContext = {
    operands: [],
    signal: abortOnSignals,
    setExitCode() {},
    endBySignal() {},
    configuration: () => Promise.reject(new Error('only the options are of interest')),
  };
  for (const load of Object.values(commands)) (await load())(all, context);
  return new Map(all.commands.map((one) => [one.name(), one.options]));
}

/** The command line with its `--`, as it was probably meant, or the command that has the option. */
function commandMeant(
  words: readonly string[],
  { message, code }: CommanderError,
  { command = '', options, others, isSeparated }: Facts,
): string {
  if (message.includes('Did you mean')) return '';
  if (RUNNERS.has(command) && !isSeparated) {
    const [, mirror] = words;
    const isOperand = mirror !== undefined && !mirror.startsWith('-') && words.length > 2;
    if (isOperand && !mayBeMirror(mirror)) {
      const rest = words.slice(1).map(quoteForSh).join(' ');
      return `No mirror was named. Name it before the command: mirrorlatch ${command} MIRROR -- ${rest}`;
    }
    const line = withSeparator(words, options, mayBeMirror);
    // With an option that is not ours there, or without a command, it would only fail anew.
    if (isOperand && line === undefined) return '';
    return `Put the command to run after --: ${line ?? `mirrorlatch ${command} MIRROR -- COMMAND`}`;
  }
  if (code !== 'commander.unknownOption' || NO_USE.test(message)) return '';
  const [, word = ''] = /'([^']*)'/.exec(message) ?? [];
  const owner = [...others].find(([, theirs]) => findOption(word, theirs) !== undefined);
  if (command === 'init' && !isSeparated && !(owner && word.startsWith('--'))) {
    const line = withRsyncOptionsLast(words, options);
    if (line !== undefined) return `Put options of rsync after --: ${line}`;
  }
  const [other] = owner ?? [];
  // What many commands have is no sign of which one was meant.
  const isCommon = [...others].filter(([, theirs]) => findOption(word, theirs)).length > MANY;
  return other === undefined || isCommon
    ? ''
    : `${word} belongs to ${other}: mirrorlatch ${other} --help`;
}

function mayBeMirror(word: string): boolean {
  return word.includes('/') || existsSync(word);
}

/** @param words those before a `--`. */
function usageError(
  error: CommanderError,
  words: readonly string[],
  known: Facts,
): MirrorlatchError {
  const { command } = known;
  const meant = command === undefined ? '' : commandMeant(words, error, known);
  const help =
    command === undefined
      ? 'See the commands with: mirrorlatch --help'
      : `See the options and examples with: mirrorlatch ${command} --help`;
  return new MirrorlatchError('USAGE', inOurWords(error, known.options), { hint: meant || help });
}

function inOurWords({ message, code }: CommanderError, options: readonly OwnOption[]): string {
  const text = message.replace(/^error: /, '').replace(/\n\((Did you mean .*)\)$/, '. $1');
  const [, name = ''] = /'([^']*)'/.exec(text) ?? [];
  switch (code) {
    case 'commander.unknownOption': {
      // Commander goes by the number of letters that differ, and so misses what was cut short.
      const longer = options.flatMap(({ long }) => (long?.startsWith(`${name}-`) ? [long] : []));
      return longer.length === 0
        ? text
        : `unknown option '${name}'. Did you mean ${longer.join(' or ')}?`;
    }
    case 'commander.invalidArgument':
      return text.replace(
        /^command-argument value (.*) is invalid for argument '(.*?)'/,
        '$2 cannot be $1',
      );
    case 'commander.missingArgument':
      return `${name === 'paths' ? 'ROOT' : name} is missing`;
    case 'commander.optionMissingArgument':
      return `${name} is missing its value`;
    default:
      return text;
  }
}
