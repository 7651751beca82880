import { quoteForSh } from '../system/quote.ts';

/** A command line of ours in a sentence: it begins a word, and names one of the verbs. One for ssh is for another host. */
let proposed: RegExp | undefined;
let option = '';

/**
 * From now on, the commands that are proposed name the configuration that this process was given, so that they can be
 * pasted.
 *
 * @param file its absolute path.
 * @param verbs the commands that there are.
 */
export function proposeWithConfiguration(file: string, verbs: readonly string[]): void {
  proposed = new RegExp(
    `(?<![\\w/.-]|\\bssh [^']*')mirrorlatch (?=(?:${verbs.join('|')})(?![\\w-]))`,
    'g',
  );
  option = `--config ${quoteForSh(file)} `;
}

/** A text for people, in which each command line can be pasted: `see: mirrorlatch --config FILE list ROOT`. */
export function withPasteableCommands(text: string): string {
  if (proposed === undefined) return text;
  return text.replaceAll(proposed, (command, at: number) =>
    // The line that was typed has the option already.
    text.includes(' --config', at) ? command : command + option,
  );
}
