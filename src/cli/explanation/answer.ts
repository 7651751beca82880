/** The answer to one question about a mirror. */
export interface Answer {
  question: string;
  /** A few sentences. */
  answer: string;
  /** What others said, such as the last lines of rsync; a line each. */
  quoted: readonly string[];
  /** The command that helps; null if there is none, or nothing to do. It can be pasted. */
  command: string | null;
}

export function answer(
  question: string,
  sentences: readonly string[],
  { quoted = [], command = null }: Partial<Pick<Answer, 'quoted' | 'command'>> = {},
): Answer {
  return { question, answer: sentences.map(sentence).join(' '), quoted, command };
}

/** A clause as a sentence. */
function sentence(clause: string): string {
  const text = clause.replace(/^[a-z](?=[a-z]* )/, (first) => first.toUpperCase());
  return /[.?!]$/.test(text) ? text : `${text}.`;
}
