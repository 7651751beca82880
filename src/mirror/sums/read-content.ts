import { type ReadOptions, sumContent } from '../../rsync/content-sums.ts';
import { InParallel } from '../../system/in-parallel.ts';
import { algorithmsOf, type ListedFile, type ReadingList } from './reading-list.ts';

/** How much one rsync reads: enough that its start takes no time, and little enough to report often. */
const BATCH_BYTES = 64 * 1024 * 1024;
const BATCH_FILES = 1000;

export interface ContentOptions extends ReadOptions {
  /** The directory of the trees. */
  above: string;
  /** An empty directory. */
  nothing: string;
  /** How many files are read at a time. */
  jobs: number;
  /** The checksum for files for which none was recorded; undefined if they are not to be read. */
  otherwise: string | undefined;
}

/** What came of a file. */
export interface ReadFile extends ListedFile {
  algorithm: string;
  /** Its digits; undefined if the file cannot be read. */
  hex: string | undefined;
  /** What rsync complained of. */
  complaints: string;
}

/**
 * Reads the files of a list, several at a time.
 *
 * @param onFile called for each file with each of its checksums, in any order.
 */
export async function readContent(
  list: ReadingList,
  options: ContentOptions,
  onFile: (file: ReadFile) => void,
): Promise<void> {
  const batches = new Map<string, Batch>();
  const jobs = new InParallel(options.jobs);
  for (const file of list.files()) {
    for (const algorithm of checksumsFor(file, options.otherwise)) {
      const batch = batches.get(algorithm) ?? { algorithm, files: [], bytes: 0 };
      batch.files.push(file);
      batch.bytes += file.size;
      const isFull = batch.files.length >= BATCH_FILES || batch.bytes >= BATCH_BYTES;
      if (isFull) batches.delete(algorithm);
      else batches.set(algorithm, batch);
      if (isFull) await jobs.start(() => readBatch(batch, options, onFile));
    }
  }
  for (const batch of batches.values()) await jobs.start(() => readBatch(batch, options, onFile));
  await jobs.end();
}

/** What there is to be read. */
export function amountOf(
  list: ReadingList,
  otherwise: string | undefined,
): { files: number; bytes: number } {
  const amount = { files: 0, bytes: 0 };
  for (const file of list.files()) {
    const times = checksumsFor(file, otherwise).length;
    amount.files += times;
    amount.bytes += times * file.size;
  }
  return amount;
}

interface Batch {
  algorithm: string;
  files: ListedFile[];
  /** bytes */
  bytes: number;
}

function checksumsFor(file: ListedFile, otherwise: string | undefined): string[] {
  const known = algorithmsOf(file);
  return known.length > 0 || otherwise === undefined ? known : [otherwise];
}

async function readBatch(
  { algorithm, files }: Batch,
  { above, nothing, ...options }: ContentOptions,
  onFile: (file: ReadFile) => void,
): Promise<void> {
  const sums = new Map<string, string>();
  const names = files.map(({ names: [{ path }] }) => path);
  const what = { names, algorithm, nothing };
  const complaints = await sumContent(above, what, options, (name, hex) => sums.set(name, hex));
  for (const file of files)
    onFile({ ...file, algorithm, hex: sums.get(file.names[0].path), complaints });
}
