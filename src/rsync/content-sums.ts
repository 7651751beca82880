import { runProgram } from '../system/process.ts';
import { ENTRY_MARK, SUM_FORMAT } from './arguments.ts';
import { type Entry, LineSplitter, parseEntry } from './itemize.ts';
import { isAtLeast } from './version.ts';

/** The first version that has it, and one that it always has. */
const FAST = { name: 'xxh128', since: [3, 2, 0] } as const;
const USUAL = 'md5';

export interface ReadOptions {
  inherit: readonly number[];
  signal: AbortSignal;
  /** Let all other programs have the processors and disks first. */
  isIdle: boolean;
}

/** The checksum that this host's rsync computes best. */
export async function bestChecksum(): Promise<string> {
  return (await isAtLeast(FAST.since)) ? FAST.name : USUAL;
}

/**
 * Reads files and computes their checksums, as rsync does for --checksum: so it knows each of those that it
 * has used in a transfer.
 *
 * @param names files below `directory`, one character per byte (latin1).
 * @param nothing an empty directory.
 * @param onSum called for each file that could be read, with the digits.
 * @returns what rsync complained of.
 */
export async function sumContent(
  directory: string,
  { names, algorithm, nothing }: { names: readonly string[]; algorithm: string; nothing: string },
  { inherit, signal, isIdle }: ReadOptions,
  onSum: (name: string, hex: string) => void,
): Promise<string> {
  const args = [
    '--dry-run',
    '--no-human-readable',
    '--checksum',
    `--checksum-choice=${algorithm}`,
    SUM_FORMAT,
    '--from0',
    '--files-from=-',
    '--no-implied-dirs',
    '--',
    `${directory}/`,
    `${nothing}/`,
  ];
  const splitter = new LineSplitter();
  const [program = 'rsync', ...words] = [...(isIdle ? IDLE : []), 'rsync', ...args];
  const { stderr } = await runProgram(program, words, {
    input: Buffer.from(names.map((name) => `./${name}\0`).join(''), 'latin1'),
    inherit,
    signal,
    endWithParent: true,
    onStdout: (chunk) => {
      for (const line of splitter.push(chunk)) {
        const entry: Entry | undefined = line.startsWith(ENTRY_MARK) ? parseEntry(line) : undefined;
        const hex = entry?.checksum;
        // rsync gives zeros for a file that it may not open, and says nothing.
        if (entry !== undefined && hex !== undefined && /[^0]/.test(hex)) onSum(entry.name, hex);
      }
    },
  });
  signal.throwIfAborted();
  return stderr.trim();
}

/** nice(1) and ionice(1): the idle class gets the disk when nobody else wants it. */
const IDLE = ['nice', '-n', '19', 'ionice', '--class', '3', '--ignore'];
