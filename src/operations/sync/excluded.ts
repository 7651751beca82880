import { MirrorlatchError, NOTHING_PUBLISHED } from '../../errors.ts';
import { bytePath, parentOf, parentsOf } from '../../mirror/byte-path.ts';
import { hasSyncedSinceAdoption, readHistory } from '../../mirror/history/history.ts';
import { nameInLine, readableName } from '../../mirror/names.ts';
import type { Mirror } from '../../mirror/open.ts';
import { typedPattern } from '../../mirror/plan/exclude-list.ts';
import type { Plan } from '../../mirror/plan/plan.ts';
import { meetsKeptDirectory } from '../../rsync/failure.ts';
import type { Entry } from '../../rsync/itemize.ts';
import { haveRules, showOptions } from '../../rsync/join-options.ts';
import { optionValue, parseRsyncOptions, splitOptions } from '../../rsync/options.ts';
import { protectionLike } from '../../rsync/protection.ts';
import { lstatIfThere } from '../../system/files.ts';
import { quoteForSh } from '../../system/quote.ts';
import type { PlanContext, Work } from './context.ts';
import type { EntryListener } from './differences.ts';
import { makePlan } from './make-plan.ts';

const MOST_NAMES = 3;

/** The most filter rules that a hint spells out. */
const MOST_RULES = 10;

/**
 * Whether a sync must not delete unasked what the user's own rules exclude: it is in a tree that was
 * not made by a sync, where `rsync --delete` alone keeps it. A later snapshot does not have it anyway.
 */
export function sparesExcluded(
  { strategy, transfer: { options, without } }: Work,
  { layout, settings: { adopted } }: Pick<Mirror, 'layout' | 'settings'>,
): boolean {
  const { named } = parseRsyncOptions(options);
  if (named.some(({ name }) => name === 'delete-excluded')) return false;
  if (without.has('delete') || !haveRules(options)) return false;
  if (strategy === 'in-place') return true;
  return adopted !== undefined && !hasSyncedSinceAdoption(readHistory(layout));
}

/**
 * Refuses a plan that deletes what rsync would keep without `--delete-excluded`.
 *
 * @param root that of the mirror.
 * @param tree what the plan was made for.
 * @throws MirrorlatchError EXCLUDED_LOSS
 */
export async function refuseToDeleteExcluded(
  context: PlanContext,
  root: string,
  tree: string,
  { deletionList }: Plan,
): Promise<void> {
  if (!context.sparesExcluded || deletionList.length === 0) return;
  const deletedAnyway = await namesDeletedAnyway(context, tree);
  const holdsOthers = new Set([...deletedAnyway].flatMap(parentsOf));
  // A directory that holds something else as well stays only because it is not empty.
  const names = deletionList.filter((name) => !deletedAnyway.has(name) && !holdsOthers.has(name));
  if (names.length === 0) return;
  const spared = new Set(names);
  const tops = names.filter((name) => !spared.has(parentOf(name)));
  throw excludedLoss(context, root, tree, { count: names.length, tops: tops.sort() });
}

/** What rsync would delete without `--delete-excluded`. */
async function namesDeletedAnyway(context: PlanContext, tree: string): Promise<Set<string>> {
  let deletions = new Deletions();
  const listen = () => {
    deletions = new Deletions();
    return deletions;
  };
  try {
    await makePlan(context, tree, listen, [], 'kept');
  } catch (error) {
    // A directory that the source has replaced stays. rsync has named what goes all the same.
    if (!meetsKeptDirectory(error)) throw error;
  }
  return deletions.names;
}

class Deletions implements EntryListener {
  readonly names = new Set<string>();

  add({ change, name }: Entry): void {
    if (change === 'deleted') this.names.add(name);
  }

  close(): void {}
}

/** @param tops all that is spared, without what lies below another of them. */
function excludedLoss(
  { strategy, options }: PlanContext,
  root: string,
  tree: string,
  { count, tops }: { count: number; tops: readonly string[] },
): MirrorlatchError {
  const isDirectory = (name: string) => lstatIfThere(bytePath(tree, name))?.isDirectory() === true;
  const shown = tops
    .slice(0, MOST_NAMES)
    .map((name) => nameInLine(readableName(isDirectory(name) ? `${name}/` : name).name));
  const more = tops.length > shown.length ? ` and ${tops.length - shown.length} more` : '';
  const entries = count === 1 ? '1 entry' : `${count} entries`;
  const init = `mirrorlatch init ${quoteForSh(root)} --`;
  const toKeep =
    strategy === 'in-place'
      ? `To keep them where they are: ${protecting(init, options, tops, isDirectory)}`
      : `A snapshot is a new tree without them. To keep them, move them out of ${quoteForSh(tree)}`;
  return new MirrorlatchError(
    'EXCLUDED_LOSS',
    `the sync would delete ${entries} of ${tree} that the options of rsync exclude: ${shown.join(', ')}${more}${NOTHING_PUBLISHED}`,
    {
      hint: `rsync --delete alone keeps what is excluded. ${toKeep}. To let them go: ${init} ${showOptions(options)} --delete-excluded`,
    },
  );
}

/** The command that protects what is there, and what else is excluded like it. */
function protecting(
  init: string,
  options: readonly string[],
  tops: readonly string[],
  isDirectory: (name: string) => boolean,
): string {
  const { rules, isComplete } = protectionLike(options);
  const shown = isComplete ? [] : tops.slice(0, MOST_RULES);
  const named = shown.map((name) => `P ${typedPattern(name, isDirectory(name))}`);
  const filters = [...rules, ...named];
  // The first rule that matches counts.
  const words = filters.map((rule) => `--filter=${rule}`);
  const more = isComplete ? 0 : tops.length - shown.length;
  const rest = `. It names the first ${shown.length}; each of the other ${more} needs a rule like these`;
  const command = `${init} ${showOptions([...words, ...withoutFilters(options, filters)])}`;
  return `${command}${more > 0 ? rest : ''}`;
}

function withoutFilters(options: readonly string[], rules: readonly string[]): string[] {
  return splitOptions(options)
    .filter(({ name, words }) => name !== 'filter' || !rules.includes(optionValue(words)))
    .flatMap(({ words }) => words);
}
