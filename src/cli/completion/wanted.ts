import { takesNextWord } from '../../rsync/options.ts';

/** A command, as commander knows it, as far as completion asks. */
export interface Grammar {
  options: readonly OptionGrammar[];
  args: readonly ArgumentGrammar[];
  /** What its usage shows behind `--`. */
  operands: 'command' | 'rsync' | 'none';
  /** Whether options of rsync may stand among its own. */
  takesRsyncOptions: boolean;
}

interface ArgumentGrammar {
  name: string;
  choices: readonly string[] | undefined;
  variadic: boolean;
  namesMirror: boolean;
}

interface OptionGrammar {
  long: string | undefined;
  short: string | undefined;
  /** The name of its value in the help; undefined if it takes none. */
  value: string | undefined;
  choices: readonly string[] | undefined;
  namesMirror: boolean;
}

/** What the word at the cursor may become. */
export type Wanted =
  | { kind: 'option' }
  | { kind: 'rsync-option' }
  | { kind: 'choice'; choices: readonly string[] }
  | { kind: 'mirror' }
  /** What the help calls so, such as `DIR` or `id`. */
  | { kind: 'value'; name: string }
  /** A command with arguments of its own begins before this word, or is it. */
  | { kind: 'command' };

/** What is asked for at the cursor. */
export interface Question {
  wanted: Wanted;
  /** The part of the word before its value, such as `--pin=`. */
  before: string;
  /** The mirror that is named on the line, if one is. */
  mirror: string | undefined;
}

/**
 * Finds out what the last word is about. Pure.
 *
 * @param words those behind the name of the command, without quotes.
 */
export function questionAt(words: readonly string[], grammar: Grammar): Question {
  const typed = words.slice(0, -1);
  const word = words.at(-1) ?? '';
  const operands: string[] = [];
  let mirror: string | undefined;
  const note = (named: { namesMirror: boolean; variadic?: boolean } | undefined, value: string) => {
    // Of paths, the mirror is the last: its source comes before it.
    if (named?.namesMirror && (mirror === undefined || named.variadic)) mirror = value;
  };
  for (let at = 0; at < typed.length; at += 1) {
    const one = typed[at] ?? '';
    if (one === '--') return { wanted: behindDashes(grammar), before: '', mirror };
    if (!isOption(one)) {
      note(argumentAt(grammar, operands.length), one);
      operands.push(one);
      continue;
    }
    const option = findOption(one, grammar);
    const joined = valueIn(one);
    if (option === undefined) {
      if (grammar.takesRsyncOptions && takesNextWord(one)) at += 1;
      continue;
    }
    if (option.value === undefined) continue;
    if (joined !== undefined) {
      note(option, joined);
      continue;
    }
    at += 1;
    if (at === typed.length) return { wanted: ofOption(option), before: '', mirror };
    note(option, typed[at] ?? '');
  }
  const joined = findOption(word, grammar);
  const value = valueIn(word);
  if (joined?.value !== undefined && value !== undefined)
    return { wanted: ofOption(joined), before: word.slice(0, word.length - value.length), mirror };
  if (isOption(word)) return { wanted: { kind: 'option' }, before: '', mirror };
  const argument = argumentAt(grammar, operands.length);
  if (argument === undefined) return { wanted: NOTHING, before: '', mirror };
  return { wanted: valueWanted(argument.name, argument), before: '', mirror };
}

const NOTHING: Wanted = { kind: 'choice', choices: [] };

function behindDashes({ operands }: Grammar): Wanted {
  switch (operands) {
    case 'command':
      return { kind: 'command' };
    case 'rsync':
      return { kind: 'rsync-option' };
    case 'none':
      return NOTHING;
  }
}

function ofOption(option: OptionGrammar): Wanted {
  return valueWanted(option.value ?? '', option);
}

function valueWanted(
  name: string,
  { choices, namesMirror }: Pick<OptionGrammar, 'choices' | 'namesMirror'>,
): Wanted {
  if (namesMirror) return { kind: 'mirror' };
  return choices ? { kind: 'choice', choices } : { kind: 'value', name };
}

function argumentAt({ args }: Grammar, at: number): ArgumentGrammar | undefined {
  const last = args.at(-1);
  return args[at] ?? (last?.variadic ? last : undefined);
}

function isOption(word: string): boolean {
  return word.startsWith('-');
}

function findOption(word: string, { options }: Grammar): OptionGrammar | undefined {
  const name = word.startsWith('--') ? word.split('=')[0] : word;
  return options.find(({ long, short }) => name === long || name === short);
}

function valueIn(word: string): string | undefined {
  return /^--[^=]+=(.*)$/s.exec(word)?.[1];
}
