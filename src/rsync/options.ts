import { asSentence, MirrorlatchError } from '../errors.ts';
import { nearestName } from '../system/nearest.ts';
import { unfitOption } from '../system/unfit-option.ts';
import { type Meaning, OPTIONS, type Option, type Use } from './option-table.ts';

export interface RsyncOptions {
  /** For rsync's command line, in the user's order. */
  args: readonly string[];
  /** The same, option by option: `name` is the long name, or the letter if there is no long one. */
  named: readonly { name: string; words: readonly string[] }[];
  /** The first option that needs a whole pass, or undefined when a plan can be applied. */
  needsWholePass: string | undefined;
  /** Why it does. */
  whyWholePass: string | undefined;
}

/** One option of a command line with its words. */
export interface NamedOption {
  /** As in `RsyncOptions`. */
  name: string;
  words: readonly string[];
  /** Of an option that can be used. */
  meaning?: Use;
  /** Why rsync must not get it. */
  refusal?: MirrorlatchError;
}

/**
 * Checks the options that a user gives for rsync.
 *
 * @throws MirrorlatchError USAGE that names all options that break an invariant, and unknown ones,
 *   because their effect on published snapshots is unknown too; and for what are no words at all.
 */
export function parseRsyncOptions(given: readonly string[]): RsyncOptions {
  const options = namedOptions(given);
  throwTogether(options.flatMap(({ refusal = [] }) => refusal));
  const named = options
    .filter(({ meaning }) => meaning === 'plan' || wholeReason(meaning) !== undefined)
    .map(({ name, words }) => ({ name, words }));
  const whole = options.find(({ meaning }) => wholeReason(meaning) !== undefined);
  const needsWholePass = whole && shownName(whole.words);
  const whyWholePass = wholeReason(whole?.meaning);
  return { args: named.flatMap(({ words }) => words), named, needsWholePass, whyWholePass };
}

/**
 * Words from outside, option by option.
 *
 * @throws MirrorlatchError USAGE where they are no words.
 */
export function namedOptions(given: readonly string[]): NamedOption[] {
  // A program may hand over anything.
  if (!Array.isArray(given) || given.some((word: unknown) => typeof word !== 'string')) {
    throw unfitOption('rsyncOptions', given, 'an array of strings');
  }
  // Node has replaced the invalid bytes, so that another entry would match, or none.
  if (given.some((word) => word.includes('\uFFFD'))) {
    throw new MirrorlatchError('USAGE', "a word of rsync's options is not valid UTF-8", {
      hint: 'Put such a pattern into a file, and name the file with --exclude-from or --filter.',
    });
  }
  return splitOptions(given);
}

function wholeReason(meaning: Use | undefined): string | undefined {
  return typeof meaning === 'object' && 'whole' in meaning ? meaning.whole : undefined;
}

/**
 * The same, option by option, without refusing any: what a mirror remembers of another version has to be
 * shown and replaced. Pure.
 */
export function splitOptions(given: readonly string[]): NamedOption[] {
  const named: NamedOption[] = [];
  const take = (option: Option | undefined, words: readonly (string | undefined)[]): void => {
    const there = words.filter((word) => word !== undefined);
    const shown = shownName(there);
    const name = option?.long ?? option?.short ?? shown;
    const meaning = option?.meaning;
    if (meaning === undefined) {
      const why = `mirrorlatch does not know it, so it may not be safe.${askForNearest(shown)}`;
      named.push({ name, words: there, refusal: refusal(shown, why) });
    } else if (typeof meaning === 'object' && 'refused' in meaning) {
      named.push({ name, words: there, refusal: refusal(shown, meaning.refused) });
    } else if (there.length < words.length) {
      const problem = `rsync's option ${shown} needs a value`;
      named.push({ name, words: there, refusal: new MirrorlatchError('USAGE', problem) });
    } else named.push({ name, words: there, meaning });
  };
  for (let index = 0; index < given.length; index += 1) {
    const word = given[index] ?? '';
    if (word.startsWith('--') && word !== '--') {
      const [, name = '', value] = /^--([^=]*)(=.*)?$/s.exec(word) ?? [];
      const option = longOption(name);
      // What follows an unknown option is likely to be its value.
      const mayTakeNext = option === undefined && /^[^-]/.test(given[index + 1] ?? '');
      const wantsNext = (option?.takesValue === true || mayTakeNext) && value === undefined;
      if (wantsNext) index += 1;
      take(option, wantsNext ? [word, given[index]] : [word]);
    } else if (/^-[^-]/.test(word)) {
      for (let at = 1; at < word.length; at += 1) {
        const letter = word[at] ?? '';
        const option = OPTIONS.find(({ short }) => short === letter);
        const rest = word.slice(at + 1);
        if (option?.takesValue !== true) {
          take(option, [`-${letter}`]);
          continue;
        }
        if (rest === '') index += 1;
        // A joined value stays joined, because rsync reads `-e=ssh` as `-e ssh`.
        take(option, rest === '' ? [`-${letter}`, given[index]] : [`-${letter}${rest}`]);
        break;
      }
    } else {
      const problem = `${JSON.stringify(word)} is not an option of rsync`;
      const hint =
        'Put only options of rsync after the --, such as --exclude=/iso/, and paths before it.';
      const refusal = new MirrorlatchError('USAGE', problem, { hint });
      named.push({ name: word, words: [word], refusal });
    }
  }
  return named;
}

/** Throws one error that says all that is wrong; nothing if that is nothing. */
export function throwTogether(errors: readonly MirrorlatchError[]): void {
  const [first, ...others] = errors;
  if (first !== undefined) throw together(first, others);
}

/** One error that says all that is wrong. */
export function together(
  first: MirrorlatchError,
  others: readonly MirrorlatchError[],
): MirrorlatchError {
  const errors = [first, ...others];
  const messages = new Set(errors.map(({ message }) => message));
  if (messages.size === 1) return first;
  const hints = [...new Set(errors.flatMap(({ hint = [] }) => hint))];
  return new MirrorlatchError('USAGE', [...messages].join('\n  '), {
    hint: [...hints.slice(0, -1).map(asSentence), ...hints.slice(-1)].join(' '),
  });
}

/** The option as a message shows it, without its value. */
export function shownName([word = '']: readonly string[]): string {
  return word.startsWith('--') ? word.replace(/=.*$/s, '') : word.slice(0, 2);
}

/** Whether a word is an option of rsync, or several letters in one, allowed or not. */
export function isRsyncOption(word: string): boolean {
  if (word.startsWith('--')) return longOption(word.slice(2).replace(/=.*$/s, '')) !== undefined;
  return optionsInLetters(word).every((option) => option !== undefined);
}

/** Whether the value of an option of rsync is the word after it. */
export function takesNextWord(word: string): boolean {
  if (word.startsWith('--')) return longOption(word.slice(2))?.takesValue === true;
  const letters = optionsInLetters(word);
  return letters.length === word.length - 1 && letters.at(-1)?.takesValue === true;
}

/** The options of `-av`, up to the first that takes the rest as its value. */
function optionsInLetters(word: string): (Option | undefined)[] {
  const options = [...word.slice(1)].map((letter) => OPTIONS.find(({ short }) => short === letter));
  const last = options.findIndex((option) => option?.takesValue === true);
  return last === -1 ? options : options.slice(0, last + 1);
}

/**
 * The options without those of one name.
 *
 * @param args as `parseRsyncOptions` returns them.
 * @param unwanted the long name.
 */
export function withoutOption(unwanted: string, args: readonly string[]): string[] {
  return withoutOptions(new Set([unwanted]), args);
}

/** The same for several names. */
export function withoutOptions(unwanted: ReadonlySet<string>, args: readonly string[]): string[] {
  return parseRsyncOptions(args)
    .named.filter(({ name }) => !unwanted.has(name))
    .flatMap(({ words }) => words);
}

/** Whether names that share a file at the source share one in the mirror: the last word on it counts. */
export function keepsHardLinks(args: readonly string[]): boolean {
  const words = ['hard-links', 'no-hard-links', 'no-H'];
  const { named } = parseRsyncOptions(args);
  return named.findLast(({ name }) => words.includes(name))?.name === 'hard-links';
}

/**
 * Whether two lists of options choose the same entries of a source, for all that is known: they differ
 * at most in what cannot leave an entry out.
 */
export function selectAlike(one: readonly string[], other: readonly string[]): boolean {
  try {
    return selecting(one).join('\0') === selecting(other).join('\0');
  } catch {
    // Another version has known an option that this one refuses.
    return false;
  }
}

function selecting(args: readonly string[]): string[] {
  return parseRsyncOptions(args)
    .named.filter(({ name }) => !SELECTS_NOTHING.has(name.replace(/^no-/, '')))
    .flatMap(({ words }) => words);
}

/** By these, rsync compares, transfers and stores otherwise, but the same entries. */
const SELECTS_NOTHING: ReadonlySet<string> = new Set([
  'motd',
  'checksum',
  'perms',
  'executability',
  'chmod',
  'acls',
  'xattrs',
  'owner',
  'group',
  'times',
  'atimes',
  'open-noatime',
  'crtimes',
  'omit-dir-times',
  'omit-link-times',
  'sparse',
  'preallocate',
  'whole-file',
  'checksum-choice',
  'cc',
  'block-size',
  'max-alloc',
  'numeric-ids',
  'usermap',
  'groupmap',
  'chown',
  'timeout',
  'contimeout',
  'ignore-times',
  'size-only',
  'modify-window',
  'fuzzy',
  'compress',
  'compress-choice',
  'zc',
  'compress-level',
  'zl',
  'compress-threads',
  'zt',
  'skip-compress',
  'blocking-io',
  'sockopts',
  'ipv4',
  'ipv6',
  'log-file',
  'log-file-format',
  'bwlimit',
  'fsync',
  'checksum-seed',
]);

/** The options that filter entries: the first rule that matches an entry counts. */
export const FILTER_RULES: ReadonlySet<string> = new Set([
  'exclude',
  'exclude-from',
  'include',
  'include-from',
  'filter',
  'F',
]);

/** The value of an option in any spelling: `--rsh=x`, `--rsh x`, `-e x`, `-ex`; empty for none. */
export function optionValue(words: readonly string[]): string {
  const [first = '', second] = words;
  if (second !== undefined) return second;
  if (!first.startsWith('--')) return first.slice(2).replace(/^=/, '');
  return first.includes('=') ? first.slice(first.indexOf('=') + 1) : '';
}

/** The option in the same spelling with another value. */
export function withOptionValue(words: readonly string[], value: string): string[] {
  const [first = '', second] = words;
  if (second !== undefined) return [first, value];
  const end = first.startsWith('--') ? first.indexOf('=') + 1 : 2;
  return [first.slice(0, end) + value];
}

function longOption(name: string): Option | undefined {
  const exact = OPTIONS.find(({ long }) => long === name);
  if (exact || !name.startsWith('no-')) return exact;
  const positive = name.slice('no-'.length);
  const turnedOff = OPTIONS.find(
    ({ long, short }) => long === positive || (positive.length === 1 && short === positive),
  );
  if (turnedOff === undefined) return undefined;
  return { long: name, meaning: meaningTurnedOff(turnedOff.meaning) };
}

function meaningTurnedOff(meaning: Meaning): Use {
  if (typeof meaning !== 'object') return meaning;
  // What rsync does not get is off already. Turning off a refused option is harmless.
  return 'leftOut' in meaning ? 'said' : 'plan';
}

/** The long option that was probably meant, as a question; empty if none is close. */
export function askForNearest(shown: string): string {
  const names = OPTIONS.flatMap(({ long }) => (long === undefined ? [] : [long]));
  const name = shown.startsWith('--') ? nearestName(shown.slice(2), names) : undefined;
  return name === undefined ? '' : ` Did you mean --${name}?`;
}

function refusal(option: string, reason: string): MirrorlatchError {
  return new MirrorlatchError('USAGE', `rsync's option ${option} cannot be used: ${reason}`, {
    hint: 'The rsync options that can be used are listed in: mirrorlatch help rsync-options',
  });
}
