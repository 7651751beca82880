import { posix } from 'node:path';
import { type Checksum, checksumOf, nameIn } from './claims.ts';
import type { Kind } from './kind.ts';
import type { Session } from './session.ts';

const LISTS = ['SHA256SUMS', 'sha256sum.txt', 'sha256sums.txt', 'SHA256SUMS.txt'];

const BESIDE = /\.sha256(sum)?$/;

/** The lists of sha256sum(1), for the files beside them. */
export const sha256sums: Kind = {
  name: 'sha256sums',
  what: 'list of sha256sum',
  patterns: [...LISTS, '*.sha256', '*.sha256sum'],
  // Its names may be relative to where the symlink leads, and it is read there.
  begins: (_, isLink) => !isLink,
  async read(beginnings, session) {
    let lists = 0;
    for (const list of beginnings) {
      await readList(list, session);
      lists += 1;
    }
    return lists;
  },
};

async function readList(list: string, session: Session): Promise<void> {
  let unread: string | undefined;
  let count = 0;
  let isSignature = false;
  await session.readLines(list, (lines) => {
    for (const line of lines) {
      // A list may be signed as a whole (RFC 9580, cleartext signature framework).
      if (line.startsWith('-----BEGIN PGP SIGNATURE')) isSignature = true;
      if (isSignature || /^(-----|Hash: |#|\s*$)/.test(line) || isOfOther(line)) continue;
      const said = parseLine(line, list);
      if (said === undefined) {
        unread ??= line;
        continue;
      }
      count += 1;
      const place = placeOf(list, said.path, session);
      // `sha256sum * >SHA256SUMS` lists the list as it was before it had any lines.
      if (nameIn('.', place) !== list)
        session.claim('.', place, { ...said, size: undefined, by: list });
    }
  });
  if (count > 0 && unread !== undefined)
    session.malformed(list, `the line ${JSON.stringify(unread.slice(0, 80))}`);
  if (count > 0) session.heads.add('sha256sums', list);
  else if (!session.heads.has('sha256sums', list)) session.notes.add(`${list} lists no checksums`);
}

/** Whether a line has a checksum of another algorithm, as `cksum` and `openssl dgst` write it. */
function isOfOther(line: string): boolean {
  return !/^\\?SHA256 ?\(/.test(line) && /^\\?[\w-]+ ?\(.*\) ?= ?[0-9a-fA-F]{32,}\r?$/s.test(line);
}

/**
 * `HEX  NAME`, `HEX *NAME`, `\HEX  NAME` with escapes, `SHA256 (NAME) = HEX`, or a sum alone; with as much space as
 * sha256sum(1) takes.
 */
export function parseLine(line: string, list: string): { path: string; sum: Checksum } | undefined {
  const text = line.replace(/\r$/, '');
  const [, slash = '', hex = '', name = ''] =
    /^[ \t]*(\\?)([0-9a-fA-F]{64})[ \t][ *]?(.+)$/s.exec(text) ?? [];
  const [, tagSlash = '', tagged = '', tagHex = ''] =
    /^[ \t]*(\\?)SHA256 ?\((.*)\) ?= ?([0-9a-fA-F]{64})$/s.exec(text) ?? [];
  const own = /^[0-9a-fA-F]{64}$/.test(text.trim()) && BESIDE.test(list);
  const sum = checksumOf('sha256', own ? text.trim() : hex || tagHex);
  if (sum === undefined) return undefined;
  const isEscaped = slash + tagSlash !== '';
  const shown = own ? posix.basename(list).replace(BESIDE, '') : name || tagged;
  return { path: isEscaped ? withoutEscapes(shown) : shown, sum };
}

/** As sha256sum(1) escapes names, whose line begins with a backslash then. */
function withoutEscapes(name: string): string {
  const characters: Readonly<Record<string, string>> = { n: '\n', r: '\r', '\\': '\\' };
  return name.replaceAll(/\\([nr\\])/g, (_, letter: string) => characters[letter] ?? '');
}

/** The list may have been made elsewhere, with the names of that place. */
function placeOf(list: string, path: string, { files }: Session): string {
  const directory = posix.dirname(list);
  const name = nameIn(directory, path);
  const beside = posix.join(directory, posix.basename(path));
  const isHere = name !== undefined && files.find(name) !== 'missing';
  return !isHere && BESIDE.test(list) && files.isThere(beside)
    ? beside
    : posix.join(directory, path);
}
