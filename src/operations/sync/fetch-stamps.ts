import { mkdirSync, rmSync } from 'node:fs';
import { isSameStamp, isStampIn } from '../../mirror/plan/stamps.ts';
import { listedFrom, stampArguments } from '../../rsync/arguments.ts';
import type { Entry } from '../../rsync/itemize.ts';
import { runRsync } from '../../rsync/run.ts';
import type { PlanContext } from './context.ts';

/** What the source has of the names that it was asked for. */
export interface FoundStamps {
  /** Why nothing is known; undefined if rsync ended cleanly. */
  failure: string | undefined;
  /** A mark of an update that the source has. */
  mark: string | undefined;
  /** How each stamp compares with that of a tree which has it. */
  compare: (name: string, tree: string) => 'same' | 'changed' | 'missing';
}

/**
 * Fetches stamps with a single rsync, which is not repeated if it fails: what follows is a look at
 * everything, which has its retries.
 *
 * @param names regular files of the source. What else has such a name is missing, and what is too large.
 * @param directory made anew for them, in staging.
 */
export async function fetchStamps(
  context: PlanContext,
  names: readonly string[],
  directory: string,
): Promise<FoundStamps> {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { mode: 0o700 });
  const args = stampArguments(context.transfer, directory, 'fetch');
  const { failure, mark } = await askFor(context, names, args);
  const compare = (name: string, tree: string) => {
    if (!isStampIn(directory, name)) return 'missing';
    return isSameStamp(directory, tree, name) ? 'same' : 'changed';
  };
  return { failure, mark, compare };
}

/** Compares the contents of stamps with those in `tree` by their checksums, and writes nothing. */
export async function compareStamps(
  context: PlanContext,
  names: readonly string[],
  tree: string,
): Promise<FoundStamps> {
  const wanted = new Set(names);
  const found = new Map<string, 'same' | 'changed'>();
  const args = stampArguments(context.transfer, tree, 'compare');
  const { failure, mark } = await askFor(context, names, args, (entry) => {
    if (!wanted.has(entry.name) || entry.type !== 'file') return;
    found.set(entry.name, entry.change === 'attributes' ? 'same' : 'changed');
  });
  return { failure, mark, compare: (name) => found.get(name) ?? 'missing' };
}

/**
 * Asks the source for single files, and for the marks of an update.
 *
 * @param args for rsync, which reads the names from standard input.
 */
export async function askFor(
  { transfer, inherit, signal, onChannel, log }: PlanContext,
  names: readonly string[],
  args: readonly string[],
  onEntry: (entry: Entry) => void = () => {},
): Promise<Pick<FoundStamps, 'failure' | 'mark'>> {
  const marks = transfer.without.has('update-marks') ? [] : (transfer.marks ?? []);
  const { prefix } = listedFrom(transfer.source);
  let mark: string | undefined;
  const noteMark = (name: string) => {
    if (marks.includes(name)) mark = name;
  };
  const { ending } = await runRsync({
    args,
    input: Buffer.from([...names, ...marks].map((name) => `${prefix}${name}\0`).join(''), 'latin1'),
    inherit,
    signal,
    onChannel,
    log,
    onEntry: (entry) => {
      noteMark(entry.name);
      onEntry(entry);
    },
    // A mark may be anything, such as a symlink.
    onLeftOut: (leftOut) => leftOut.names.forEach(noteMark),
  });
  return { failure: ending.kind === 'clean' ? undefined : ending.error.message, mark };
}
