import type { Checksum } from '../claims.ts';
import { checksumOf } from '../claims.ts';

/** What a Release file says (https://wiki.debian.org/DebianRepository/Format). */
export interface Release {
  /** Its fields of one line, by their names in small letters. */
  fields: ReadonlyMap<string, string>;
  /** The files that it names, relative to its directory, with the strongest of its checksums. */
  files: readonly ReleaseFile[];
  /** The directory below `by-hash` that clients use, such as `SHA256`. */
  hashDirectory: string | undefined;
  /** Lines that are none of a Release file. */
  unread: readonly string[];
}

export interface ReleaseFile {
  path: string;
  /** bytes */
  size: number;
  sum: Checksum;
}

/** Strongest first, as apt has them. */
const SECTIONS = ['SHA512', 'SHA256', 'SHA1', 'MD5Sum'] as const;

/** Reads the text of a Release file, or of an InRelease file, of which only what is signed counts. */
export function parseRelease(lines: readonly string[]): Release {
  const fields = new Map<string, string>();
  const sections = new Map<string, ReleaseFile[]>();
  const unread: string[] = [];
  let section = '';
  for (const signed of signedLines(lines)) {
    // An expression that ends in blanks would look at each of them again and again.
    const line = signed.trimEnd();
    const [, name, value = ''] = /^([!-9;-~]+):[ \t]*(.*)$/s.exec(line) ?? [];
    if (name !== undefined) {
      section = name;
      fields.set(name.toLowerCase(), value);
    } else if (line === '') {
      section = '';
    } else if (!/^[ \t]/.test(line)) {
      unread.push(line);
    } else if (SECTIONS.some((one) => one === section)) {
      const file = fileOf(section, line);
      if (file === undefined) unread.push(line);
      else addTo(sections, section, file);
    }
  }
  const strongest = SECTIONS.find((one) => sections.has(one));
  const files = (strongest && sections.get(strongest)) ?? [];
  return { fields, files, hashDirectory: strongest, unread };
}

/** Adds a value to a list of a map. A copy of the list each time would take minutes for a hostile file. */
export function addTo<Key, Value>(lists: Map<Key, Value[]>, key: Key, value: Value): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}

function fileOf(section: string, line: string): ReleaseFile | undefined {
  const [, hex = '', size = '', path = ''] = /^\s+(\S+)\s+(\d+)\s+(\S.*)$/s.exec(line) ?? [];
  const sum = checksumOf(section.replace(/Sum$/, ''), hex);
  return sum && { path, size: Number(size), sum };
}

/** The lines of a text that is signed in clear, or all of them (RFC 9580, cleartext signature framework). */
function* signedLines(lines: readonly string[]): Generator<string> {
  const begin = lines.findIndex((line) => /^-----BEGIN PGP SIGNED MESSAGE-----\s*$/.test(line));
  if (begin === -1) {
    yield* lines;
    return;
  }
  const text = lines.slice(begin + 1);
  const start = text.findIndex((line) => /^\s*$/.test(line)) + 1;
  for (const line of text.slice(start)) {
    if (line.startsWith('-----BEGIN PGP SIGNATURE')) return;
    yield line.startsWith('- ') ? line.slice(2) : line;
  }
}
