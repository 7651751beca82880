import { createHash } from 'node:crypto';
import { type BigIntStats, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { type BytePath, below } from './byte-path.ts';

export interface FileListOptions {
  /** Names at the top that are skipped, as `create-filelist -s` skips the lists. */
  readonly skip?: readonly string[];
  /** The name of files of which it has checksums, as `create-filelist -C`. */
  readonly checksums?: string;
  /** Whole seconds; by default the later one of mtime and ctime. */
  readonly timeOf?: (status: BigIntStats) => bigint;
  /** Another line for an entry, or none. */
  readonly lineOf?: (path: BytePath, line: string) => string | undefined;
  /** More lines among the files. */
  readonly more?: string;
  readonly version?: number;
  /** Without its end, as while it is written. */
  readonly isCut?: boolean;
}

/** A list of all entries of a tree, as create-filelist of quick-fedora-mirror writes it. */
export function fileListOf(tree: string, options: FileListOptions = {}): Buffer {
  const lines: string[] = [];
  const sums: string[] = [];
  const visit = (directory: BytePath): void => {
    for (const name of readdirSync(below(tree, directory === '' ? '.' : directory), {
      encoding: 'latin1',
    })) {
      if (directory === '' && options.skip?.includes(name)) continue;
      const path = directory === '' ? name : `${directory}/${name}`;
      const status = lstatSync(below(tree, path), { bigint: true });
      if (status.isDirectory()) visit(path);
      const line = [timeOf(status, options), typeOf(status), status.size, path].join('\t');
      const listed = options.lineOf === undefined ? line : options.lineOf(path, line);
      if (listed !== undefined) lines.push(listed);
      if (name === options.checksums) {
        const content = readFileSync(below(tree, path));
        sums.push(`${createHash('sha1').update(content).digest('hex')}\t${path}`);
      }
    }
  };
  visit('');
  const text = [
    ...['[Version]', String(options.version ?? 2), '', '[Files]', ...lines],
    ...(options.more === undefined ? [] : [options.more]),
    '',
    ...['[Checksums SHA1]', ...sums.sort(), ''],
    ...(options.isCut === true ? [] : ['[End]', '']),
  ].join('\n');
  return Buffer.from(text, 'latin1');
}

function timeOf(status: BigIntStats, { timeOf: own }: FileListOptions): bigint {
  if (own !== undefined) return own(status);
  const { mtimeNs, ctimeNs } = status;
  const [seconds, changed] = [mtimeNs / 1_000_000_000n, ctimeNs / 1_000_000_000n];
  return seconds < changed ? changed : seconds;
}

function typeOf(status: BigIntStats): string {
  const type = status.isSymbolicLink() ? 'l' : status.isDirectory() ? 'd' : 'f';
  return type + ((status.mode & 0o004n) === 0n ? '-' : '');
}
