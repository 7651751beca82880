import { quoteForSh } from '../system/quote.ts';

/** Control characters, line and paragraph separators, and what changes the direction of text. */
const UNPRINTABLE = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu;

/**
 * Escapes what could drive a terminal or fake another line: `\x1b`, `\u202e`. For names that others
 * choose, such as those of processes, in text for people.
 */
export function printable(text: string): string {
  return text.replaceAll(UNPRINTABLE, escaped);
}

/** As `printable`, but line breaks and tabs pass. */
export function printableLines(text: string): string {
  return text.replaceAll(UNPRINTABLE, (character) =>
    /[\n\t]/.test(character) ? character : escaped(character),
  );
}

function escaped(character: string): string {
  const code = character.charCodeAt(0);
  const digits = code.toString(16);
  return code < 0x100 ? `\\x${digits.padStart(2, '0')}` : `\\u${digits.padStart(4, '0')}`;
}

/** A printable name within a line of text, quoted if it would be read as a part of that line. */
export function nameInLine(name: string): string {
  return /\s|[,:;]$/.test(name) ? quoteForSh(name) : name;
}

/**
 * A printable form of a file name. Names are bytes: if they are not valid UTF-8 or contain what
 * `printable` escapes, other bytes than printable ASCII are escaped as `\xHH`, and `bytes` is the
 * exact name in hexadecimal.
 *
 * @param name one character per byte (latin1).
 */
export function readableName(name: string): { name: string; bytes?: string } {
  const raw = Buffer.from(name, 'latin1');
  const text = raw.toString('utf8');
  if (Buffer.from(text, 'utf8').equals(raw) && printable(text) === text) return { name: text };
  return { name: name.replaceAll(/[^ -~]/g, escaped), bytes: raw.toString('hex') };
}
