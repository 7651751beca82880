/** A word for a POSIX shell (XCU 2.2.2, Single-Quotes): all that is in it stays as it is. */
export function quoteForSh(word: string): string {
  return `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
