import { isRsyncOption, type NamedOption, splitOptions, takesNextWord } from '../rsync/options.ts';
import { quoteForSh } from '../system/quote.ts';

/** An option of one of our commands, as commander knows it. */
export interface OwnOption {
  short?: string | undefined;
  long?: string | undefined;
  /** It is followed by a value. */
  required: boolean;
}

/** A command line as it is typed, in two. */
export interface DividedLine {
  /** The command, what it is given, and its own options; also options that nobody knows. */
  own: string[];
  /** Those of them that are neither options nor values of one. */
  operands: string[];
  /** The options of rsync, as after a `--`. */
  rsync: string[];
}

/**
 * Tells the options of rsync from those of one of our commands. An option that both have is ours. Pure.
 *
 * @param words a command and what follows it.
 * @param own the options of that command.
 */
export function divideLine(words: readonly string[], own: readonly OwnOption[]): DividedLine {
  const line: DividedLine = { own: [], operands: [], rsync: [] };
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? '';
    const isOption = /^-./.test(word);
    const option = isOption ? findOption(word, own) : undefined;
    const isRsyncs = isOption && option === undefined && isRsyncOption(word) && !joinsShell(word);
    if (!isOption) line.operands.push(word);
    const [target, hasValue] = isRsyncs
      ? [line.rsync, takesNextWord(word)]
      : [line.own, option?.required === true && !word.includes('=')];
    target.push(word);
    if (!hasValue || at + 1 === words.length) continue;
    at += 1;
    target.push(words[at] ?? '');
  }
  return line;
}

/**
 * Whether a word would name a program for rsync to start, as `-evil:/path` does: more likely, it is a path of
 * somebody else's choice.
 */
function joinsShell(word: string): boolean {
  const isJoined = ({ name, words: [first = ''] }: NamedOption) =>
    name === 'rsh' && /^-e.*[:/]/s.test(first);
  return !word.startsWith('--') && splitOptions([word]).some(isJoined);
}

/**
 * The words with the options of rsync among them moved behind `--`. Pure.
 *
 * @returns undefined if there is none, or if an option is neither its own nor one of rsync.
 */
export function withRsyncOptionsLast(
  words: readonly string[],
  own: readonly OwnOption[],
): string | undefined {
  const line = divideLine(words, own);
  const isUnknown = line.own.some((word) => /^-./.test(word) && !findOption(word, own));
  if (line.rsync.length === 0 || isUnknown) return undefined;
  return ['mirrorlatch', ...line.own, '--', ...line.rsync].map(quoteForSh).join(' ');
}

const VERB_AND_PATHS = 3;

/** As a distribution's page may name it. */
const RSYNC = /^(?:\/(?:[^:]*\/)?bin\/)?rsync$/;

/**
 * A line of rsync in which `mirrorlatch sync` stands before `rsync` or in its place, so that options of rsync
 * come as they do there. Pure.
 *
 * As for rsync itself, `-h` asks for help if no other option of rsync is there. `-n` means the same in both,
 * among other letters too.
 */
export function dividePastedLine(words: readonly string[], own: readonly OwnOption[]): DividedLine {
  const line = divideLine(words, own);
  if (line.rsync.every((word) => word === '-h'))
    return { ...line, own: [...line.own, ...line.rsync], rsync: [] };
  const [verb = '', ...rest] = line.own;
  const [, first = ''] = words;
  // With a path less, it is the source.
  const isNamed = RSYNC.test(first) && line.operands.length > VERB_AND_PATHS;
  const options = splitOptions(line.rsync);
  const isDryRun = options.some(({ name }) => name === 'dry-run');
  const others = options.filter(({ name }) => name !== 'dry-run');
  return {
    ...line,
    own: [verb, ...(isDryRun ? ['--dry-run'] : []), ...rest.slice(isNamed ? 1 : 0)],
    rsync: others.flatMap(({ words: given }) => given),
  };
}

/**
 * The words with a `--` before the command that one of ours is to run: after the mirror and our own
 * options. Pure.
 *
 * @param words one of our commands and what follows it.
 * @param own the options of that command.
 * @returns undefined if no mirror is found, or no command after it.
 */
export function withSeparator(
  [verb = '', ...words]: readonly string[],
  own: readonly OwnOption[],
  mayBeMirror: (word: string) => boolean,
): string | undefined {
  let hasMirror = false;
  let at = 0;
  for (; at < words.length; at += 1) {
    const word = words[at] ?? '';
    const option = /^-./.test(word) ? findOption(word, own) : undefined;
    if (option === undefined) {
      if (hasMirror || !mayBeMirror(word)) break;
      hasMirror = true;
    } else {
      if (option.long === '--mirror' || option.long === '--http') hasMirror = true;
      if (option.required && !word.includes('=')) at += 1;
    }
  }
  const command = words.slice(at);
  if (!hasMirror || command.length === 0 || command[0]?.startsWith('-')) return undefined;
  return ['mirrorlatch', verb, ...words.slice(0, at), '--', ...command].map(quoteForSh).join(' ');
}

/** The option that a word of the command line names. */
export function findOption(word: string, options: readonly OwnOption[]): OwnOption | undefined {
  const [name = ''] = word.split('=', 1);
  return options.find(({ short, long }) => name === long || name === short);
}
