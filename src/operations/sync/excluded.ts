import { MirrorlatchError, NOTHING_PUBLISHED } from '../../errors.ts';
import { bytePath, parentOf } from '../../mirror/byte-path.ts';
import { typedPattern } from '../../mirror/exclude-list.ts';
import { hasSyncedSinceAdoption, readHistory } from '../../mirror/history.ts';
import { nameInLine, readableName } from '../../mirror/names.ts';
import type { Mirror } from '../../mirror/open.ts';
import type { Plan } from '../../mirror/plan.ts';
import { haveRules, showOptions } from '../../rsync/join-options.ts';
import { parseRsyncOptions } from '../../rsync/options.ts';
import { lstatIfThere } from '../../system/files.ts';
import { quoteForSh } from '../../system/quote.ts';
import type { PlanContext, Work } from './context.ts';
import { Differences } from './differences.ts';
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
  return adopted !== undefined && !hasSyncedSinceAdoption(readHistory(layout), adopted);
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
  const { plan } = await makePlan(context, tree, () => new Differences(), [], 'kept');
  const deletedAnyway = new Set(plan.deletionList);
  const holdsOthers = new Set(plan.deletionList.flatMap(parentsOf));
  // A directory that holds something else as well stays only because it is not empty.
  const names = deletionList.filter((name) => !deletedAnyway.has(name) && !holdsOthers.has(name));
  if (names.length === 0) return;
  const spared = new Set(names);
  const tops = names.filter((name) => !spared.has(parentOf(name)));
  throw excludedLoss(context, root, tree, { count: names.length, tops: tops.sort() });
}

function parentsOf(name: string): string[] {
  const parents = [];
  for (let above = parentOf(name); above !== '.'; above = parentOf(above)) parents.push(above);
  return parents;
}

/** @param tops all that is spared, without what lies below another of them. */
function excludedLoss(
  { strategy, transfer: { options } }: PlanContext,
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
  const init = `mirrorlatch init ${quoteForSh(root)} -- ${showOptions(options)}`;
  const toKeep =
    strategy === 'in-place'
      ? `To keep them where they are: ${init} ${protectionOf(tops, isDirectory)}`
      : `A snapshot is a new tree without them. To keep them, move them out of ${quoteForSh(tree)}`;
  return new MirrorlatchError(
    'EXCLUDED_LOSS',
    `the sync would delete ${entries} of ${tree} that the options of rsync exclude: ${shown.join(', ')}${more}${NOTHING_PUBLISHED}`,
    {
      hint: `rsync --delete alone keeps what is excluded. ${toKeep}. To let them go: ${init} --delete-excluded`,
    },
  );
}

/** Filter rules that protect what is there. */
function protectionOf(tops: readonly string[], isDirectory: (name: string) => boolean): string {
  const rules = tops
    .slice(0, MOST_RULES)
    .map((name) => quoteForSh(`--filter=P ${typedPattern(name, isDirectory(name))}`));
  const more = tops.length > rules.length ? " and a --filter='P /NAME' for each of the others" : '';
  return `${rules.join(' ')}${more}`;
}
