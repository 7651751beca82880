import { MirrorlatchError } from '../errors.ts';
import { runProgram } from '../system/process.ts';
import { NameWriter } from './name-list.ts';

/** Ends a name in a file, and may be in none. */
const SEPARATOR = '\t';

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
  { inherit, signal }: RecordsSession,
  onName: (name: string, records: readonly string[]) => void,
): Promise<void> {
  const broken = new AbortController();
  let rest = '';
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
  const onStdout = (chunk: Buffer): void => {
    if (broken.signal.aborted) return;
    const lines = (rest + chunk.toString('latin1')).split('\0');
    rest = lines.pop() ?? '';
    try {
      lines.forEach(take);
    } catch (error) {
      broken.abort(error);
    }
  };
  const options = ['-z', '--buffer-size=32M', `--temporary-directory=${directory}`];
  const { exitCode, stderr } = await runProgram(
    'sort',
    [...options, '--', ...all.map(({ path }) => path)],
    { inherit, signal: AbortSignal.any([signal, broken.signal]), onStdout },
  );
  signal.throwIfAborted();
  broken.signal.throwIfAborted();
  if (exitCode !== 0) {
    throw new MirrorlatchError('IO', `names cannot be sorted in ${directory}: ${stderr.trim()}`);
  }
  handOn();
}
