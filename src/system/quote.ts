/** True if no shell needs quotes around the word. That excludes `=` and `~`, which zsh expands. */
export function isPlainWord(word: string): boolean {
  return /^[A-Za-z0-9_/.:@+-]+$/.test(word);
}

/** Quotes a word for a POSIX shell (XCU 2.2.2, Single-Quotes). */
export function quoteForSh(word: string): string {
  return isPlainWord(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

/** Quotes a word for fish: `\'` and `\\` are the only escapes in single quotes (fish, Quotes). */
export function quoteForFish(word: string): string {
  return isPlainWord(word) ? word : `'${word.replaceAll(/[\\']/g, String.raw`\$&`)}'`;
}
