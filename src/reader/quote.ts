/** True for what means itself, unquoted, to every shell: without `=` and `~`, which zsh expands. */
export function isPlainWord(word: string): boolean {
  return /^[A-Za-z0-9_/.:@+-]+$/.test(word);
}

/** A word for a POSIX shell (XCU 2.2.2, Single-Quotes): all that is in it stays as it is. */
export function quoteForSh(word: string): string {
  return isPlainWord(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

/** A word for fish: within single quotes `\'` and `\\` are the only escapes (fish, Quotes). */
export function quoteForFish(word: string): string {
  return isPlainWord(word) ? word : `'${word.replaceAll(/[\\']/g, String.raw`\$&`)}'`;
}
