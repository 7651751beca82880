import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { bytePath } from '../../mirror/byte-path.ts';
import { publicationOf, readHistory } from '../../mirror/history/history.ts';
import { type Layout, LIVE } from '../../mirror/layout.ts';
import { printable, readableName } from '../../mirror/names.ts';
import type { Removal } from '../../mirror/plan/plan-lists.ts';
import { takeOut } from '../../mirror/plan/take-out.ts';
import { namedLikeTemporary } from '../../mirror/remains.ts';
import type { Entry, LeftOutWhy } from '../../rsync/itemize.ts';
import { leavesOutMountPoints, leftOutFilesystems } from '../../rsync/other-filesystems.ts';
import { isTemporary, isUpdateMark } from '../../rsync/temporary-names.ts';
import { lstatIfThere, realPathToBe } from '../../system/files.ts';
import { mountPointsWithin } from '../../system/mounts.ts';
import type { PlanContext, SyncContext, Work } from './context.ts';

type Named = Pick<Entry, 'name' | 'type'>;

/** Why an entry of the source is left out by its name, if it is. */
export function leavesOutOf({
  without,
  marks,
}: {
  without: { has(name: 'update-marks' | 'temp-excludes'): boolean };
  marks?: readonly string[];
}): (entry: Named) => LeftOutWhy | undefined {
  const [leavesMarks, leavesTemporary] = [
    !without.has('update-marks'),
    !without.has('temp-excludes'),
  ];
  return (entry) => {
    if (leavesMarks && isUpdateMark(entry, marks)) return 'update-mark';
    return leavesTemporary && isTemporary(entry) ? 'temporary' : undefined;
  };
}

/** Names the places in the source whose content `--one-file-system` leaves out: rsync does not. */
export async function nameOtherFilesystems(
  { transfer: { source, options }, strategy, inherit, signal }: PlanContext,
  onNotice: (message: string) => void,
): Promise<void> {
  if (source.kind !== 'local') return;
  const top = realPathToBe(source.path);
  const mounted = mountPointsWithin(top);
  const staysThere = strategy === 'in-place' && !leavesOutMountPoints(options);
  const stays = staysThere ? '; what the tree has there stays' : '';
  for (const name of await leftOutFilesystems(source, options, { inherit, signal })) {
    const isMounted = mounted.includes(join(top, Buffer.from(name, 'latin1').toString()));
    const path = join(printable(top), readableName(name).name);
    const [what, why] = isMounted
      ? [`what is mounted at ${path}`, 'another filesystem']
      : [`what is in ${path}`, 'a subvolume of its own'];
    onNotice(`left out ${what}: ${why} (-x)${stays}`);
  }
}

/**
 * What a tree that is written in place has of names that are left out. No source has brought it as content,
 * unless the sync that is published was told to include such names.
 */
export function remainsOf({ strategy, transfer }: Work, layout: Layout): (entry: Named) => boolean {
  if (strategy !== 'in-place') return () => false;
  const { without = [] } = publicationOf(readHistory(layout), LIVE) ?? {};
  const leavesOut = leavesOutOf({ without: new Set([...transfer.without, ...without]) });
  return (entry) => leavesOut(entry) !== undefined;
}

/**
 * Takes out of a new tree what is left out by its name. A pass of rsync excludes only what the plan has
 * found, and brings what has come to the source since. The next look then finds it missing, and counts
 * it. What an earlier sync was told to include stays as long as the source has it.
 *
 * @param tree what rsync has written.
 */
export async function takeOutLeftOut(context: SyncContext, tree: string): Promise<void> {
  const { writer, base } = context;
  const isPublished = (name: string): boolean =>
    base !== undefined && lstatIfThere(bytePath(base, name)) !== undefined;
  const found = await leftOutNamesIn(context, tree);
  const removals = found
    .filter(({ name }) => !isPublished(name))
    .map(({ name }): Removal => ({ name }));
  await takeOut(tree, removals, writer.layout.partial, writer.signal);
}

/** What `tree` has of such names as are left out, whoever has put it there. */
export async function leftOutNamesIn(
  { writer, transfer }: SyncContext,
  tree: string,
): Promise<Named[]> {
  const leavesOut = leavesOutOf(transfer);
  const top = readdirSync(tree, { encoding: 'latin1', withFileTypes: true });
  const marks = (transfer.marks ?? []).filter((name) => lstatIfThere(bytePath(tree, name)));
  const found = [
    ...top.filter((entry) => entry.isFile()).map(({ name }): Named => ({ name, type: 'file' })),
    ...marks.map((name): Named => ({ name, type: 'file' })),
    ...(await namedLikeTemporary(tree, writer.inherit)),
  ];
  return found.filter((entry) => leavesOut(entry) !== undefined);
}
