import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { commands } from '../../../src/cli/commands.ts';
import type { CommandContext } from '../../../src/cli/context.ts';
import { KEYS } from '../../../src/config/schema.ts';
import { EXIT_CODES, GUARD_FAILED } from '../../../src/errors.ts';
import { OPTIONS } from '../../../src/rsync/option-table.ts';
import { parseRsyncOptions } from '../../../src/rsync/options.ts';
import {
  anchorsIn,
  codeIn,
  contributing,
  type Document,
  linksIn,
  nameOfTopic,
  readme,
  topics,
} from '../../support/documents.ts';
import { project } from '../../support/project.ts';

const forUsers = [readme, ...topics];
const all = [...forUsers, contributing];

const program = await makeProgram();

test('README.md can be read in five minutes', () => {
  expect(readme.text.trimEnd().split('\n').length).toBeLessThanOrEqual(200);
});

test('CONTRIBUTING.md is short', () => {
  expect(contributing.text.trimEnd().split('\n').length).toBeLessThanOrEqual(120);
});

test('README.md links to every topic', () => {
  const linked = new Set(linksIn(readme).map((link) => link.split('#')[0]));
  expect(topics.map(({ path }) => path).filter((path) => !linked.has(path))).toEqual([]);
});

test.for(all)('no relative link of $path is broken', (document) => {
  const relative = linksIn(document).filter((link) => !/^\w+:/.test(link));
  expect(relative.filter((link) => !leadsSomewhere(document, link))).toEqual([]);
});

test.for(topics)('$path has one title, in plain words', ({ text }) => {
  expect(text).toMatch(/^# [A-Z][^*`[\]<>]*\n/);
  expect(text.match(/^# /gm)).toHaveLength(1);
});

test('no topic has the name of a command, which help would show instead', () => {
  const names = program.commands.map((command) => command.name());
  expect(topics.map(nameOfTopic).filter((name) => names.includes(name))).toEqual([]);
});

test('the tables of exit-codes name every exit code, and no other', () => {
  const { text = '' } = topics.find((topic) => nameOfTopic(topic) === 'exit-codes') ?? {};
  const rows = text.split('\n').flatMap((line) => /^\| ([\d, ]+) \|/.exec(line)?.[1] ?? []);
  const named = new Set(rows.flatMap((codes) => codes.split(', ').map(Number)));
  const all = new Set([0, GUARD_FAILED, ...Object.values(EXIT_CODES)]);
  expect([...named].sort()).toEqual([...all].sort());
});

test('npm installs the man page of the program and of every topic', () => {
  const { man } = JSON.parse(readFileSync(join(project, 'package.json'), 'utf8'));
  expect(man).toEqual([
    './dist/man/mirrorlatch.1',
    ...topics.map((topic) => `./dist/man/mirrorlatch-${nameOfTopic(topic)}.7`),
  ]);
});

describe('Every named command and option exists', () => {
  test.for(all)('in $path', (document) => {
    const named = codeIn(document).flatMap(commandLinesIn);
    expect(named.flatMap(({ words }) => unknownIn(words))).toEqual([]);
  });

  test.for(forUsers)('among the single options of $path', (document) => {
    const options = codeIn(document).filter((code) => /^--?[a-z][\w-]*(=\S*)?$/i.test(code));
    expect(options.filter((option) => !isOption(option.split('=')[0] ?? ''))).toEqual([]);
  });

  test('and every command is named', () => {
    const named = forUsers.flatMap(codeIn).flatMap(commandLinesIn);
    expect(named.length).toBeGreaterThan(100);
    const used = new Set(named.map(({ words }) => words[0]));
    const visible = program.createHelp().visibleCommands(program);
    expect(visible.map((command) => command.name()).filter((name) => !used.has(name))).toEqual([]);
  });
});

test('the table of configuration names every key, and no other', () => {
  const { text = '' } = topics.find((topic) => nameOfTopic(topic) === 'configuration') ?? {};
  const rows = text.split('\n').flatMap((line) => /^\| (`.*?) \|/.exec(line)?.[1] ?? []);
  const named = rows.flatMap((row) => [...row.matchAll(/`([\w-]+)`/g)].map(([, key]) => key));
  expect(named.sort()).toEqual([...KEYS].sort());
});

describe('rsync-options.md is right', () => {
  const [document] = topics.filter((topic) => nameOfTopic(topic) === 'rsync-options');
  const sections = new Map(
    (document?.text ?? '')
      .split(/^## /m)
      .map((section) => [section.split('\n', 1)[0] ?? '', section]),
  );
  const known = OPTIONS.flatMap(({ long }) => (long === undefined ? [] : [`--${long}`]));

  test('about refused options', () => {
    const rows = sections.get('Options that are refused')?.match(/^\| `.*?\|/gm) ?? [];
    const listed = rows.flatMap(optionsIn);
    expect(listed.sort()).toEqual(known.filter((option) => fateOf(option) === 'refused').sort());
  });

  test('about options that need a whole pass', () => {
    const [, text = ''] = sections.get('Options that need a whole pass')?.split('tree:', 2) ?? [];
    const [list = ''] = text.split('With one of them');
    const whole = known.filter((option) => fateOf(option) === 'whole');
    // Other spellings of the same option: rsync(1).
    const others = ['--no-recursive', '--no-r', '--old-dirs', '--old-d'];
    expect(optionsIn(list).sort()).toEqual(
      whole.filter((option) => !others.includes(option)).sort(),
    );
  });

  test('about options that change nothing', () => {
    const rows = sections.get('Options that change nothing')?.match(/^\| `.*?\|/gm) ?? [];
    const leftOut = OPTIONS.filter(
      ({ meaning }) => typeof meaning === 'object' && 'leftOut' in meaning,
    );
    const options = leftOut.flatMap(({ long }) => (long === undefined ? [] : [`--${long}`]));
    expect(rows.flatMap(optionsIn).sort()).toEqual(options.sort());
    const others = optionsIn(sections.get('Options that change nothing')?.split('\n\n')[3] ?? '');
    expect(others.length).toBeGreaterThan(3);
    expect(others.filter((option) => fateOf(option) !== 'left out')).toEqual([]);
  });
});

/** All commands, as the program has them. */
async function makeProgram(): Promise<Command> {
  const made = new Command('mirrorlatch');
  for (const load of Object.values(commands)) (await load())(made, {} as CommandContext);
  return made;
}

function leadsSomewhere({ path, text }: Document, link: string): boolean {
  const [file = '', anchor] = link.split('#');
  const target = file === '' ? path : join(dirname(path), file);
  if (!existsSync(join(project, target))) return false;
  if (anchor === undefined) return true;
  const goal = file === '' ? text : readFileSync(join(project, target), 'utf8');
  return anchorsIn({ path: target, text: goal }).includes(anchor);
}

/** `mirrorlatch sync …` anywhere in the code, and code that begins with the name of a command. */
function commandLinesIn(code: string): { words: string[] }[] {
  const whole = [...code.matchAll(/\bmirrorlatch ([^"'`)|>]+)/g)].map(([, rest]) => rest ?? '');
  const begins = /^[a-z][\w-]*/.exec(code)?.[0] ?? '';
  const isShort = findCommand(program, begins) !== undefined && / -/.test(code);
  return [...whole, ...(isShort ? [code] : [])].map((line) => ({
    words: (line.split(' -- ')[0] ?? '').trim().split(/\s+/),
  }));
}

/** The words of a command line, without `mirrorlatch`, that are neither a command nor an option. */
function unknownIn(words: readonly string[]): string[] {
  const [name = '', next = ''] = words;
  // `mirrorlatch --help`, and COMMAND as a word for any.
  if (name.startsWith('-') || /^[A-Z]+$/.test(name)) return [];
  const outer = findCommand(program, name);
  if (outer === undefined) return [`mirrorlatch ${name}`];
  const command = findCommand(outer, next) ?? outer;
  if (name === 'help') {
    const isThere = findCommand(program, next) ?? topics.find((each) => nameOfTopic(each) === next);
    return isThere || /^[A-Z]*$/.test(next) ? [] : [`mirrorlatch help ${next}`];
  }
  return (
    words
      .filter((word) => /^--?[a-z]/i.test(word))
      .map((word) => word.split('=')[0] ?? '')
      .filter((word) => word !== '--help' && !optionsOf(command).includes(word))
      // A line of rsync may follow.
      .filter((word) => name !== 'sync' || fateOf(word) === 'unknown')
      .map((word) => `mirrorlatch ${command.name()} ${word}`)
  );
}

function findCommand(parent: Command, name: string): Command | undefined {
  return parent.commands.find((command) => command.name() === name);
}

function optionsOf(command: Command): string[] {
  return command.options.flatMap(({ long, short }) => [long, short].flatMap((each) => each ?? []));
}

/** Of any command, of the standalone reader, or of rsync. */
function isOption(word: string): boolean {
  const everyCommand = program.commands.flatMap((command) => [command, ...command.commands]);
  const reader = readFileSync(join(project, 'src/reader/reader.sh'), 'utf8');
  return (
    word === '--help' ||
    everyCommand.some((command) => optionsOf(command).includes(word)) ||
    new RegExp(`^  ${word} `, 'm').test(reader) ||
    fateOf(word) !== 'unknown'
  );
}

function optionsIn(text: string): string[] {
  return [...text.matchAll(/`(--[\w-]+)`/g)].map(([, option]) => option ?? '');
}

/** How an option of rsync is treated. */
function fateOf(option: string): 'passed' | 'whole' | 'left out' | 'refused' | 'unknown' {
  try {
    const { args, needsWholePass } = parseRsyncOptions([option, '1']);
    return args.length === 0 ? 'left out' : needsWholePass === undefined ? 'passed' : 'whole';
  } catch (error) {
    const { message } = error as Error;
    if (/does not know it/.test(message)) return 'unknown';
    // Without a value for an option that takes none, the second word is the wrong one.
    return /cannot be used/.test(message) ? 'refused' : fateOfFlag(option);
  }
}

function fateOfFlag(option: string): 'passed' | 'whole' | 'left out' {
  const { args, needsWholePass } = parseRsyncOptions([option]);
  return args.length === 0 ? 'left out' : needsWholePass === undefined ? 'passed' : 'whole';
}
