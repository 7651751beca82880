import { statSync } from 'node:fs';
import { MirrorlatchError } from '../errors.ts';
import { runProgram } from '../system/process.ts';
import { NameSplitter, NameWriter, readNames } from './name-list.ts';

/** Ends a name in a file, and may be in none. */
const SEPARATOR = '\t';

/** The most that is sorted here, which is faster than to start a program for it; bytes. */
const SMALL = 1024 * 1024;

export interface RecordsSession {
  inherit: readonly number[];
  signal: AbortSignal;
}

/**
 * Records about names that come in any order, to be brought together name by name. They lie in a file,
 * so that millions of them need no memory.
 */
export class NameRecords {
  readonly path: string;
  readonly #writer: NameWriter;
  #isOpen = true;

  constructor(path: string) {
    this.path = path;
    this.#writer = new NameWriter(path);
  }

  /** @param name and `record` as one character per byte (latin1). */
  add(name: string, record: string): void {
    this.#writer.write(name + SEPARATOR + record);
  }

  close(): void {
    if (this.#isOpen) this.#writer.close();
    this.#isOpen = false;
  }
}

/**
 * Calls back once for each name, a directory before what is in it, with its records in their own order.
 *
 * @param all closed.
 * @param directory where sort(1) may put files.
 * @throws what `onName` throws; the reason of the signal; MirrorlatchError IO.
 */
export async function eachName(
  all: readonly NameRecords[],
  directory: string,
  session: RecordsSession,
  onName: (name: string, records: readonly string[]) => void,
): Promise<void> {
  let name = '';
  let records: string[] = [];
  const handOn = (): void => {
    if (records.length > 0) onName(name, records);
    records = [];
  };
  const take = (line: string): void => {
    const end = line.indexOf(SEPARATOR);
    const next = line.slice(0, end);
    if (next !== name) handOn();
    name = next;
    records.push(line.slice(end + 1));
  };
  const paths = all.map(({ path }) => path);
  const size = paths.reduce((sum, path) => sum + statSync(path).size, 0);
  // One character is one byte, so both sort alike.
  if (size <= SMALL)
    for (const line of paths.flatMap((path) => [...readNames(path)]).sort()) take(line);
  else await sortBySort(paths, directory, session, take);
  handOn();
}

async function sortBySort(
  paths: readonly string[],
  directory: string,
  { inherit, signal }: RecordsSession,
  onLine: (line: string) => void,
): Promise<void> {
  const broken = new AbortController();
  const splitter = new NameSplitter();
  const onStdout = (chunk: Buffer): void => {
    if (broken.signal.aborted) return;
    try {
      splitter.split(chunk).forEach(onLine);
    } catch (error) {
      broken.abort(error);
    }
  };
  const options = ['-z', '--buffer-size=32M', `--temporary-directory=${directory}`];
  const { exitCode, stderr } = await runProgram('sort', [...options, '--', ...paths], {
    inherit,
    signal: AbortSignal.any([signal, broken.signal]),
    onStdout,
  });
  signal.throwIfAborted();
  broken.signal.throwIfAborted();
  if (exitCode !== 0)
    throw new MirrorlatchError('IO', `names cannot be sorted in ${directory}: ${stderr.trim()}`);
}
