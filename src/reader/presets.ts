import { basename } from 'node:path';
import { PROGRAMS, type Program, type Use, WRAPPERS } from './programs.ts';

export interface Preset {
  /** Commands of one family share their lists: `apt-get update` serves `apt install`. */
  readonly family: string;
  readonly use: Use;
  /**
   * It works with what is on this host, such as lists that were fetched before. Of a mirror by HTTP, it requests nothing, or no
   * more than what has become too old.
   */
  readonly isLocal?: boolean;
}

/**
 * Finds out from a command's words whether it fetches its package manager's lists or relies on
 * lists fetched before. It looks through directories, wrappers such as `sudo`, `env NAME=value` and
 * `nice`, and `python3 -m pip`, but not into the script of `sh -c`. Pure.
 */
export function presetFor(command: readonly string[]): Preset {
  const [file = '', ...rest] = unwrapped(command);
  const name = basename(file);
  const program = PROGRAMS.find(({ names }) => names.test(name));
  if (program === undefined) return { family: 'other', use: 'pin' };
  return { family: program.family, ...useOf(program, rest) };
}

/** The family of a command's package manager, and the place of that among the words, after all wrappers. Pure. */
export function placeOfProgram(command: readonly string[]): { family: string; at: number } {
  const words = unwrapped(command);
  return { family: presetFor(command).family, at: command.length - words.length };
}

/** The command that fetches the lists of a family, as a user types it. Pure. */
export function refreshOf(family: string): string | undefined {
  return PROGRAMS.find((program) => program.family === family)?.refresh;
}

function useOf(program: Program, given: readonly string[]): Omit<Preset, 'family'> {
  const { options, operands } = parse(given, program.valued);
  const known = Object.entries(program.subcommands) as [Use, readonly string[]][];
  const subcommand = program.subcommandIsOption
    ? options.find((option) => known.some(([, names]) => names.includes(option)))
    : operands[0];
  const use =
    subcommand === undefined
      ? program.bare
      : (known.find(([, names]) => names.includes(subcommand))?.[0] ?? program.otherwise);
  const rule = program.options.find(
    ({ names, of }) =>
      names.some((name) => options.includes(name)) &&
      (of === undefined ? use !== 'none' : subcommand !== undefined && of.includes(subcommand)),
  );
  if (rule !== undefined)
    return rule.isLocal ? { use: rule.use, isLocal: true } : { use: rule.use };
  const ofTwoWords = operands.slice(0, 2).join(' ');
  const isLocal = [subcommand, ofTwoWords].some((one) => program.local?.includes(one ?? ''));
  return isLocal ? { use, isLocal } : { use };
}

/** The command inside all wrappers. */
function unwrapped(command: readonly string[]): readonly string[] {
  const [file = '', ...rest] = command;
  const name = basename(file);
  if (/^python[\d.]*$/.test(name)) {
    const module = rest.indexOf('-m') + 1;
    return rest[module] === 'pip' && module > 0 ? rest.slice(module) : command;
  }
  const wrapper = WRAPPERS.find(({ names }) => names.test(name));
  if (wrapper === undefined) return command;
  let at = parse(rest, wrapper.valued, 'first operand').end;
  while (wrapper.takesAssignments && /^[^=]+=/.test(rest[at] ?? '')) at += 1;
  return unwrapped(rest.slice(at + (wrapper.operands ?? 0)));
}

interface Parsed {
  /** Names without values; `-Sy` counts as `-S` and `-y`. */
  options: string[];
  operands: string[];
  /** The index at which parsing stopped. */
  end: number;
}

/** Parses words as getopt_long(3) does, and as apt does, which also accepts `-q=2` and `-t=sid`. */
function parse(
  given: readonly string[],
  valued: readonly string[],
  until: 'end' | 'first operand' = 'end',
): Parsed {
  const options: string[] = [];
  const operands: string[] = [];
  let at = 0;
  for (; at < given.length; at += 1) {
    const word = given[at] ?? '';
    if (word === '--') {
      at += 1;
      break;
    }
    if (word.startsWith('--')) {
      const [name = ''] = word.split('=', 1);
      options.push(name);
      if (name === word && valued.includes(name)) at += 1;
    } else if (word.startsWith('-') && word !== '-') {
      for (let index = 1; index < word.length && word[index] !== '='; index += 1) {
        const name = `-${word[index]}`;
        options.push(name);
        if (!valued.includes(name)) continue;
        if (index === word.length - 1) at += 1;
        break;
      }
    } else if (until === 'first operand') {
      break;
    } else {
      operands.push(word);
    }
  }
  if (until === 'end') operands.push(...given.slice(at));
  return { options, operands, end: Math.min(at, given.length) };
}
