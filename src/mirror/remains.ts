import { MirrorlatchError } from '../errors.ts';
import type { Entry } from '../rsync/itemize.ts';
import { haveRules } from '../rsync/join-options.ts';
import { DELAYED, isDelayed, mayBeMadeFor } from '../rsync/temporary-names.ts';
import { lstatIfThere } from '../system/files.ts';
import { failureOf, find } from '../system/find.ts';
import { refuseOtherThanDirectory } from '../system/own-files.ts';
import { publicationOf, readHistory } from './history/history.ts';
import { LIVE } from './layout.ts';
import { nameInLine, readableName } from './names.ts';
import type { Mirror } from './open.ts';
import { takeOut } from './plan/take-out.ts';
import { rememberedBy } from './settings/settings.ts';

const MOST_NAMES = 3;

/**
 * Removes from the tree of an in-place mirror the directories of `--delay-updates`, which a killed rsync has
 * left there and no reader wants: for a tree that counts as content from now on. A sync needs no such
 * call, it goes on from there (I7).
 *
 * They stay if the last sync was told that they are content, and where rules of the user may protect one. No
 * file is removed by its name: a person may have made it.
 *
 * @param inherit descriptors of locks to hold until the search has ended.
 * @returns a sentence on what may still be remains; undefined if there is nothing of such a name.
 * @throws MirrorlatchError CONFIGURATION when something is mounted in the tree, IO when something cannot
 *   be removed.
 */
export async function removeRemains(
  { layout, settings }: Pick<Mirror, 'layout' | 'settings'>,
  inherit: readonly number[],
  signal: AbortSignal,
): Promise<string | undefined> {
  refuseOtherThanDirectory(layout.gate);
  const tree = layout.snapshot(LIVE);
  if (lstatIfThere(tree)?.isDirectory() !== true) return undefined;
  const published = publicationOf(readHistory(layout), LIVE);
  if (published?.without?.includes('temp-excludes')) return undefined;
  const { rsyncOptions } = rememberedBy(settings);
  const found = await namedLikeTemporary(tree, inherit);
  const ours = haveRules(rsyncOptions) ? [] : found.filter(isDelayed);
  if (ours.length > 0) await takeOut(tree, ours, undefined, signal);
  const rest = found.filter((one) => !ours.includes(one));
  return rest.length === 0 ? undefined : describe(rest);
}

/** `what a killed rsync may have left stays: .a.aB3dEf, b/.~tmp~/ and 3 more` */
function describe(found: readonly Named[]): string {
  const names = found
    .slice(0, MOST_NAMES)
    .map(({ name, type }) => (type === 'directory' ? `${name}/` : name))
    .map((name) => nameInLine(readableName(name).name));
  const more = found.length > names.length ? ` and ${found.length - names.length} more` : '';
  return `what a killed rsync may have left stays: ${names.join(', ')}${more}`;
}

type Named = Pick<Entry, 'name' | 'type'>;

/**
 * Finds the directories of `--delay-updates` in a tree, without what they hold, and what else may be a temporary
 * file of rsync by its name. Many a name is that of a file like any other.
 */
export async function namedLikeTemporary(
  tree: string,
  inherit: readonly number[],
): Promise<Named[]> {
  const found: Named[] = [];
  const print = ['-printf', '%y/%P\\0'];
  const delayed = ['-type', 'd', '-name', DELAYED, ...print, '-prune'];
  const temporary = ['!', '-type', 'd', '-name', '.*.??????', ...print];
  // Not -xdev: a Btrfs subvolume is a part of the tree, too.
  const which = ['-mindepth', '1', ...delayed, '-o', ...temporary];
  const result = await find([tree, ...which], { inherit }, (entry) => {
    const type = entry.startsWith('d') ? 'directory' : 'file';
    const name = entry.slice(2);
    if (type === 'directory' || mayBeMadeFor(name).length > 0) found.push({ type, name });
  });
  // A rule may keep what this user may not look into; no rsync of this user has written there.
  const failure = failureOf(result);
  if (failure === undefined) return found;
  throw new MirrorlatchError('IO', `${tree} cannot be searched: ${failure}`);
}
