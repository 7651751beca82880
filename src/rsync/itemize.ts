import { ENTRY_MARK } from './arguments.ts';

/** One entry that rsync changes or would change. */
export interface Entry {
  /** What rsync does with it (rsync(1), --itemize-changes). */
  change: 'new' | 'changed' | 'attributes' | 'deleted';
  type: 'file' | 'directory' | 'symlink' | 'device' | 'special';
  /** The path below the root, one character a byte (latin1); `.` is the root itself. */
  name: string;
  /** Size in bytes; 0 for a deleted entry, of which rsync does not tell it. */
  size: number;
  /** The modification time as rsync prints it, to the second. */
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
 * Reads a line of rsync's standard output (latin1); undefined when it is not about an entry.
 * A deleted directory ends in a slash and so tells its type; of all else that is deleted rsync does
 * not tell the type, and it is called a file here.
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
 * rsync ignores an unsafe symlink in a way that also keeps what the target has under its name, though
 * a fresh copy has nothing there: it counts as deleted, if there is anything. A name or a target
 * that has `" -> "` itself could be read in two ways and is left alone.
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

/** rsync prints a byte that could confuse a reader as `\#ooo`, in octal (rsync(1), -8). */
function unescapeName(printed: string): string {
  if (!printed.includes('\\#')) return printed;
  return printed.replace(/\\#([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

/** Splits rsync's standard output into lines, which end in `\n` or, for progress, in `\r`. */
export class LineSplitter {
  #rest = '';

  /** The lines that `chunk` completes, latin1. */
  push(chunk: Buffer): string[] {
    const lines = (this.#rest + chunk.toString('latin1')).split(/[\r\n]/);
    this.#rest = lines.pop() ?? '';
    return lines;
  }
}
