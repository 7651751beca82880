import { randomUUID } from 'node:crypto';
import { closeSync, constants, copyFileSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { MirrorlatchError } from '../errors.ts';
import { ifThere, lstatIfThere, openNewFile } from '../system/files.ts';
import { makeOwnDirectory, refuseOtherThanDirectory } from '../system/own-files.ts';
import { quoteForSh } from '../system/quote.ts';
import { bytePath } from './byte-path.ts';
import type { Layout } from './layout.ts';
import { isSnapshotId } from './snapshot-id.ts';

/** The paths of the trees in staging, the most recently changed first. */
export interface Leftovers {
  /** Trees that rsync worked on. The next sync continues with the first. */
  trees: string[];
  /** Unfinished clones, which are of no use. */
  clones: string[];
  /**
   * Trees that rsync may only copy from: another host's rsync may still be writing to them, or a
   * power cut has damaged the clone.
   */
  foreign: string[];
  /** Trees that commands of `lock` worked on. The next command continues with the first. */
  commands: string[];
}

const CLONE = '.clone';
const FOREIGN = '.foreign';
const COMMAND = '.command';

/** The tree that rsync works on. */
export function stagedTree(layout: Layout, id: string): string {
  return join(layout.staging, id);
}

/** A clone in the making; renamed when it is complete. */
export function stagedClone(layout: Layout, id: string): string {
  return join(layout.staging, id + CLONE);
}

/** The tree that a command of `lock` works on. */
export function stagedCommandTree(layout: Layout, id: string): string {
  return join(layout.staging, id + COMMAND);
}

/** The id in the path of such a tree. */
export function commandTreeId(path: string): string {
  return basename(path, COMMAND);
}

/**
 * Makes the staging directory if it is missing, and checks that it is sealed: only its owner can
 * enter. It is 0700 from its creation, and never itself the target of rsync, which would set its
 * mode (I6).
 *
 * @throws MirrorlatchError CONFIGURATION when other users can enter it.
 */
export function sealStaging(layout: Layout): void {
  makeOwnDirectory(layout.staging, 0o700);
  refuseUnsealed(layout);
  makeOwnDirectory(layout.partial, 0o700);
}

/** @throws MirrorlatchError CONFIGURATION when other users can enter the staging directory. */
export function refuseUnsealed({ staging }: Layout): void {
  refuseOtherThanDirectory(staging);
  if (((lstatIfThere(staging)?.mode ?? 0n) & 0o077n) === 0n) return;
  throw new MirrorlatchError('CONFIGURATION', `${staging} must be a directory of mode 0700`, {
    hint: `Other users could read half-finished trees. Seal it with: chmod 0700 ${quoteForSh(staging)}`,
  });
}

/** Finds the trees that earlier syncs and commands left in staging. */
export function findLeftovers(layout: Layout): Leftovers {
  const leftovers: Leftovers = { trees: [], clones: [], foreign: [], commands: [] };
  const trees = (lstatIfThere(layout.staging) ? readdirSync(layout.staging) : [])
    .map((name) => ({ path: join(layout.staging, name), name }))
    .map((tree) => ({ ...tree, changed: lstatIfThere(tree.path)?.ctimeNs ?? 0n }))
    .sort((a, b) => (a.changed < b.changed ? 1 : -1));
  for (const { path, name } of trees) {
    if (name.endsWith(CLONE)) leftovers.clones.push(path);
    else if (name.endsWith(FOREIGN)) leftovers.foreign.push(path);
    else if (name.endsWith(COMMAND)) leftovers.commands.push(path);
    else if (isSnapshotId(name)) leftovers.trees.push(path);
  }
  return leftovers;
}

/** Renames a tree, so that rsync may copy from it but no sync continues with it. */
export function keepToCopyFrom(tree: string): void {
  renameSync(tree, `${tree}+${randomUUID()}${FOREIGN}`);
}

/**
 * Marks all trees as foreign, because another host may still be writing to them. rsync writes into
 * a partial file in place and then publishes that very inode, so the partial files are copied: no
 * other process may have them open.
 */
export function markForeign(layout: Layout): void {
  const mark = `+${randomUUID()}`;
  // Another contender for the lock may do the same at the same time.
  const rename = (from: string, to: string) => ifThere(() => renameSync(from, to));
  for (const tree of findLeftovers(layout).trees) rename(tree, tree + mark + FOREIGN);
  rename(layout.partial, layout.partial + mark);
  makeOwnDirectory(layout.partial, 0o700);
  const copy = constants.COPYFILE_FICLONE;
  for (const name of ifThere(() => readdirSync(layout.partial + mark, { encoding: 'latin1' })) ??
    []) {
    copyFileSync(bytePath(layout.partial + mark, name), bytePath(layout.partial, name), copy);
  }
}

/** The time by the clock of the filesystem of a directory, as it stamps a ctime; ns since the epoch. */
export function ctimeNow({ staging }: Pick<Layout, 'staging'>): bigint {
  const path = join(staging, '.stamp');
  closeSync(openNewFile(path, 0o600));
  const stamp = lstatIfThere(path)?.ctimeNs ?? 0n;
  rmSync(path);
  return stamp;
}
