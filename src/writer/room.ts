import { readdirSync, rmSync } from 'node:fs';
import { hasCode, MirrorlatchError } from '../errors.ts';
import { bytePath } from '../mirror/byte-path.ts';
import { channelsOf } from '../mirror/channels/channels.ts';
import type { MadeBy } from '../mirror/clone.ts';
import { discardCommandTrees, leftCommandTree } from '../mirror/command-tree.ts';
import { currentId, previousId } from '../mirror/current.ts';
import { discard, discardedNames } from '../mirror/discard.ts';
import type { Layout } from '../mirror/layout.ts';
import type { PlanFigures } from '../mirror/plan/plan.ts';
import { spaceLacking } from '../mirror/plan/preflight.ts';
import { isLackOfSpace } from '../mirror/reserve.ts';
import { CALENDAR } from '../mirror/retention/retention.ts';
import { readSettings } from '../mirror/settings/settings.ts';
import { discardSpare } from '../mirror/spare.ts';
import { findLeftovers, stagedTree } from '../mirror/staging.ts';
import { snapshotIds } from '../mirror/survey.ts';
import { emptyTrash } from '../mirror/trash.ts';
import { ifAllowed, ifThere, lstatIfThere } from '../system/files.ts';
import { type FreeSpace, freeSpaceAt } from '../system/mounts.ts';
import { quoteForSh } from '../system/quote.ts';
import { pruneOldSnapshots, SPARE_IS_GONE } from './pruning.ts';
import type { Writer } from './writer.ts';

/**
 * Runs `work`, which makes the snapshot `id`. If the disk is too full for it, `work` runs again after
 * each of these that makes room: the trash is emptied, the snapshots go that the end of the session
 * would remove, and then what earlier syncs left in staging, which would otherwise keep the disk full
 * for ever. What this run has transferred stays for the next try.
 *
 * @throws what `work` throws.
 */
export async function makingRoom<Result>(
  writer: Writer,
  id: string,
  work: () => Promise<Result>,
): Promise<Result> {
  const { layout } = writer;
  const partialFiles = new Set(partialFilesIn(layout).map(({ mark }) => mark));
  const trees = new Set(treesIn(layout).map(({ mark }) => mark));
  const ways = [
    () => emptiedTrash(writer),
    () => pruneFirst(writer),
    () => removePartialFiles(writer, partialFiles),
    () => removeTrees(writer, id, trees),
  ];
  for (;;) {
    try {
      return await work();
    } catch (error) {
      // What has left staging is not made again: it may be current already.
      const isMade = lstatIfThere(layout.snapshot(id)) !== undefined;
      if (isMade || !isLackOfSpace(error)) throw error;
      let hasRoom = false;
      while (!hasRoom) {
        const way = ways.shift();
        if (way === undefined) throw error;
        hasRoom = await way();
      }
    }
  }
}

/** Discards what failed commands of `lock` left: a sync has no use for it, and it may be large. */
export async function discardLeftByCommands(writer: Writer): Promise<void> {
  const { layout } = writer;
  const left = discardCommandTrees(layout);
  if (left.length === 0) return;
  writer.notice(`what an earlier command left is discarded: ${left.join(', ')}`);
  await emptiedTrash(writer);
}

/**
 * Makes room for what is planned if less seems to be free than it needs, and warns if that is not
 * enough. The need is a guess, which is too high for sparse files, several names of one file, and
 * filesystems that compress: so only a full disk ends the work.
 *
 * @param clone how the unchanged files get into the new tree.
 * @param free what was free before the clone began.
 */
export async function heedSpace(
  writer: Writer,
  plan: PlanFigures,
  clone: MadeBy,
  free: FreeSpace = freeSpaceAt(writer.layout.staging),
): Promise<void> {
  // rsync goes on with partial files, or they are removed when no space is left.
  const partial = partialFilesIn(writer.layout).reduce((sum, { bytes }) => sum + bytes, 0n);
  const bytes = free.bytes + partial;
  if (spaceLacking(plan, clone, { ...free, bytes }) === undefined) return;
  const before = freeSpaceAt(writer.layout.staging);
  await pruneFirst(writer);
  const after = freeSpaceAt(writer.layout.staging);
  const lacking = spaceLacking(plan, clone, {
    bytes: bytes + after.bytes - before.bytes,
    inodes: free.inodes && free.inodes + (after.inodes ?? 0n) - (before.inodes ?? 0n),
  });
  if (lacking === undefined) return;
  const what = writer.settings.mode === 'in-place' ? 'what is new' : 'the new snapshot';
  const message = `${what} may not fit on the disk of ${writer.layout.root}: ${lacking}`;
  writer.onEvent({ kind: 'warning', message });
}

/**
 * Removes the snapshots that the end of the session would remove: the one in the making counts as
 * the latest.
 *
 * @returns whether any was removed.
 */
async function pruneFirst(writer: Writer): Promise<boolean> {
  const { layout, lock, removedFirst } = writer;
  if (!writer.mayPrune || writer.settings.mode === 'in-place') return false;
  const removed = removedFor(writer);
  const hadSpare = discardSpare(layout);
  await emptyTrash(layout, lock);
  if (hadSpare) writer.notice(`space is short, so ${SPARE_IS_GONE}`);
  if (removed.length === 0) return hadSpare;
  removedFirst.push(...removed);
  const them = removed.length === 1 ? 'a snapshot' : `${removed.length} snapshots`;
  const why = 'space is short, so what would be removed at the end was removed first';
  writer.notice(`${why}: ${them}, ${removed.join(', ')}`);
  return true;
}

/** Where it is not known what is pinned, nothing goes, and the sync may fit all the same. */
function removedFor(writer: Writer): string[] {
  try {
    return pruneOldSnapshots(writer, 'one is coming').removed;
  } catch (error) {
    writer.lock.assertHeld();
    writer.reportProblem(error, 'old snapshots could not be removed to make room');
    return [];
  }
}

/** A tree that cannot be removed is worth a warning at the end of the session. */
async function emptiedTrash({ layout, lock }: Writer): Promise<boolean> {
  const before = discardedNames(layout).length;
  await emptyTrash(layout, lock).catch(() => {});
  return discardedNames(layout).length < before;
}

/**
 * Removes partial files that this run has not gone on with.
 *
 * @param earlier the marks of those that were there when it began.
 * @returns whether there were any.
 */
async function removePartialFiles(writer: Writer, earlier: ReadonlySet<string>): Promise<boolean> {
  const { layout, lock } = writer;
  const files = partialFilesIn(layout).filter(({ mark }) => earlier.has(mark));
  if (files.length === 0) return false;
  lock.assertHeld();
  for (const { path } of files) rmSync(path, { recursive: true, force: true });
  writer.notice('no space is left, so partly transferred files were removed');
  return true;
}

/**
 * Removes the trees that earlier syncs left, except for one that this run or a command of `lock` goes
 * on with.
 *
 * @param earlier the marks of those that were there when it began.
 * @returns whether there were any.
 */
async function removeTrees(
  writer: Writer,
  id: string,
  earlier: ReadonlySet<string>,
): Promise<boolean> {
  const { layout, lock, before } = writer;
  const kept = [stagedTree(layout, id), leftCommandTree(layout, before)?.path];
  const trees = treesIn(layout).filter(
    ({ mark, path }) => earlier.has(mark) && !kept.includes(path),
  );
  lock.assertHeld();
  for (const { path } of trees) discard(layout, path);
  if (!(await emptiedTrash(writer))) return false;
  writer.notice('no room is left, so the trees that earlier syncs left unfinished have gone');
  return true;
}

/** The partial files in staging. A mark is that of one file as it is: going on with it changes that. */
function partialFilesIn({ partial }: Layout): { path: Buffer; mark: string; bytes: bigint }[] {
  const names = ifThere(() => readdirSync(partial, { encoding: 'latin1' })) ?? [];
  return names.map((name) => {
    const path = bytePath(partial, name);
    const found = lstatIfThere(path);
    const mark = `${found?.dev}:${found?.ino}:${found?.ctimeNs}`;
    return { path, mark, bytes: (found?.blocks ?? 0n) * 512n };
  });
}

/** The trees of syncs in staging. A mark is that of one tree, whatever its name. */
function treesIn(layout: Layout): { path: string; mark: string }[] {
  const { trees, foreign } = findLeftovers(layout);
  return [...trees, ...foreign].map((path) => {
    const found = lstatIfThere(path);
    return { path, mark: `${found?.dev}:${found?.ino}` };
  });
}

/** Adds to the error of a full disk which disk that is, and how the mirror itself can make room. */
export function withWayToRoom(error: unknown, layout: Layout): unknown {
  if (!hasCode(error, 'NO_SPACE')) return error;
  const inChannels = channelsOf(layout).map(({ id }) => id);
  const kept = [currentId(layout), previousId(layout), ...inChannels];
  const mayPrune = !snapshotIds(layout).every((id) => kept.includes(id));
  const least = ['--keep-last 1', ...rulesOff(layout), '--keep-within 0 --grace 0'].join(' ');
  const command = `mirrorlatch prune ${quoteForSh(layout.root)} ${least}`;
  const way = mayPrune
    ? `To keep only the current and the previous snapshot: ${command}`
    : 'See the other ways with: mirrorlatch help recipes';
  const { code, message, hint = '', cause, details } = error;
  const freeSpace = hint.replace('that disk', () => `the disk of ${layout.root}`);
  return new MirrorlatchError(code, message, { hint: `${freeSpace} ${way}`, cause, details });
}

/** Options that turn the other rules off that a mirror remembers. */
function rulesOff(layout: Layout): string[] {
  const settings = ifAllowed(() => readSettings(layout));
  const periods = CALENDAR.filter(({ rule }) => (settings?.[rule] ?? 0) > 0);
  const isAnyTag = (settings?.keepTags ?? []).length > 0;
  return [...periods.map(({ name }) => `--keep-${name} 0`), ...(isAnyTag ? ['--no-keep-tag'] : [])];
}
