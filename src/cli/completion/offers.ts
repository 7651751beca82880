import { readdirSync, readlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Command, type Option } from 'commander';
import { layoutOf, ownNames } from '../../mirror/layout.ts';
import { isSnapshotId } from '../../mirror/snapshot-id.ts';
import { OPTIONS } from '../../rsync/option-table.ts';
import { readTopics } from '../manual.ts';
import { MirrorArgument, MirrorOption } from '../mirror-names.ts';
import { type Grammar, questionAt, type Wanted } from './wanted.ts';

/** A word that may stand at the cursor. */
interface Offer {
  value: string;
  description: string;
}

/** What the shell offers beside them, by means of its own. `command` completes what stands behind `--`. */
type ByShell = 'none' | 'files' | 'directories' | 'commands' | 'command';

export interface Offers {
  byShell: ByShell;
  offers: Offer[];
  /** What of the word is to stay before each of them, such as `--pin=`. */
  before: string;
}

/** Adds commands to `program`: the named one, or all. */
export type LoadCommands = (program: Command, name?: string) => Promise<void>;

/**
 * The paths of the mirrors that a configuration names, by their names.
 *
 * @param file that of `--config` on the line, if it is there.
 */
export type ReadMirrors = (file?: string) => Promise<ReadonlyMap<string, string>>;

/** What is asked when there is a need of it, because it takes time. */
export interface Sources {
  load: LoadCommands;
  readMirrors: ReadMirrors;
}

/**
 * What may stand at the cursor, whatever of it is typed already.
 *
 * @param line the words behind `mirrorlatch`, up to the cursor, without quotes.
 */
export async function offersAt(
  line: readonly string[],
  { load, readMirrors }: Sources,
): Promise<Offers> {
  const { words, file, isFileWanted } = withoutConfig(line);
  if (isFileWanted) return { byShell: 'files', offers: [], before: '' };
  const [name = '', ...rest] = words;
  const sources = { load, readMirrors: () => readMirrors(file) };
  if (rest.length === 0) return ofWords(name.startsWith('-') ? GENERAL : await commandsOf(load));
  const program = new Command();
  await load(program, name);
  const verb = program.commands.find((command) => command.name() === name);
  if (verb === undefined) return ofWords([]);
  if (verb.commands.length === 0) return ofCommand(verb, rest, sources);
  const [inner = '', ...more] = rest;
  if (more.length === 0) return ofWords(described(verb.commands));
  const command = verb.commands.find((one) => one.name() === inner);
  return command === undefined ? ofWords([]) : ofCommand(command, more, sources);
}

const HELP: Offer = { value: '--help', description: 'show options, examples and exit codes' };
const CONFIG: Offer = { value: '--config', description: 'read this configuration alone' };
const GENERAL: readonly Offer[] = [
  HELP,
  CONFIG,
  { value: '--version', description: 'show the version' },
];

/** `--config FILE` may stand before or after the name of a command. */
function withoutConfig(line: readonly string[]): {
  words: readonly string[];
  file: string | undefined;
  isFileWanted: boolean;
} {
  const end = line.indexOf('--');
  const own = end === -1 ? line : line.slice(0, end);
  const at = own.findIndex((word) => word === '--config' || word.startsWith('--config='));
  const isApart = line[at] === '--config';
  // The word at the cursor may still become another.
  if (at === -1 || (at === line.length - 1 && isApart))
    return { words: line, file: undefined, isFileWanted: false };
  const file = isApart ? line[at + 1] : line[at]?.slice('--config='.length);
  const words = line.toSpliced(at, isApart ? 2 : 1);
  return { words, file, isFileWanted: at + (isApart ? 2 : 1) === line.length };
}

async function commandsOf(load: LoadCommands): Promise<Offer[]> {
  const program = new Command();
  await load(program);
  return described(program.createHelp().visibleCommands(program));
}

function described(commands: readonly Command[]): Offer[] {
  return commands.map((one) => ({
    value: one.name(),
    description: one.summary() || one.description(),
  }));
}

async function ofCommand(
  command: Command,
  words: readonly string[],
  sources: Sources,
): Promise<Offers> {
  const grammar = grammarOf(command);
  const { wanted, before, mirror } = questionAt(words, grammar);
  const found = await answer(wanted, { command, grammar, mirror, ...sources });
  return { ...found, before };
}

interface Context extends Sources {
  command: Command;
  grammar: Grammar;
  mirror: string | undefined;
}

async function answer(wanted: Wanted, context: Context): Promise<Omit<Offers, 'before'>> {
  const { command, grammar, mirror, load, readMirrors } = context;
  switch (wanted.kind) {
    case 'option':
      return ofWords([...optionsOf(command), ...(grammar.takesRsyncOptions ? rsyncOptions() : [])]);
    case 'rsync-option':
      return ofWords(rsyncOptions());
    case 'choice':
      return ofWords(wanted.choices.map((value) => ({ value, description: '' })));
    case 'command':
      return { byShell: 'command', offers: [] };
    case 'mirror':
      return { byShell: 'directories', offers: namesOf(await readMirrors()) };
    case 'value': {
      const { name } = wanted;
      if (name === 'NAME')
        return ofWords(
          command.name() === 'help'
            ? [...(await commandsOf(load)), ...topics()]
            : namesOf(await readMirrors()),
        );
      if (mirror === undefined || !IN_MIRROR.test(name)) return ofValue(name);
      const root = (await readMirrors()).get(mirror) ?? mirror;
      if (/^tag$/i.test(name)) return ofWords(await tagsOf(root));
      return ofWords(/^channel$/i.test(name) ? channelsOf(root) : snapshotsOf(root));
    }
  }
}

/** The names that the help gives to snapshots, channels and tags. */
const IN_MIRROR = /^(id|a|b|channel|tag)$/i;

/** By the names that the help gives to values. */
function ofValue(name: string): Omit<Offers, 'before'> {
  if (/^(src|dir|directory)$/i.test(name)) return { byShell: 'directories', offers: [] };
  if (/^file$/i.test(name)) return { byShell: 'files', offers: [] };
  return name === 'COMMAND' ? { byShell: 'commands', offers: [] } : ofWords([]);
}

function namesOf(mirrors: ReadonlyMap<string, string>): Offer[] {
  return [...mirrors].map(([value, root]) => ({ value, description: root }));
}

function ofWords(offers: readonly Offer[]): Offers {
  return { byShell: 'none', offers: [...offers], before: '' };
}

function optionsOf(command: Command): Offer[] {
  const options = command.options.flatMap(({ long, short, description, hidden }) =>
    hidden ? [] : [long, short].flatMap((value) => (value ? [{ value, description }] : [])),
  );
  return [...options, HELP, CONFIG];
}

/** All but those that are refused. */
function rsyncOptions(): Offer[] {
  return OPTIONS.flatMap(({ long, meaning }) => {
    const isRefused = typeof meaning === 'object' && 'refused' in meaning;
    return long === undefined || isRefused ? [] : [{ value: `--${long}`, description: 'of rsync' }];
  });
}

function topics(): Offer[] {
  return readTopics().map(({ name, title }) => ({ value: name, description: title }));
}

function snapshotsOf(root: string): Offer[] {
  const { snapshots, current, previous } = layoutOf(root);
  const ids = namesIn(snapshots).filter(isSnapshotId).sort().reverse();
  const links = [current, previous].flatMap((path) => {
    const id = snapshotAt(path);
    return id === undefined
      ? []
      : [{ value: path.slice(dirname(path).length + 1), description: id }];
  });
  return [...links, ...ids.map((value) => ({ value, description: 'snapshot' }))];
}

/** The symlinks beside `current` that name a snapshot, too. */
function channelsOf(root: string): Offer[] {
  const own = ownNames(layoutOf(root));
  return namesIn(root).flatMap((value) => {
    const id = own.includes(value) ? undefined : snapshotAt(join(root, value));
    return id === undefined ? [] : [{ value, description: id }];
  });
}

/** Those that snapshots have, and those that a rule keeps. */
async function tagsOf(root: string): Promise<Offer[]> {
  const { readMarks } = await import('../../mirror/retention/marks.ts');
  const { findMirror } = await import('../../mirror/open.ts');
  try {
    const { layout, settings } = findMirror(root) ?? {};
    if (layout === undefined) return [];
    const ids = new Map((settings?.keepTags ?? []).map((tag): [string, string[]] => [tag, []]));
    for (const [id, { tags }] of readMarks(layout))
      for (const tag of tags) ids.set(tag, [...(ids.get(tag) ?? []), id]);
    return [...ids]
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([value, having]) => ({ value, description: having.join(', ') || 'kept by a rule' }));
  } catch {
    return [];
  }
}

function snapshotAt(link: string): string | undefined {
  try {
    return /^snapshots\/([^/]+)$/.exec(readlinkSync(link))?.[1];
  } catch {
    return undefined;
  }
}

/** None of what is not there, or not open to this user. */
function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** What names a mirror, though not as an argument of that kind. */
const OTHER_MIRRORS = /^(paths|root|mirror)\b/i;

function grammarOf(command: Command): Grammar {
  const usage = command.usage();
  return {
    options: command.options.map(grammarOfOption),
    args: command.registeredArguments.map((argument) => ({
      name: argument.name(),
      choices: argument.argChoices,
      variadic: argument.variadic,
      namesMirror: argument instanceof MirrorArgument || OTHER_MIRRORS.test(argument.name()),
    })),
    operands: /-- COMMAND/.test(usage) ? 'command' : /-- RSYNC/.test(usage) ? 'rsync' : 'none',
    takesRsyncOptions: /\[RSYNC_OPTIONS\]/.test(usage) && !/-- RSYNC/.test(usage),
  };
}

function grammarOfOption(option: Option): Grammar['options'][number] {
  const { long, short, flags, required, argChoices } = option;
  const [, name = ''] = /<(.*)>$/.exec(flags) ?? [];
  return {
    long,
    short,
    value: required ? (long === '--channel' ? 'channel' : name) : undefined,
    choices: argChoices,
    namesMirror: option instanceof MirrorOption || (required && OTHER_MIRRORS.test(name)),
  };
}
