import { MirrorlatchError } from '../../errors.ts';
import { failureOf } from '../../system/find.ts';
import { runProgram } from '../../system/process.ts';
import { FIND_FACTS } from './facts.ts';
import { type Line, linesIn, type SortOptions, sortInto } from './lines.ts';

/**
 * Lists the entries of a tree with what is found of each, see `FIND_FACTS`, by their names. The list lies in
 * files, so that millions of names need no memory.
 *
 * @param work the path of the files that are made: this, and this and `.sorted`.
 * @param what what find(1) prints of each, and by which expression it finds them.
 * @returns the list, and why it may lack something that this user may not look into.
 * @throws MirrorlatchError IO when the tree cannot be read.
 */
export async function scanTree(
  tree: string,
  work: string,
  options: SortOptions,
  { print = FIND_FACTS, only = [] }: { print?: string; only?: readonly string[] } = {},
): Promise<{ lines: Iterable<Line>; hidden: string | undefined }> {
  const words = [tree, '-xdev', ...only, '-fprintf', work, `%P//${print}\\0`];
  const ended = await runProgram('find', words, options);
  options.signal?.throwIfAborted();
  const failure = failureOf(ended);
  if (failure !== undefined) throw new MirrorlatchError('IO', `${tree} cannot be read: ${failure}`);
  await sortInto(`${work}.sorted`, [work], options);
  const hidden = ended.exitCode === 0 ? undefined : ended.stderr.trim().split('\n')[0];
  return { lines: linesIn(`${work}.sorted`), hidden };
}
