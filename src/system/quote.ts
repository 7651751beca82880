/** True if no shell needs quotes around the word. That excludes `=` and `~`, which zsh expands. */
export function isPlainWord(word: string): boolean {
  return /^[A-Za-z0-9_/.:@+-]+$/.test(word);
}

/** Quotes a word for a POSIX shell (XCU 2.2.2, Single-Quotes). */
export function quoteForSh(word: string): string {
  return isPlainWord(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

/** The command line that runs a command on another host, whose shell splits it once more. */
export function commandOverSsh(host: string, words: readonly string[]): string {
  return `ssh ${quoteForSh(host)} ${quoteForSh(words.map(quoteForSh).join(' '))}`;
}

/** Quotes a word for fish: `\'` and `\\` are the only escapes in single quotes (fish, Quotes). */
export function quoteForFish(word: string): string {
  return isPlainWord(word) ? word : `'${word.replaceAll(/[\\']/g, String.raw`\$&`)}'`;
}
