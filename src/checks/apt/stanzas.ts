import { type Checksum, checksumOf } from '../claims.ts';
import { Malformed } from '../tree-files.ts';

/** A file of the pool, as an index says what it is. */
export interface PoolFile {
  /** Relative to the top of the archive. */
  path: string;
  /** bytes */
  size: number | undefined;
  sum: Checksum | undefined;
}

/** Those of Linux have some ten, and what is called a source here has no more. */
const MOST_FILES = 10_000;

const STRENGTH = ['sha512', 'sha256', 'sha1', 'md5'];

/** Reads the stanzas of a Packages or Sources index, some lines at a time, and hands on the files that they name. */
export class Stanzas {
  readonly #onFile: (file: PoolFile) => void;
  /** The fields of one line that count. */
  #fields = new Map<string, string>();
  /** The files of a source package. */
  #files = new Map<string, PoolFile>();
  #section = '';

  constructor(onFile: (file: PoolFile) => void) {
    this.#onFile = onFile;
  }

  /** @param text whole lines, without the end of the last one. @throws Malformed for a source of too many files. */
  add(text: string): void {
    for (let start = 0; start <= text.length; ) {
      const found = text.indexOf('\n', start);
      const end = found === -1 ? text.length : found;
      this.#line(text, start, end);
      start = end + 1;
    }
  }

  /** Hands on what the last stanza names. */
  end(): void {
    const fields = this.#fields;
    const path = fields.get('filename');
    if (path !== undefined) {
      const size = fields.get('size');
      this.#onFile({
        path,
        size: size === undefined ? size : Number(size),
        sum: strongest(fields),
      });
    }
    const directory = fields.get('directory');
    for (const { path: name, ...file } of this.#files.values())
      this.#onFile({ path: directory === undefined ? name : `${directory}/${name}`, ...file });
    this.#fields = new Map();
    this.#files = new Map();
    this.#section = '';
  }

  /** Most lines of an index are of no interest here, and are not even copied. */
  #line(text: string, start: number, end: number): void {
    const first = text[start];
    if (start === end || (first === '\r' && start + 1 === end)) {
      this.end();
      return;
    }
    if (first === ' ' || first === '\t') {
      if (this.#section !== '') this.#file(text.slice(start, end));
      return;
    }
    this.#section = '';
    FIELD.lastIndex = start;
    const [, field] = FIELD.exec(text) ?? [];
    if (field === undefined) return;
    const name = field.toLowerCase();
    const section = SECTIONS[name];
    if (section !== undefined) this.#section = section;
    else this.#fields.set(name, text.slice(FIELD.lastIndex, end).trim());
  }

  /** ` HEX SIZE NAME` */
  #file(line: string): void {
    const [, hex = '', size = '', name = ''] = /^\s+(\S+)\s+(\d+)\s+(\S+)\s*$/.exec(line) ?? [];
    const sum = checksumOf(this.#section, hex);
    if (sum === undefined) return;
    const before = this.#files.get(name);
    const isStronger =
      before?.sum === undefined ||
      STRENGTH.indexOf(sum.algorithm) < STRENGTH.indexOf(before.sum.algorithm);
    if (this.#files.size === MOST_FILES && before === undefined)
      throw new Malformed(`it has a source of more than ${MOST_FILES} files`);
    if (isStronger) this.#files.set(name, { path: name, size: Number(size), sum });
  }
}

/** The fields of a source package that list its files. */
const SECTIONS: Readonly<Record<string, string>> = {
  files: 'md5',
  'checksums-sha1': 'sha1',
  'checksums-sha256': 'sha256',
  'checksums-sha512': 'sha512',
};

const FIELDS = ['filename', 'size', 'directory', ...STRENGTH, 'md5sum', ...Object.keys(SECTIONS)];

/** The name of a field that counts, up to its value. */
const FIELD = new RegExp(`(${FIELDS.join('|')}):`, 'iy');

function strongest(fields: ReadonlyMap<string, string>): Checksum | undefined {
  for (const algorithm of STRENGTH) {
    const hex = fields.get(algorithm) ?? (algorithm === 'md5' ? fields.get('md5sum') : undefined);
    const sum = hex === undefined ? undefined : checksumOf(algorithm, hex);
    if (sum !== undefined) return sum;
  }
  return undefined;
}
