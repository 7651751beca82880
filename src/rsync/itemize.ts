import { ENTRY_MARK } from './arguments.ts';

/** One entry that rsync changes or would change. */
export interface Entry {
  /** What rsync does with it (rsync(1), --itemize-changes). */
  change: 'new' | 'changed' | 'attributes' | 'deleted';
  type: 'file' | 'directory' | 'symlink' | 'device' | 'special';
  /** The path below the root, one character a byte (latin1); `.` is the root itself. */
  name: string;
  /** Size in bytes; 0 for a deleted entry, whose size rsync does not print. */
  size: number;
  /** The modification time as rsync prints it, in whole seconds. */
  modified: string;
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
  if (!line.startsWith(ENTRY_MARK)) return parseIgnored(line);
  const [, flags, size, modified, printed] =
    /^@\|([^|]{9,13})\|(\d+)\|([^|]*)\|(.*)$/.exec(line) ?? [];
  if (flags === undefined || printed === undefined || modified === undefined) return undefined;
  const isDirectory = printed.endsWith('/');
  const name = unescapeName(isDirectory ? printed.slice(0, -1) : printed);
  if (flags.startsWith('*deleting')) {
    return { change: 'deleted', type: isDirectory ? 'directory' : 'file', name, size: 0, modified };
  }
  const type = TYPES[flags[1] ?? ''];
  if (type === undefined) return undefined;
  return { change: changeOf(flags), type, name, size: Number(size), modified };
}

/**
 * When rsync ignores an unsafe symlink, it also keeps whatever the target has under that name. A
 * fresh copy would have nothing there, so the entry counts as deleted. A line in which `" -> "`
 * occurs twice is ambiguous and is skipped.
 */
function parseIgnored(line: string): Entry | undefined {
  const parts = /^ignoring unsafe symlink "(.*)"$/.exec(line)?.[1]?.split('" -> "');
  if (parts?.length !== 2) return undefined;
  const name = unescapeName(parts[0] ?? '');
  return { change: 'deleted', type: 'symlink', name, size: 0, modified: '' };
}

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

/** Splits rsync's standard output into lines, which end with `\n` or, for progress, with `\r`. */
export class LineSplitter {
  #rest = '';

  /** Returns the lines that `chunk` completes (latin1). */
  push(chunk: Buffer): string[] {
    const lines = (this.#rest + chunk.toString('latin1')).split(/[\r\n]/);
    this.#rest = lines.pop() ?? '';
    return lines;
  }
}
