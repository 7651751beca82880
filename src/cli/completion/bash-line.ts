/** A command line up to the cursor, as bash hands it to a completion: raw, with its quotes. */
export interface BashLine {
  /** Without quotes, the last one up to the cursor; empty if a new word begins there. */
  words: string[];
  /** How much of the last word readline does not replace: it begins anew at `:`, `=` and quotes. */
  kept: number;
}

/** What ends a word that is not quoted. */
const BLANK = /\s/;

/** What a backslash takes away in double quotes (bash(1), QUOTING). */
const ESCAPED_IN_DOUBLE = /[$`"\\\n]/;

/**
 * Splits it. Nothing is expanded but a `~/` at the beginning of a word. Pure.
 *
 * @param breaks COMP_WORDBREAKS
 * @param home the directory of `~`.
 */
export function parseBashLine(line: string, breaks: string, home = '~'): BashLine {
  const words: string[] = [];
  let word: string | undefined;
  let kept = 0;
  let quote = '';
  const add = (text: string) => {
    word = (word ?? '') + text;
  };
  for (let at = 0; at < line.length; at += 1) {
    const [char = '', next = ''] = line.slice(at, at + 2);
    if (quote === "'") {
      if (char === "'") quote = '';
      else add(char);
    } else if (quote === '"') {
      if (char === '"') quote = '';
      else if (char === '\\' && ESCAPED_IN_DOUBLE.test(next)) {
        if (next !== '\n') add(next);
        at += 1;
      } else add(char);
    } else if (char === "'" || char === '"') {
      quote = char;
      add('');
      kept = word?.length ?? 0;
    } else if (char === '\\') {
      if (next !== '\n') add(next);
      at += 1;
    } else if (BLANK.test(char)) {
      if (word !== undefined) words.push(word);
      word = undefined;
      kept = 0;
    } else {
      const isHome = char === '~' && word === undefined && /^$|[/\s]/.test(next);
      add(isHome ? home : char);
      if ((char === ':' || char === '=') && breaks.includes(char)) kept = word?.length ?? 0;
    }
  }
  return { words: [...words, word ?? ''], kept };
}
