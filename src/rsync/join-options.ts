import { quoteForSh } from '../system/quote.ts';
import {
  FILTER_RULES,
  type NamedOption,
  optionValue,
  parseRsyncOptions,
  splitOptions,
} from './options.ts';

/** Further options that add to earlier ones of the same name, where others replace them. */
const ADDING: ReadonlySet<string> = new Set(['chmod', 'remote-option']);

/** Whether options may exclude something. */
export function haveRules(options: readonly string[]): boolean {
  const { named } = parseRsyncOptions(options);
  return named.some(isRule);
}

function isRule({ name }: Pick<NamedOption, 'name'>): boolean {
  return FILTER_RULES.has(name) || name === 'cvs-exclude';
}

export interface JoinedOptions {
  args: string[];
  /** Sentences about options that contradict each other. */
  contradictions: string[];
}

/**
 * Adds the options of one call to those that a mirror remembers. What is remembered comes first, so
 * that what it excludes stays excluded; of other options, rsync heeds the last. Options that rsync must
 * not get are joined, too, and refused elsewhere. Pure.
 *
 * @param root that of the mirror, for the command in a sentence.
 */
export function joinOptions(
  remembered: readonly string[],
  given: readonly string[],
  root = 'ROOT',
): JoinedOptions {
  const before = splitOptions(remembered);
  const known = new Set(before.map(meaningOf));
  const added = splitOptions(given).filter((option) => !known.has(meaningOf(option)));
  const contradictions = added.flatMap((option) => {
    const shown = showOptions(option.words);
    if (FILTER_RULES.has(option.name)) {
      return mayInclude(option) && before.some(({ name }) => FILTER_RULES.has(name))
        ? [
            `${shown} comes after the filter rules that the mirror remembers, and the first that matches counts; to give it before them from now on: mirrorlatch init ${quoteForSh(root)} -- ${showOptions([...option.words, ...remembered])}`,
          ]
        : [];
    }
    if (typeof option.meaning === 'object' && option.name !== 'max-delete') return [];
    const replaced = before.filter(({ name }) => isReplaced(name, option.name));
    return replaced.length === 0
      ? []
      : [
          `${shown} replaces ${replaced.map(({ words }) => showOptions(words)).join(' ')}, which the mirror remembers, in this run`,
        ];
  });
  return { args: [...before, ...added].flatMap(({ words }) => words), contradictions };
}

/** The remembered rules that a line, which names all that is wanted, does not have. Pure. */
export function rulesBeside(remembered: readonly string[], given: readonly string[]): string[] {
  const named = new Set(splitOptions(given).map(meaningOf));
  return splitOptions(remembered)
    .filter((option) => isRule(option) && !named.has(meaningOf(option)))
    .flatMap(({ words }) => words);
}

/** Options as they are typed after `--`. */
export function showOptions(words: readonly string[]): string {
  return words.map(quoteForSh).join(' ');
}

/** The same text for `--bwlimit=5m` and `--bwlimit 5m`. */
function meaningOf({ name, words }: NamedOption): string {
  return `${name}\0${optionValue(words)}`;
}

function mayInclude({ name, words }: NamedOption): boolean {
  if (name === 'filter') return !/^(-|exclude|hide|H)/.test(optionValue(words));
  return !name.startsWith('exclude');
}

function isReplaced(before: string, after: string): boolean {
  if (before === after) return !ADDING.has(after);
  return after === `no-${before}` || before === `no-${after}`;
}
