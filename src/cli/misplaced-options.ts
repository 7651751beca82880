import { isRsyncOption, takesNextWord } from '../rsync/options.ts';
import { quoteForSh } from '../system/quote.ts';

/** An option of one of our commands, as commander knows it. */
export interface OwnOption {
  short?: string | undefined;
  long?: string | undefined;
  /** It is followed by a value. */
  required: boolean;
}

/**
 * The words with the options of rsync among them moved behind `--`. Pure.
 *
 * @param words a command and what follows it.
 * @param own the options of that command.
 * @returns undefined if there is none, or if an option is neither its own nor one of rsync.
 */
export function withRsyncOptionsLast(
  words: readonly string[],
  own: readonly OwnOption[],
): string | undefined {
  const front: string[] = [];
  const behind: string[] = [];
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? '';
    const option = findOption(word, own);
    const isOurs = option !== undefined || !/^-./.test(word);
    if (!isOurs && !isRsyncOption(word)) return undefined;
    const target = isOurs ? front : behind;
    target.push(word);
    const hasValue = option ? option.required && !word.includes('=') : takesNextWord(word);
    const next = words[at + 1];
    if (/^-./.test(word) && hasValue && next !== undefined) {
      target.push(next);
      at += 1;
    }
  }
  if (behind.length === 0) return undefined;
  return ['mirrorlatch', ...front, '--', ...behind].map(quoteForSh).join(' ');
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
      if (option.long === '--mirror') hasMirror = true;
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
