import { ENTRY_MARK, SUM_MARK } from './arguments.ts';

/** One entry that rsync changes or would change. */
export interface Entry {
  /** What rsync does with it (rsync(1), --itemize-changes). */
  change: 'new' | 'changed' | 'attributes' | 'deleted';
  type: 'file' | 'directory' | 'symlink' | 'device' | 'special';
  /** The path below the root, one character a byte (latin1); `.` is the root itself. */
  name: string;
  /** It is another name of a file that is listed, too, or there already: nothing is transferred. */
  isHardLink?: true;
  /** The name of that file, if the two do not share it yet; only in a plan that asks for it. */
  linkTo?: string;
  /** Other names of its file may be replaced with it, which a dry run does not list; likewise. */
  hidesLinks?: true;
  /** The permission bits of a new directory; likewise. */
  mode?: number;
  /** Its mode lets every user write to it. */
  isWritableByAll?: true;
  /** Size in bytes; 0 for a deleted entry, whose size rsync does not print: a `Plan` knows it. */
  size: number;
  /** A file whose content was here already, under this name or another. */
  isCopied?: true;
  /** Of a file that was transferred, where that is asked for; in hexadecimal. */
  checksum?: string;
  /** The modification time as rsync prints it, in whole seconds. */
  modified: string;
  /** Deleted although the source has it, because it is left out: rsync itself does not delete it. */
  isLeftOut?: true;
}

/** Why rsync leaves an entry of the source out, or mirrorlatch does. */
export const LEFT_OUT_WHYS = [
  'unsafe-link',
  'not-regular',
  'max-size',
  'min-size',
  'temporary',
  'update-mark',
] as const;

export type LeftOutWhy = (typeof LEFT_OUT_WHYS)[number];

/** An entry of the source that is not to be in the tree. */
export interface LeftOutEntry {
  why: LeftOutWhy;
  /** As in `Entry`, or all that it may be if rsync's words are ambiguous, the shortest first. */
  names: readonly [string, ...string[]];
  type: Entry['type'];
  /** What it adds to the totals of the source; undefined if rsync does not say. */
  size: number | undefined;
}

const TYPES: Record<string, Entry['type']> = {
  f: 'file',
  d: 'directory',
  L: 'symlink',
  D: 'device',
  S: 'special',
};

/**
 * Reads a line of rsync's standard output (latin1).
 *
 * rsync prints the type of a deleted entry only for directories, as a trailing slash; any other
 * deleted entry counts as a file.
 *
 * @returns undefined for a line that is not about an entry.
 */
export function parseEntry(line: string): Entry | undefined {
  if (!line.startsWith(ENTRY_MARK)) return undefined;
  const [, flags, size, modified, mode, printed] =
    /^([^|]{9,13})\|(\d+)\|([^|]*)\|([^|]*)\|(.*)$/.exec(line.slice(ENTRY_MARK.length)) ?? [];
  if (flags === undefined || printed === undefined || modified === undefined) return undefined;
  const [shown = '', more] = printed.split(ENTRY_MARK);
  const sum = more?.startsWith(SUM_MARK) ? more.slice(SUM_MARK.length).trim() : undefined;
  const link = sum === undefined ? more : undefined;
  const isDirectory = shown.endsWith('/');
  const name = unescapeName(isDirectory ? shown.slice(0, -1) : shown);
  if (flags.startsWith('*deleting')) {
    return { change: 'deleted', type: isDirectory ? 'directory' : 'file', name, size: 0, modified };
  }
  const type = TYPES[flags[1] ?? ''];
  if (type === undefined) return undefined;
  const entry: Entry = { change: changeOf(flags), type, name, size: Number(size), modified };
  return {
    ...entry,
    ...(flags.startsWith('h') ? { isHardLink: true } : {}),
    ...(flags.startsWith('cf') ? { isCopied: true } : {}),
    // As ls(1) shows it: `rw-rw-rw-`.
    ...(mode?.[7] === 'w' ? { isWritableByAll: true } : {}),
    ...(sum ? { checksum: sum } : {}),
    ...(link === undefined ? {} : aboutLinks(flags, link)),
    ...(link !== undefined && flags.startsWith('cd') ? { mode: bitsOf(mode ?? '') } : {}),
  };
}

/**
 * What a plan says of names that share a file.
 *
 * @param link empty, ` => NAME` of a hard link, or ` -> TARGET` of a symlink.
 */
function aboutLinks(flags: string, link: string): Partial<Entry> {
  if (flags.startsWith('h')) {
    if (link.startsWith(' => ')) return { linkTo: unescapeName(link.slice(4)) };
    // It shares the file already, of which only the attributes change.
    return /^h.[^s]*$/.test(flags) && !/^h...t/i.test(flags) ? { change: 'attributes' } : {};
  }
  // Of size, times, owner or modes rsync says for each name that they differ.
  return /^[<>c][^d].[^a-z+]*$/.test(flags) ? { hidesLinks: true } : {};
}

/** @param shown as ls(1) shows it, without the type: `rwxr-sr-t`. */
function bitsOf(shown: string): number {
  const bits = [...shown].map((letter) => (/[-ST]/.test(letter) ? '0' : '1')).join('');
  const special = [/[sS]/.test(shown[2] ?? ''), /[sS]/.test(shown[5] ?? ''), /[tT]/.test(shown)];
  return Number.parseInt(special.map(Number).join('') + bits, 2);
}

/**
 * Reads a line in which rsync says that it leaves out an entry of the source. It also keeps whatever
 * the target has under that name.
 *
 * @returns undefined for any other line.
 */
export function parseLeftOut(line: string): LeftOutEntry | undefined {
  if (line.startsWith(ENTRY_MARK)) return undefined;
  const sized = /^(.*) is (over max|under min)-size$/s.exec(line);
  if (sized) {
    const why = sized[2] === 'over max' ? 'max-size' : 'min-size';
    return { why, names: [unescapeName(sized[1] ?? '')], type: 'file', size: undefined };
  }
  const irregular = /^skipping non-regular file "(.*)"$/.exec(line)?.[1];
  if (irregular !== undefined) {
    // A symlink that --no-links leaves out has a size, which rsync does not print.
    return {
      why: 'not-regular',
      names: [unescapeName(irregular)],
      type: 'special',
      size: undefined,
    };
  }
  const [name, ...target] =
    /^ignoring unsafe symlink "(.*)"$/.exec(line)?.[1]?.split(ARROW).map(unescapeName) ?? [];
  if (name === undefined || target.length === 0) return undefined;
  const longer = target.slice(0, -1).map((_, at) => [name, ...target.slice(0, at + 1)].join(ARROW));
  // rsync counts a symlink with the length of its target.
  const size = target.join(ARROW).length;
  return { why: 'unsafe-link', names: [name, ...longer], type: 'symlink', size };
}

/**
 * Reads a line in which rsync says that it does not delete a directory, because of what a rule keeps in
 * it. A dry run lists that deletion all the same, in the next line.
 *
 * @returns the directory's name; undefined for any other line.
 */
export function parseKeptDirectory(line: string): string | undefined {
  const name = /^cannot delete non-empty directory: (.*)$/s.exec(line)?.[1];
  return name === undefined ? undefined : unescapeName(name);
}

/** Between a link and its target, but either may hold it as well. */
const ARROW = '" -> "';

function changeOf(flags: string): Entry['change'] {
  if (flags.includes('+')) return 'new';
  return flags.startsWith('.') ? 'attributes' : 'changed';
}

/** rsync prints unprintable bytes as `\#ooo`, in octal (rsync(1), --8-bit-output). */
function unescapeName(printed: string): string {
  if (!printed.includes('\\#')) return printed;
  return printed.replace(/\\#([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

/** Splits rsync's standard output into lines (latin1). */
export class LineSplitter {
  readonly #end: RegExp;
  #rest = '';

  /** @param hasProgress lines of progress end with `\r`. A name, too, may begin with one. */
  constructor(hasProgress = false) {
    this.#end = hasProgress ? /[\r\n]/ : /\n/;
  }

  /** Returns the lines that `chunk` completes. */
  push(chunk: Buffer): string[] {
    const lines = (this.#rest + chunk.toString('latin1')).split(this.#end);
    this.#rest = lines.pop() ?? '';
    return lines;
  }
}
